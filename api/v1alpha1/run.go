package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// PolicyRolloutRun is one attempt at a rollout. A person steers it through
// spec.intent; everything else about it is status.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=run,categories=tightrope
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Stage",type=string,JSONPath=`.status.stage`
// +kubebuilder:printcolumn:name="Cause",type=string,JSONPath=`.status.cause`
// +kubebuilder:printcolumn:name="Result",type=string,JSONPath=`.status.result`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`
// +kubebuilder:printcolumn:name="Rollout",type=string,JSONPath=`.spec.rolloutRef.name`,priority=1
// +kubebuilder:printcolumn:name="Generation",type=integer,JSONPath=`.spec.generation`,priority=1
// +kubebuilder:printcolumn:name="Attempt",type=integer,JSONPath=`.spec.attempt`,priority=1
// +kubebuilder:printcolumn:name="Wave",type=integer,JSONPath=`.spec.wave`,priority=1
type PolicyRolloutRun struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   PolicyRolloutRunSpec   `json:"spec"`
	Status PolicyRolloutRunStatus `json:"status,omitempty"`
}

// PolicyRolloutRunList is a list of runs.
//
// +kubebuilder:object:root=true
type PolicyRolloutRunList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []PolicyRolloutRun `json:"items"`
}

// Intent is what a person wants of a run.
//
// +kubebuilder:validation:Enum=Run;Pause;Abort
type Intent string

// The intents. Empty means Run. An abort cannot be taken back.
const (
	IntentRun Intent = "Run"
	// IntentPause holds a run where it is: it tightens nothing and goes nowhere but back. The
	// time counts neither as proof nor against a deadline. Run lets it go on.
	IntentPause Intent = "Pause"
	IntentAbort Intent = "Abort"
)

// PolicyRolloutRunSpec is what the run tries, and what a person wants of it.
type PolicyRolloutRunSpec struct {
	// RolloutRef names the rollout, in the run's namespace.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a run belongs to one rollout for good"
	RolloutRef RolloutRef `json:"rolloutRef"`
	// Generation of the rollout that this run tries.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a run tries one generation for good"
	Generation int64 `json:"generation"`
	// Attempt at that generation, from 1. AnnotationRetry of the rollout asks for another one.
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a run is one attempt for good"
	Attempt int64 `json:"attempt,omitempty"`
	// Wave of that attempt, from 1. A run makes one wave; once it is committed, the next wave has a
	// run of its own.
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a run is one wave for good"
	Wave int64 `json:"wave,omitempty"`
	// After names the run of the wave before; none: this is the first wave.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a run follows one run for good"
	After *RunRef `json:"after,omitempty"`
	// +kubebuilder:default=Run
	// +kubebuilder:validation:XValidation:rule="oldSelf != 'Abort' || self == 'Abort'",message="an abort cannot be taken back; start a new run"
	Intent Intent `json:"intent,omitempty"`
	// AcceptCuts names paths that a rollback may cut: with these a run that is held because somebody
	// changed the baseline (cause BaselineChanged) takes its candidates away all the same.
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	AcceptCuts []string `json:"acceptCuts,omitempty"`
}

// GoesOn reports whether another wave follows the run once it has left nothing behind:
// it is committed, it was not the last one, and nobody called the rest off.
func (r *PolicyRolloutRun) GoesOn() bool {
	return r.Status.Phase == PhaseCommitted && r.Spec.Intent != IntentAbort && r.Spec.Wave < int64(len(r.Status.Waves))
}

// CalledOff reports whether somebody aborted the run when it was committed already, so
// that the waves after it do not follow.
func (r *PolicyRolloutRun) CalledOff() bool {
	return r.Status.Phase == PhaseCommitted && r.Spec.Intent == IntentAbort && r.Spec.Wave < int64(len(r.Status.Waves))
}

// RolloutRef names a rollout for good: a name can be used again, a UID cannot.
type RolloutRef struct {
	// +kubebuilder:validation:MinLength=1
	Name string    `json:"name"`
	UID  types.UID `json:"uid"`
}

// RunRef names a run for good.
type RunRef struct {
	// +kubebuilder:validation:MinLength=1
	Name string    `json:"name"`
	UID  types.UID `json:"uid"`
}

// Phase is where a run is, as people see it.
//
// +kubebuilder:validation:Enum=Pending;Preflight;Observe;Canary;Enforce;Committing;Committed;Held;RollingBack;RolledBack;RollbackFailed;Refused;Inconclusive
type Phase string

// The phases. Empty means Pending.
const (
	PhasePending        Phase = "Pending"
	PhasePreflight      Phase = "Preflight"
	PhaseObserve        Phase = "Observe"
	PhaseCanary         Phase = "Canary"
	PhaseEnforce        Phase = "Enforce"
	PhaseCommitting     Phase = "Committing"
	PhaseCommitted      Phase = "Committed"
	PhaseHeld           Phase = "Held"
	PhaseRollingBack    Phase = "RollingBack"
	PhaseRolledBack     Phase = "RolledBack"
	PhaseRollbackFailed Phase = "RollbackFailed"
	PhaseRefused        Phase = "Refused"      // preflight refused; nothing was changed
	PhaseInconclusive   Phase = "Inconclusive" // nothing could be proved; nothing is changed
)

// Terminal reports whether a run in this phase is over.
func (p Phase) Terminal() bool {
	switch p {
	case PhaseCommitted, PhaseRolledBack, PhaseRollbackFailed, PhaseRefused, PhaseInconclusive:
		return true
	}
	return false
}

// Staged reports whether a run in this phase is in one of the stages, or between two of
// them where it expands the bridges.
func (p Phase) Staged() bool {
	switch p {
	case PhaseObserve, PhaseCanary, PhaseEnforce, PhaseHeld:
		return true
	}
	return false
}

// Conditions beside kstatus' own (Ready, Reconciling, Stalled).
const (
	// ConditionTidied is true once a finished run has left nothing behind and its
	// report is complete.
	ConditionTidied = "Tidied"
	// ConditionPaused is true while a person holds the run with intent Pause.
	ConditionPaused = "Paused"
	// ConditionContested is true on a run that goes back, or went, while somebody else
	// changes its policies again and again; the message names the field manager.
	ConditionContested = "Contested"
	// ConditionRetryIgnored is true on a rollout whose AnnotationRetry asks for what cannot be had.
	ConditionRetryIgnored = "RetryIgnored"
)

// PolicyRolloutRunStatus is what the controller knows and needs to go on after a restart.
type PolicyRolloutRunStatus struct {
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	Phase              Phase `json:"phase,omitempty"`
	// Stage is the name of the step that Phase is in: a stage's name, or expand.
	Stage string `json:"stage,omitempty"`
	// StageSince is when the run entered Phase and Stage. A pause, and waiting for an approval, do
	// not change it.
	StageSince *metav1.MicroTime `json:"stageSince,omitempty"`
	// Step is the index of that step in the plan, from 0.
	Step int32 `json:"step,omitempty"`
	// PlanDigest is the digest of what is decided in the armed plan, as tightrope plan prints it;
	// empty before arming.
	PlanDigest string `json:"planDigest,omitempty"`
	// SnapshotDigest is the digest of the armed plan as it is stored, names of this run included: a
	// controller that was restarted goes on with no other. Empty before arming, and in a run that an
	// earlier release armed: there PlanDigest was this digest.
	SnapshotDigest string `json:"snapshotDigest,omitempty"`
	// Sources are the suites and the ConfigMap that the armed plan was made of. Whoever changes one
	// afterwards changes nothing about the run.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=17
	Sources []Source `json:"sources,omitempty"`
	// Waves of the rollout, as the first of them planned them, with what is known of each; empty
	// where the whole rollout is one wave. This run makes the one that spec.wave counts to.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1024
	Waves []WaveStatus `json:"waves,omitempty"`
	// Result is set once, when Phase is terminal or Held.
	Result string `json:"result,omitempty"`
	// Cause of leaving the forward road, or of standing still on it, as a word: Cut, Aborted, Silent, Paused, WaitingForApproval …
	Cause string `json:"cause,omitempty"`
	// Message for a person: one sentence.
	// +kubebuilder:validation:MaxLength=4096
	Message string `json:"message,omitempty"`
	// Cuts found, at most 20; CutCount has the total.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Cuts     []CutStatus `json:"cuts,omitempty"`
	CutCount int32       `json:"cutCount,omitempty"`
	// History of phases, oldest first, at most 64.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	History []PhaseChange `json:"history,omitempty"`
	// Evidence says where to read what the run has proved.
	Evidence *Evidence `json:"evidence,omitempty"`
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Evidence says where the evidence of a run is, and how to tell that nobody changed it.
type Evidence struct {
	// Head is the digest ("sha256:…") of the newest chunk of evidence. Each chunk is a ConfigMap in the
	// run's namespace and holds the digest of the one before, so that Head names all of them and their order.
	Head string `json:"head,omitempty"`
	// Chunks is how many chunks there are.
	// +kubebuilder:validation:Minimum=0
	Chunks int32 `json:"chunks,omitempty"`
	// Report is the name of the ConfigMap in the run's namespace that holds report.json. It is a
	// copy for people: whoever may edit ConfigMaps can edit it, and the controller never reads it back.
	Report string `json:"report,omitempty"`
	// ReportDigest is the digest ("sha256:…") of the report as it was when the run had ended; empty: the
	// run goes on, or the report could not be written. A ConfigMap with another digest was edited.
	ReportDigest string `json:"reportDigest,omitempty"`
}

// CutStatus is a path that must work and did not.
type CutStatus struct {
	Path      string           `json:"path"`
	Phase     string           `json:"phase"`
	Rule      string           `json:"rule,omitempty"`
	DecidedAt metav1.MicroTime `json:"decidedAt,omitempty"`
}

// PhaseChange is one line of a run's history.
type PhaseChange struct {
	Phase Phase            `json:"phase"`
	Stage string           `json:"stage,omitempty"`
	At    metav1.MicroTime `json:"at"`
	Cause string           `json:"cause,omitempty"`
}
