// Package evidence weighs what a run has seen. It is pure: the same entries give the
// same judgement, in the controller while a run lasts and in anybody's hands
// afterwards. A run writes its entries down in chunks, each of which holds the digest
// of the one before; the run's status names the newest.
//
// An attempt is judged by what its check has shown and by what judging read of the
// cluster (Check). A Look has such facts for the cells of a run at one moment; Judge
// says what they prove, and Sum what they add up to for rollout.Step.
package evidence
