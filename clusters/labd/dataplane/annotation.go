package dataplane

import (
	"fmt"
	"maps"
	"slices"

	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/compile"
	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/profile"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// followNode has the Node's annotation change the profile, until stop. An
// annotation that cannot be read counts for nothing, and an event says so.
func (a *Agent) followNode() (stop func(), err error) {
	a.tune(a.temper.base)
	factory := informers.NewSharedInformerFactoryWithOptions(a.cfg.Client, 0, informers.WithTransform(forgetManagers),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.FieldSelector = "metadata.name=" + a.cfg.NodeName }))
	before := ""
	read := func(text string) {
		if text != before {
			before = text
			a.annotated(text)
		}
	}
	seen := func(object any) {
		if n, ok := object.(*corev1.Node); ok && n.Name == a.cfg.NodeName {
			read(n.Annotations[profile.Annotation])
		}
	}
	_, err = factory.Core().V1().Nodes().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: seen, UpdateFunc: func(_, is any) { seen(is) }, DeleteFunc: func(any) { read("") }})
	if err != nil {
		return nil, fmt.Errorf("watch the node: %w", err)
	}
	end := make(chan struct{})
	factory.Start(end)
	return func() { close(end); factory.Shutdown() }, nil
}

func (a *Agent) annotated(text string) {
	p, err := profile.Parse(text, a.temper.base)
	if err != nil {
		a.say(corev1.EventTypeWarning, "NotHonoured", "metadata.annotations["+profile.Annotation+"]: "+err.Error()+": the annotation counts for nothing")
	}
	a.tune(p)
}

// tune gives the data plane another profile from the next round on.
func (a *Agent) tune(p profile.Profile) {
	a.mu.Lock()
	was := a.temper.wanted
	a.temper.wanted = p
	a.mu.Unlock()
	switch {
	case p.Ignore:
		a.say(corev1.EventTypeWarning, "PoliciesIgnored", "the data plane's profile is "+p.String()+": NetworkPolicies are accepted and not enforced")
	case p != was:
		a.say(corev1.EventTypeNormal, "DataPlaneProfile", "the data plane's profile is "+p.String())
	}
	a.changed()
}

// misread are the policies whose annotation cannot be read.
func (a *Agent) misread() []compile.Problem {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Collect(maps.Values(a.temper.misread))
}
