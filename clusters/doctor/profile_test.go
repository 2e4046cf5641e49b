package doctor

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/probes/enforcing"
)

var (
	in1  = enforcing.Pair{Node: "n1", Direction: networkingv1.PolicyTypeIngress}
	out1 = enforcing.Pair{Node: "n1", Direction: networkingv1.PolicyTypeEgress}
	in2  = enforcing.Pair{Node: "n2", Direction: networkingv1.PolicyTypeIngress}
	out2 = enforcing.Pair{Node: "n2", Direction: networkingv1.PolicyTypeEgress}
)

// flip is one that every pair follows.
func flip(took time.Duration, pairs ...enforcing.Pair) enforcing.Flip {
	f := enforcing.Flip{Took: map[enforcing.Pair]time.Duration{}}
	for _, p := range pairs {
		f.Took[p] = took
	}
	return f
}

// measuredExaminer found all there is on two nodes.
func measuredExaminer(t *testing.T, f interceptor.Funcs, objects ...client.Object) *examiner {
	x := newExaminer(t, f, objects...)
	r := enforcing.Result{
		Added:   []enforcing.Flip{flip(100*time.Millisecond, in1, out1, in2, out2)},
		Removed: []enforcing.Flip{flip(1500*time.Millisecond, in1, out1, in2, out2)},
	}
	x.found.MeasuredAt = time.Unix(1000, 0)
	x.found.Nodes, x.found.Enforces, x.found.flips = []string{"n1", "n2"}, true, whereOf([]string{"n1", "n2"}, r)
	x.found.identity = v1alpha1.ClusterIdentity{Nodes: "n", Plugin: "p", Configuration: "c"}
	x.speed(r)
	x.established(enforcing.Established{Fates: map[enforcing.Pair]enforcing.Fate{in1: enforcing.Cut, out1: enforcing.Survived}}, nil)
	x.forms(r, []enforcing.Tried{{Form: enforcing.Label, Flip: flip(22*time.Second, in1)}, {Form: enforcing.Select, Flip: enforcing.Flip{Late: []enforcing.Pair{in1}}}}, nil)
	x.found.PolicyKinds = []PolicyKind{{Kind: "K", Group: "g", Understood: true}, {Kind: "L", Group: "g"}}
	return x
}

func TestWhatWasMeasuredIsStoredAsAProfile(t *testing.T) {
	old := &v1alpha1.EnforcementProfile{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ProfileName}}
	old.Status.Deny = "Reject"
	old.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionCurrent, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNodesChanged}}
	for name, objects := range map[string][]client.Object{"the first": nil, "in place of another": {old}} {
		t.Run(name, func(t *testing.T) {
			x := measuredExaminer(t, interceptor.Funcs{}, objects...)
			if err := x.save(t.Context()); err != nil {
				t.Fatal(err)
			}
			var got v1alpha1.EnforcementProfile
			if err := x.api.Get(t.Context(), client.ObjectKey{Name: "cluster"}, &got); err != nil {
				t.Fatal(err)
			}
			s := got.Status
			if c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionCurrent); c == nil || c.Status != metav1.ConditionTrue {
				t.Errorf("conditions %+v", s.Conditions)
			}
			writes := map[string]v1alpha1.WriteProfile{}
			for _, w := range s.Writes {
				writes[w.Form] = w
			}
			both := v1alpha1.EnforcedWhere{Ingress: v1alpha1.Yes, Egress: v1alpha1.Yes}
			if s.Enforces != both || len(s.Nodes) != 2 || s.Nodes[1].Enforces != both || s.Nodes[1].Slowest.Duration != 1500*time.Millisecond ||
				s.Settle.P99.Duration != 1500*time.Millisecond || s.Settle.P50.Duration != 100*time.Millisecond || s.Established != "Mixed" || s.Deny != "Unknown" ||
				writes["Label"].Acts != v1alpha1.Yes || writes["Label"].Slowest.Duration != 22*time.Second || writes["Select"].Acts != v1alpha1.No ||
				writes["Unlabel"].Acts != v1alpha1.Unknown || writes["Delete"].Acts != v1alpha1.Yes || len(writes) != 6 || !s.MeasuredAt.Time.Equal(time.Unix(1000, 0)) {
				t.Errorf("%+v", s)
			}
			want := []v1alpha1.PolicyKindProfile{{Kind: "K", Group: "g", Understood: v1alpha1.Yes}, {Kind: "L", Group: "g", Understood: v1alpha1.No}}
			if !reflect.DeepEqual(s.PolicyKinds, want) || !reflect.DeepEqual(s.Identity, x.found.identity) {
				t.Errorf("%+v, %+v", s.PolicyKinds, s.Identity)
			}
		})
	}
}

// A profile that could never be told to be void, or that says nothing, replaces none.
func TestWhatIsNoProfileIsNotStored(t *testing.T) {
	for name, edit := range map[string]func(*examiner){
		"nothing was measured":                 func(x *examiner) { x.found.flips = nil },
		"it is not known what the cluster was": func(x *examiner) { x.found.identity = v1alpha1.ClusterIdentity{} },
	} {
		x := measuredExaminer(t, interceptor.Funcs{})
		edit(x)
		err := x.save(t.Context())
		if got := x.api.Get(t.Context(), client.ObjectKey{Name: "cluster"}, &v1alpha1.EnforcementProfile{}); !errors.Is(err, ErrNotSaved) || !apierrors.IsNotFound(got) {
			t.Errorf("%s: %v, and it is there: %v", name, err, got)
		}
	}
	x := measuredExaminer(t, interceptor.Funcs{Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
		return &meta.NoKindMatchError{GroupKind: schema.GroupKind{Kind: "EnforcementProfile"}}
	}})
	if err := x.save(t.Context()); !errors.Is(err, ErrNotSaved) || !strings.Contains(err.Error(), "tightrope install") {
		t.Errorf("where the kind is not known: %v", err)
	}
}

func TestANodeThatDoesNotEnforceIsInTheProfile(t *testing.T) {
	r := enforcing.Result{Added: []enforcing.Flip{flip(time.Second, in1, out1, in2)}}
	r.Added[0].Late = []enforcing.Pair{out2}
	where := whereOf([]string{"n1", "n2"}, r)
	if where["n2"].Egress != v1alpha1.No || where["n1"].Egress != v1alpha1.Unknown {
		t.Errorf("%+v; want a leak to be No, and what was denied and not seen to come back to be Unknown", where)
	}
	s, err := profileOf(&Examination{Nodes: []string{"n1", "n2"}, flips: where, identity: v1alpha1.ClusterIdentity{Nodes: "n"}})
	if err != nil || s.Enforces.Egress != v1alpha1.No || s.Enforces.Ingress != v1alpha1.Unknown || s.Settle.P99.Duration != 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestWhatBecomesOfOpenConnections(t *testing.T) {
	type fates = map[enforcing.Pair]enforcing.Fate
	for name, tt := range map[string]struct {
		e           enforcing.Established
		found, says string
	}{
		"all live on":    {enforcing.Established{Fates: fates{in1: enforcing.Survived, out1: enforcing.Survived}}, "Survive", "they live on: data still went both ways 5s after"},
		"all are cut":    {enforcing.Established{Fates: fates{in1: enforcing.Cut}, After: map[enforcing.Pair]time.Duration{in1: time.Second}}, "Cut", "they are cut, at most 1000 ms after"},
		"it depends":     {enforcing.Established{Fates: fates{in1: enforcing.Cut, out1: enforcing.Survived}}, "Mixed", "by a policy of ingress: Cut, by a policy of egress: Survive"},
		"nobody knows":   {enforcing.Established{Why: "it is so"}, "", "Unknown: it is so"},
		"nothing is":     {enforcing.Established{}, "", "Unknown: nobody saw"},
		"some are known": {enforcing.Established{Fates: fates{in1: enforcing.Cut}, Why: "of 1 of 2"}, "", "Unknown: of 1 of 2"},
	} {
		x := newExaminer(t, interceptor.Funcs{})
		x.established(tt.e, nil)
		got := x.says(checkEstablished)
		if x.found.Checks[0].State == Unknown {
			got = "Unknown" + got
		}
		if x.found.Established != tt.found || !strings.Contains(got, tt.says) {
			t.Errorf("%s: %q, %s", name, x.found.Established, got)
		}
	}
}

func TestAFormThatDoesNotActIsAProblem(t *testing.T) {
	x := measuredExaminer(t, interceptor.Funcs{})
	got := x.says(checkForms)
	for _, want := range []string{"Problem: Select did not act within 15s", "OK: these act: Create within 100 ms, Delete within 1500 ms, Label within 22000 ms", ": Deselect, Unlabel: "} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nwithout %q", got, want)
		}
	}
}

func TestHowTheAPIServerIsReached(t *testing.T) {
	proxy := func(text string) func(*http.Request) (*url.URL, error) {
		return func(*http.Request) (*url.URL, error) {
			if text == "" {
				return nil, nil
			}
			return url.Parse(text)
		}
	}
	for name, tt := range map[string]struct {
		cfg   rest.Config
		state State
		says  string
	}{
		"directly":        {rest.Config{Host: "https://10.0.0.1:6443", Proxy: proxy("")}, OK, "reached at 10.0.0.1:6443, without a proxy"},
		"below a path":    {rest.Config{Host: "https://rancher.example/k8s/clusters/c-1", Proxy: proxy("")}, OK, "below /k8s/clusters/c-1"},
		"through a proxy": {rest.Config{Host: "https://10.0.0.1:6443", Proxy: proxy("http://me:hunter2@proxy.example:3128")}, Note, "through proxy http://proxy.example:3128"},
		"a broken proxy":  {rest.Config{Host: "https://10.0.0.1:6443", Proxy: proxy("::")}, Problem, "is no URL"},
	} {
		x := newExaminer(t, interceptor.Funcs{})
		x.Config = &tt.cfg
		x.reach()
		if c := x.found.Checks[0]; c.State != tt.state || !strings.Contains(c.Says, tt.says) || strings.Contains(c.Says+strings.Join(c.Do, ""), "hunter2") {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func TestDNSIsFoundWhereverItIs(t *testing.T) {
	service := func(namespace, name string, port int32, protocol corev1.Protocol) *corev1.Service {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: port, Protocol: protocol}}}}
	}
	for name, tt := range map[string]struct {
		objects []client.Object
		named   probes.Outcome
		state   State
		says    string
	}{
		"OpenShift's":             {[]client.Object{service("openshift-dns", "dns-default", 53, "UDP"), service("a", "web", 53, "TCP")}, probes.Reached, OK, "served by openshift-dns/dns-default; a probe pod looked"},
		"a cache of each node":    {nil, probes.TimedOut, OK, "no Service answers on port 53/UDP"},
		"names are not looked up": {[]client.Object{service("kube-system", "kube-dns", 53, "UDP")}, probes.DNSFailure, Problem, "could not look up kubernetes.default.svc"},
		"nobody tried":            {nil, probes.Unsent, Unknown, "no probe pod tried"},
	} {
		x := newExaminer(t, interceptor.Funcs{}, tt.objects...)
		x.named = tt.named
		x.dns(t.Context())
		if c := x.found.Checks[0]; c.State != tt.state || !strings.Contains(c.Says, tt.says) {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func TestAddressFamilies(t *testing.T) {
	for says, addresses := range map[string][]string{
		"pods have IPv4 addresses":          {"10.0.0.1"},
		"only the first, IPv6, was tried":   {"fd00::1", "10.0.0.1"},
		"no probe pod had an address":       nil,
		"pods have IPv6 addresses, which w": {"fd00::1"},
	} {
		x := newExaminer(t, interceptor.Funcs{})
		x.addresses = addresses
		x.families(t.Context())
		if got := x.says(checkFamilies); !strings.Contains(got, says) {
			t.Errorf("%v: %s", addresses, got)
		}
	}
}

// The network plugin is looked for where plugins are installed, and where the caller says.
func TestWhereTheNetworkPluginIsLookedFor(t *testing.T) {
	set := func(namespace string) *appsv1.DaemonSet {
		d := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "cni"}}
		d.Spec.Template.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/etc/cni/net.d"}}}}
		return d
	}
	for _, tt := range []struct {
		named, want []string
		says        string
	}{
		{nil, []string{"calico-system/cni"}, "Note: calico-system/cni "},
		{[]string{"own"}, []string{"calico-system/cni", "own/cni"}, "Note: calico-system/cni, own/cni "},
	} {
		x := newExaminer(t, interceptor.Funcs{}, set("calico-system"), set("own"), set("tenant"))
		x.PluginNamespaces = tt.named
		x.identify(t.Context())
		if got := x.says(checkIdentity); got != tt.says || !reflect.DeepEqual(x.found.identity.Plugins, tt.want) {
			t.Errorf("%v: %s, %v", tt.named, got, x.found.identity.Plugins)
		}
	}
	x := newExaminer(t, interceptor.Funcs{}, set("tenant"))
	x.identify(t.Context())
	if got := x.says(checkIdentity); !strings.Contains(got, "no DaemonSet installs one where") || !strings.Contains(got, "--plugin-namespace") {
		t.Errorf("%s", got)
	}
}
