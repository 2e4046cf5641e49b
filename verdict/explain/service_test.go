package explain

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// network has Services of all kinds, and a pod that may go out on 443 only.
const network = `apiVersion: v1
kind: Pod
metadata: {name: agent, namespace: x, labels: {app: agent}}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: free, namespace: x, labels: {app: free}}
spec: {containers: [{name: c, image: i, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Node
metadata: {name: node}
status: {addresses: [{type: InternalIP, address: 172.18.0.2}]}
---
apiVersion: v1
kind: Service
metadata: {name: kubernetes, namespace: default}
spec: {clusterIP: 10.96.0.1, ports: [{name: https, port: 443, targetPort: 6443}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: x}
spec: {type: NodePort, clusterIP: 10.96.0.9, selector: {app: free}, ports: [{port: 443, targetPort: 8080, nodePort: 30443}]}
---
apiVersion: v1
kind: Service
metadata: {name: pg, namespace: x}
spec: {ports: [{port: 443}]}
---
apiVersion: v1
kind: Service
metadata: {name: other, namespace: x}
spec: {type: ExternalName, externalName: db.example}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: agent, namespace: x}
spec:
  podSelector: {matchLabels: {app: agent}}
  policyTypes: [Egress]
  egress: [{ports: [{port: 443}]}]
`

const slice = `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kubernetes, namespace: default, labels: {kubernetes.io/service-name: kubernetes}}
addressType: IPv4
endpoints: [{addresses: [172.18.0.3]}]
ports: [{name: https, port: 6443}]
`

func stated(t *testing.T, text string, o manifest.Options) *manifest.Set {
	t.Helper()
	set, err := manifest.ReadStream("all.yaml", strings.NewReader(text), o)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func says(t *testing.T, text, first string, all []string) {
	t.Helper()
	if !strings.HasPrefix(text, first) {
		t.Errorf("it begins with %q, want %q", strings.SplitN(text, "\n", 2)[0], first)
	}
	for _, want := range all {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
}

func TestAnAddressLeadsWhereItsServiceLeads(t *testing.T) {
	o := manifest.Options{ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12")}, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")}}
	for _, tt := range []struct {
		name, text string
		ask        Names
		first      string
		says       []string
	}{
		{"the API server's, on the port behind it", network + slice, Names{From: "x/agent", To: "10.96.0.1", Port: "443"},
			"No: x/agent may not connect to 172.18.0.3 on 6443/TCP.",
			[]string{"10.96.0.1 is the address of Service default/kubernetes", "leads to port 6443 of 172.18.0.3", "only on 443/TCP", "ipBlock: {cidr: 172.18.0.3/32}"}},
		{"the same by name", network + slice, Names{From: "x/agent", To: "svc/default/kubernetes", Port: "https"},
			"No: x/agent may not connect to 172.18.0.3 on 6443/TCP.", nil},
		{"the API server's without its endpoints", network, Names{From: "x/agent", To: "10.96.0.1", Port: "443"},
			"Not known: whether x/agent may connect to Service default/kubernetes on 443/TCP.",
			[]string{"no EndpointSlice in the input says where it leads", "often 6443", "kubectl get endpointslices -n default -l kubernetes.io/service-name=kubernetes -o yaml"}},
		{"the same for a pod that nobody isolates", network, Names{From: "x/free", To: "10.96.0.1", Port: "443"},
			"Yes: x/free may connect to Service default/kubernetes on 443/TCP.", []string{"No policy is about what leaves x/free"}},
		{"a cluster IP", network, Names{From: "x/agent", To: "10.96.0.9", Port: "443"},
			"No: x/agent may not connect to x/free on 8080/TCP.", []string{"10.96.0.9 is the address of Service x/web"}},
		{"a node's port", network, Names{From: "x/agent", To: "172.18.0.2", Port: "30443"},
			"No: x/agent may not connect to x/free on 8080/TCP.", []string{"Port 30443 of node 172.18.0.2 is that of Service x/web"}},
		{"another port of a node", network, Names{From: "x/agent", To: "172.18.0.2", Port: "443"},
			"Yes: x/agent may connect to 172.18.0.2 on 443/TCP.", nil},
		{"no selector and no endpoints", network, Names{From: "x/free", To: "svc/x/pg", Port: "443"},
			"Not known: whether x/free may connect to Service x/pg on 443/TCP.", []string{"Service x/pg has no selector"}},
		{"a name outside", network, Names{From: "x/agent", To: "svc/x/other", Port: "443"},
			"Not known: whether x/agent may connect to Service x/other", []string{"another name for db.example"}},
		{"an address of no Service in their range", network, Names{From: "x/agent", To: "10.96.7.7", Port: "443"},
			"Not known: whether x/agent may connect to 10.96.7.7 on 443/TCP.", []string{"in --service-cidr, and no Service in the input has it"}},
		{"an address of no pod in their range", network, Names{From: "x/agent", To: "10.244.7.7", Port: "443"},
			"Not known: whether x/agent may connect to 10.244.7.7 on 443/TCP.", []string{"in --pod-cidr, and no pod in the input has it"}},
		{"an address elsewhere", network, Names{From: "x/agent", To: "198.51.100.7", Port: "443"},
			"Yes: x/agent may connect to 198.51.100.7 on 443/TCP.", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, text := answer(t, stated(t, tt.text, o), tt.ask)
			says(t, text, tt.first, tt.says)
		})
	}
	for from, want := range map[string]string{"10.96.0.9": "from which no connection comes", "10.96.7.7": "no connection comes", "10.244.7.7": "no pod in the input has it"} {
		if _, err := Resolve(stated(t, network, o), Names{From: from, To: "x/free", Port: "80"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("from %s: %v", from, err)
		}
	}
}

// What is not known is told with the policy, the rule, and the flag that states it;
// with the flag it is known.
func TestWhatIsNotKnownIsToldWithItsFlag(t *testing.T) {
	const text = `apiVersion: v1
kind: Namespace
metadata: {name: a}
---
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: a, labels: {app: p}}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: q, namespace: b, labels: {app: q}}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: world, namespace: a}
spec:
  podSelector: {}
  policyTypes: [Egress, Ingress]
  egress: [{to: [{podSelector: {}}]}, {to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16]}}]}]
  ingress: [{from: [{namespaceSelector: {matchLabels: {team: ml}}}], ports: [{port: 80}]}]
`
	out, in := Names{From: "a/p", To: "b/q", Port: "80"}, Names{From: "b/q", To: "a/p", Port: "80"}
	_, told := answer(t, stated(t, text, manifest.Options{}), out)
	says(t, told, "Not known: whether a/p may connect to b/q", []string{"Rule spec.egress[1] of a/world may", "the address of b/q is not in the input",
		"--pod-cidr 10.244.0.0/16", "With pods in any private network (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16) the answer is No."})
	_, told = answer(t, stated(t, text, manifest.Options{}), in)
	says(t, told, "Not known: whether b/q may connect to a/p", []string{"Rule spec.ingress[0] of a/world may", "whether namespace b has the label team=ml is not in the input", "--namespace-label b=team=ml"})

	within := func(cidr string) manifest.Options {
		return manifest.Options{PodCIDRs: []netip.Prefix{netip.MustParsePrefix(cidr)}}
	}
	_, told = answer(t, stated(t, text, within("10.1.0.0/16")), out)
	says(t, told, "No: a/p may not connect to b/q", nil)
	_, told = answer(t, stated(t, text, within("198.18.0.0/15")), out)
	says(t, told, "Yes: a/p may connect to b/q", nil)
	_, told = answer(t, stated(t, text, within("0.0.0.0/0")), out)
	says(t, told, "Not known: whether a/p", []string{"covers a part of --pod-cidr"})
	labelled := func(value string) manifest.Options {
		return manifest.Options{NamespaceLabels: map[string]map[string]string{"b": {"team": value}}}
	}
	_, told = answer(t, stated(t, text, labelled("ml")), in)
	says(t, told, "Yes: b/q may connect to a/p", nil)
	_, told = answer(t, stated(t, text, labelled("web")), in)
	says(t, told, "No: b/q may not connect to a/p", nil)
}

// A peer that misses by one label says which.
func TestALabelThatIsAlmostRightIsShown(t *testing.T) {
	const text = `apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly, namespace: x, labels: {role: cron}}
spec: {schedule: "1 1 * * *", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}}}
---
apiVersion: v1
kind: Pod
metadata: {name: gateway, namespace: x, labels: {app: gateway-v2}}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: part, namespace: x, labels: {app: shop}}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: other, namespace: x, labels: {app: batch}}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: x, labels: {app: db}}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: x}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress: [{from: [{podSelector: {matchLabels: {app: gateway}}}, {podSelector: {matchLabels: {role: cron}}}, {podSelector: {matchLabels: {app: shop, part: cart}}}], ports: [{port: 5432}]}]
`
	set := stated(t, text, manifest.Options{})
	for from, want := range map[string]string{
		"x/gateway": "It asks for app: gateway, and x/gateway has app: gateway-v2. Did you mean app: gateway-v2?",
		"x/nightly": "The label role: cron stands on CronJob x/nightly and not on its pods: put it into spec.jobTemplate.spec.template.metadata.labels. With it, the connection is allowed.",
		"x/part":    "x/part lacks only the label part: cart. With it, the connection is allowed.",
	} {
		_, told := answer(t, set, Names{From: from, To: "x/db", Port: "5432"})
		says(t, told, "No: ", []string{want})
	}
	// A rule for pods that are there is no slip, whatever another pod has in common with them.
	meant := stated(t, text+"---\napiVersion: v1\nkind: Pod\nmetadata: {name: right, namespace: x, labels: {app: gateway}}\nspec: {containers: [{name: c, image: i}]}\n", manifest.Options{})
	if _, told := answer(t, meant, Names{From: "x/gateway", To: "x/db", Port: "5432"}); strings.Contains(told, "Did you mean") {
		t.Errorf("the rule is for another pod:\n%s", told)
	}
	if _, told := answer(t, set, Names{From: "x/other", To: "x/db", Port: "5432"}); strings.Contains(told, "Did you mean") || strings.Contains(told, "lacks") {
		t.Errorf("nothing is near:\n%s", told)
	}
}

// The Services that an operator makes of what the input has lead to its pods.
func TestAServiceThatAnOperatorMakes(t *testing.T) {
	set := stated(t, "apiVersion: postgresql.cnpg.io/v1\nkind: Cluster\nmetadata: {name: pg, namespace: x}\nspec: {instances: 2}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: x}\nspec: {containers: [{name: c, image: i}]}\n", manifest.Options{})
	for service, pod := range map[string]string{"svc/x/pg-rw": "x/pg-1", "svc/x/pg-ro": "x/pg-2"} {
		_, told := answer(t, set, Names{From: "x/web", To: service, Port: "5432"})
		says(t, told, "Yes: ", []string{"x/web may connect to " + pod + " on 5432/TCP"})
	}
}
