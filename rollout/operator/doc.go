// Package operator acts. It watches rollouts, gathers what the probes say, asks
// rollout.Step what follows, writes the answer down, and then makes the cluster
// so: bridges, candidates, labels, probe pods. Every act follows from what is
// recorded, so an operator that was killed anywhere goes on from there.
//
//	watch ──► gather evidence ──► rollout.Step ──► record ──► apply ──► (again)
package operator
