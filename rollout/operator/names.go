package operator

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

const (
	// firstAttempt is the attempt of a generation's first run: see wantedAttempt.
	firstAttempt = 1
	// firstWave of an attempt.
	firstWave = 1
)

// RunName is the name of the run that tries a generation of a rollout: the
// rollout's name and 8 hexadecimal digits of SHA-256 of its UID, generation and
// attempt (from 1). A rollout that is deleted and made again under its name has
// another UID, so nothing of its older runs is found by the new one.
func RunName(rollout string, uid types.UID, generation, attempt int64) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d/%d", uid, generation, attempt))
	return rollout + "-" + hex.EncodeToString(sum[:4])
}

// waveRunName is the name of the run that makes a wave of that attempt, from 1: the
// first wave's is RunName, and the others hash the wave as well.
func waveRunName(rollout string, uid types.UID, generation, attempt, wave int64) string {
	if wave <= firstWave {
		return RunName(rollout, uid, generation, attempt)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d/%d/%d", uid, generation, attempt, wave))
	return rollout + "-" + hex.EncodeToString(sum[:4])
}

// runKey names a run for good.
type runKey = writer.Owner

func keyOf(run *v1alpha1.PolicyRolloutRun) runKey { return runKey{Name: run.Name, UID: run.UID} }
