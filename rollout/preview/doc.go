// Package preview previews. It says what a PolicyRollout would do before
// anything is applied: which paths of its suites would be cut or leak, and by
// which rule; what changes for everybody else; in which order; and what stands
// in the way.
//
//	manifest.Set ─┬─ suites ──► edges ─┐
//	              ├─ candidates ───────┼─► rollout.Summarize ──► Preview ──► text │ JSON
//	              └─ mistakes (lint) ──┘
//
// It predicts from objects. Packets decide, and a rollout asks them.
package preview
