package strict

import (
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// maxReason bounds a reason, in bytes, as the API does.
const maxReason = 1024

var exceptionTypes = []v1alpha1.ExceptionType{v1alpha1.ExceptionPredictedCut, v1alpha1.ExceptionUnqualifiedPath,
	v1alpha1.ExceptionUnisolation, v1alpha1.ExceptionSuspendedSync}

// CheckExceptions wants each exception to be one, and to name one of the paths that it
// can be about, if it is about a path. Whether that is predicted to be cut is for a plan
// to say.
func CheckExceptions(at string, all []v1alpha1.Exception, paths []v1alpha1.Path) Faults {
	f := Faults{}
	var names []string
	for _, path := range paths {
		names = append(names, path.Name)
	}
	for i, e := range all {
		at := index(at, i)
		f = append(f, CheckException(at, e)...)
		if !e.OfPath() {
			continue
		}
		switch n := slices.Index(names, e.Path); {
		case n < 0:
			f.Add(at+".path", "the suite has no path %q%s", Show(e.Path), DidYouMean(e.Path, names))
		case e.Type == v1alpha1.ExceptionPredictedCut && paths[n].Expect == v1alpha1.ExpectDeny:
			f.Add(at+".path", "path %q must not work, so it cannot be cut", Show(e.Path))
		}
		if slices.ContainsFunc(all[:i], func(other v1alpha1.Exception) bool { return other.Type == e.Type && other.Path == e.Path }) {
			f.Add(at, "path %q is accepted twice", Show(e.Path))
		}
	}
	return f
}

// CheckException wants an exception to have a type and a reason, to say what goes with
// its type, and nothing else.
func CheckException(at string, e v1alpha1.Exception) Faults {
	f := Faults{}
	pods := e.Namespace != "" || e.PodSelector != nil || e.Direction != ""
	switch {
	case !slices.Contains(exceptionTypes, e.Type):
		f.Add(at+".type", "%q is not %s", Show(string(e.Type)), OneOf(exceptionTypes))
	case e.OfPath() && e.Path == "":
		f.Add(at+".path", "is missing: an exception of type %s names a path of the suites", e.Type)
	case e.Type == v1alpha1.ExceptionUnisolation && (e.Namespace == "" || e.PodSelector == nil || e.Direction != networkingv1.PolicyTypeIngress && e.Direction != networkingv1.PolicyTypeEgress):
		f.Add(at, "an exception of type %s names a namespace, a podSelector, and the direction Ingress or Egress", e.Type)
	case e.Type == v1alpha1.ExceptionSuspendedSync && strings.Count(e.Policy, "/") != 1:
		f.Add(at+".policy", "%q is not the namespace/name of a policy", Show(e.Policy))
	case !e.OfPath() && e.Path != "", e.Type != v1alpha1.ExceptionSuspendedSync && e.Policy != "", e.Type != v1alpha1.ExceptionUnisolation && pods:
		f.Add(at, "says more than goes with its type: path is of PredictedCut and UnqualifiedPath, policy of SuspendedSync, namespace, podSelector and direction of Unisolation")
	}
	if e.PodSelector != nil {
		if _, err := metav1.LabelSelectorAsSelector(e.PodSelector); err != nil {
			f.Add(at+".podSelector", "%s", Show(err.Error()))
		}
	}
	if e.Reason == "" || len(e.Reason) > maxReason {
		f.Add(at+".reason", "has %d bytes: say in at most %d why this is accepted", len(e.Reason), maxReason)
	}
	return f
}
