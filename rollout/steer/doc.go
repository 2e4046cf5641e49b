// Package steer steers rollouts of a cluster from outside, as a person with a
// kubeconfig: it applies them, follows their runs, pauses, aborts and retries them, and
// reads their reports. It works on what anybody sees and may write in the rollout's
// namespace, and holds no state of its own: who stops following stops nothing.
//
//	files ──► Read ──► Apply ──► Begun ──► Follow ──► Report
//	                                ▲
//	            Find, Intend, Retry ┘
package steer
