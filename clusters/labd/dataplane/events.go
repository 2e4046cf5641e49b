package dataplane

import (
	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/compile"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// maxEventText bounds what an event repeats from an object.
const maxEventText = 512

// report says each problem once, as a Warning event on the object, and again
// only after it was gone in between.
func (a *Agent) report(problems []compile.Problem) {
	now := map[compile.Problem]bool{}
	for _, p := range problems {
		if now[p] {
			continue
		}
		now[p] = true
		if a.reported[p] {
			continue
		}
		text := p.Field + ": " + p.Message
		if len(text) > maxEventText {
			text = text[:maxEventText] + "…"
		}
		a.log.Warn("object is not honoured in full", "kind", p.Kind, "object", p.Namespace+"/"+p.Name, "problem", text)
		if a.cfg.Recorder != nil {
			a.cfg.Recorder.Event(reference(p), corev1.EventTypeWarning, "NotHonoured", text)
		}
	}
	a.reported = now
}

// say writes an event on the Node.
func (a *Agent) say(kind, reason, text string) {
	a.log.Warn(text, "reason", reason)
	if a.cfg.Recorder != nil {
		node := &corev1.ObjectReference{Kind: "Node", APIVersion: "v1", Name: a.cfg.NodeName, UID: types.UID(a.cfg.NodeName)}
		a.cfg.Recorder.Event(node, kind, reason, text)
	}
}

// reference is the object a problem is about, as events want it.
func reference(p compile.Problem) *corev1.ObjectReference {
	version := "v1"
	if p.Kind == "NetworkPolicy" {
		version = "networking.k8s.io/v1"
	}
	return &corev1.ObjectReference{
		Kind: p.Kind, APIVersion: version, Namespace: p.Namespace, Name: p.Name,
		UID: types.UID(p.UID), FieldPath: p.Field,
	}
}
