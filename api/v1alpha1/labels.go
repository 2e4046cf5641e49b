package v1alpha1

// SystemNamespace is where the controller, its snapshots and its own probe pods live.
const SystemNamespace = "tightrope-system"

// Label keys. The value of each is the name of a PolicyRolloutRun, so that two
// runs never read each other's marks.
const (
	// LabelRun marks every object that a run created.
	LabelRun = "tightrope.dev/run"
	// LabelProbe marks the probe pods of a run: the only pods a shadow stage touches.
	LabelProbe = "tightrope.dev/probe"
	// LabelEnforced takes a pod out of every bridge of the run: only the candidate judges it.
	LabelEnforced = "tightrope.dev/enforced"
	// LabelOriginal marks a policy that was there before the run, and that the run changes or
	// removes. The run did not make it, and never deletes it before the commit.
	LabelOriginal = "tightrope.dev/original"
	// LabelSpared marks pods that somebody isolated while the run was under way: nothing of the run selects them.
	LabelSpared = "tightrope.dev/spared"
)

// Label keys that describe an object of ours.
const (
	// LabelRole says what an object of ours is for: bridge, candidate, final, marker, check, probe, snapshot, report, evidence, claim.
	LabelRole = "tightrope.dev/role"
	// LabelIdentity names the identity that a probe pod wears.
	LabelIdentity = "tightrope.dev/identity"
	// LabelScenario marks what a scenario created: the name of the one that states the
	// topology. Nothing without it is ever overwritten by a scenario.
	LabelScenario = "tightrope.dev/scenario"
	// AnnotationPlanDigest is changed when a probe plan changes; a pod update makes the kubelet refresh its volumes at once.
	AnnotationPlanDigest = "tightrope.dev/plan-digest"
	// AnnotationRunUID is the UID of the run that LabelRun names. An object with
	// another UID, or none, was not made by that run, whatever its label says.
	AnnotationRunUID = "tightrope.dev/run-uid"
	// AnnotationCommittedBy names the run that put a policy in force for good.
	AnnotationCommittedBy = "tightrope.dev/committed-by"
	// AnnotationSelector is the selector of the pods that a bridge is for, as JSON,
	// whatever the bridge selects now: a rollback without the plan rests on it.
	AnnotationSelector = "tightrope.dev/selector"
	// AnnotationOriginal is what a policy was like before the run that LabelOriginal names, as JSON:
	// a rollback without the plan, and a person without the controller, rest on it.
	AnnotationOriginal = "tightrope.dev/original"
	// AnnotationRetry on a PolicyRollout asks to try its generation once more. Its value is the
	// name of the run that ended and is to be tried again; that run's attempt plus one is the next.
	AnnotationRetry = "tightrope.dev/retry"
	// AnnotationEpoch is the epoch of the run that last wrote an object; it never falls.
	AnnotationEpoch = "tightrope.dev/epoch"
)
