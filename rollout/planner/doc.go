// Package planner plans. It makes the decided part of a Plan from plain objects, for
// the controller and for tightrope plan alike: there is no second planner, so both
// have one digest. It reads nothing but its arguments.
//
//	rollout ─► Begin ─► AddIdentity, PathOf (of each suite) ─► Settle, Bridge (policies) ─► plan.Plan
//
// Where there are several waves, Narrow leaves one of them, and Bridge comes again.
package planner
