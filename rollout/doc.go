// Package rollout decides. Given where a run is and what the probes saw, Step
// names where it goes next; the step's Scope says which pods the candidate then
// judges. It also plans the bridges that make every scope safe to leave again.
// It reads no clock, opens no socket and imports no client, so a rollout that
// went wrong in a cluster can be replayed as a unit test.
//
//	Preflight ──► Observe ──► Canary(shadow, expand, few …) ──► Enforce ──► Committing ──► Committed
//	    │            │                   └───────────┬────────────┴────────────┘
//	    ▼            ▼                               ▼
//	 Refused    Inconclusive           RollingBack ──► RolledBack | RollbackFailed
package rollout
