// Package repair mends. Given policies and a connection that they deny, it says
// which rules to add so that they allow it, as YAML to paste.
//
//	World, Conn ──► Of ──► Repair ──► text
//
// It is pure. What it suggests it has judged first: with the additions, the
// connection is allowed.
package repair
