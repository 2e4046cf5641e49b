package lint

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/tightrope-dev/tightrope/catalog"
)

// family is software whose pods talk to each other.
type family struct {
	title   string
	product string // name of its image, chart or application label
	group   string // label whose value the pods of one group share; empty: those of one workload
	ports   []port // that they use among themselves
	every   bool   // they choose ports at random: every port has to be open
	kin     bool   // all pods of the product in a namespace are one group, as far as can be told
	usual   bool   // so it is said of what an operator makes, and other policies may come with that
	own     bool   // they use the ports that their containers declare, but for dashboards and metrics
	source  string
}

// families is what is known of software beside the catalog.
var families = []family{
	{title: "Ray", group: "ray.io/cluster", every: true,
		ports:  []port{{6379, tcp}, {10002, tcp}, {19999, tcp}, {35000, tcp}},
		source: "workers listen on 10002 to 19999, and the managers of nodes and objects on random ports (docs.ray.io, configure ports)"},
	{title: "Ray", product: "ray", every: true, kin: true,
		ports:  []port{{10002, tcp}, {19999, tcp}, {35000, tcp}},
		source: "workers listen on 10002 to 19999, and the managers of nodes and objects on random ports (docs.ray.io, configure ports)"},
	{title: "Dask", product: "dask", own: true, source: "workers fetch data from each other (distributed.dask.org, worker)"},
	{title: "LeaderWorkerSet", group: "leaderworkerset.sigs.k8s.io/name", every: true, ports: []port{{29500, tcp}, {40000, tcp}},
		source: "ranks meet on 29500 and go on on ephemeral ports (pytorch.org, torchrun; vLLM distributed serving)"},
	{title: "CloudNativePG", group: "cnpg.io/cluster", usual: true, ports: []port{{5432, tcp}},
		source: "replicas stream from the primary, which any of them may become (cloudnative-pg.io, Replication)"},
	{title: "Training job", group: "training.kubeflow.org/job-name", every: true, ports: []port{{29500, tcp}, {40000, tcp}},
		source: "ranks meet on 29500 (or 23456) and go on on ephemeral ports (pytorch.org, torchrun)"},
	{title: "Weaviate", product: "weaviate", ports: []port{{7000, tcp}, {7000, udp}, {7001, tcp}, {8300, tcp}, {8301, tcp}},
		source: "7000 and 7001 carry gossip and data, 8300 and 8301 Raft (the chart of Weaviate)"},
	{title: "etcd", product: "etcd", ports: []port{{2380, tcp}}, source: "members replicate on 2380 (etcd.io, configuration)"},
	{title: "Redis Cluster", product: "redis-cluster", ports: []port{{6379, tcp}, {16379, tcp}}, source: "the cluster bus is the port plus 10000 (redis.io, cluster)"},
	{title: "MinIO", product: "minio", ports: []port{{9000, tcp}}, source: "drives of one set replicate on 9000 (min.io, distributed)"},
}

// peerNames are names that containers give ports between replicas.
var peerNames = []string{"p2p", "peer", "peers", "gossip", "raft", "cluster", "cluster-bus", "memberlist", "epmd", "replication", "tcp-raft", "tcp-gossip"}

// known are the families and what the catalog knows of services with peers.
func known() []family {
	all := slices.Clone(families)
	for _, name := range catalog.Names() {
		profile, err := catalog.Get(name)
		if err != nil {
			continue
		}
		f := family{title: profile.Title, product: name, source: "the catalog's profile " + name}
		for _, p := range profile.Ports {
			if p.Purpose == catalog.PurposePeer {
				f.ports = append(f.ports, port{p.Number, tcp})
			}
		}
		if len(f.ports) > 0 {
			all = append(all, f)
		}
	}
	return all
}

// peerPorts finds groups of pods that need each other and are cut apart.
func peerPorts(v *view) []draft {
	var drafts []draft
	for _, f := range known() {
		o := &openings{view: v}
		for _, c := range v.classes {
			if !f.is(c) {
				continue
			}
			if f.own {
				f.ports = v.workPorts(c)
			}
			for _, peer := range f.peers(v, c) {
				for _, p := range f.ports {
					o.need(c, peer, p, f.labels(v, c), f.every)
				}
			}
		}
		drafts = append(drafts, f.drafts(o)...)
	}
	for _, c := range v.classes {
		drafts = append(drafts, v.declaredPeers(c)...)
	}
	return unique(drafts)
}

// declaredPeers is about ports that a StatefulSet's containers name as those
// between its replicas.
func (v *view) declaredPeers(c *class) []draft {
	if c.workload.Kind != "StatefulSet" || slices.ContainsFunc(known(), func(f family) bool { return f.is(c) }) {
		return nil
	}
	f := family{title: c.name(), source: "its containers name them so"}
	for _, p := range c.Ports {
		if slices.Contains(peerNames, p.Name) {
			f.ports = append(f.ports, portOf(p))
		}
	}
	o := &openings{view: v}
	for _, peer := range f.peers(v, c) {
		for _, p := range f.ports {
			o.need(c, peer, p, f.labels(v, c), false)
		}
	}
	return f.drafts(o)
}

// is reports whether the class is of the family, by the label of a group, the
// application's name or the image.
func (f family) is(c *class) bool {
	if f.group != "" {
		return c.Labels[f.group] != ""
	}
	if f.kin && (c.Labels["ray.io/cluster"] != "" || c.told("max-worker-port")) {
		return false // a group tells more; and told ports are not the usual ones
	}
	for _, key := range []string{"app.kubernetes.io/name", "app"} {
		if c.Labels[key] == f.product {
			return true
		}
	}
	return slices.Contains(c.images(), f.product)
}

// peers are the classes that the class talks to, itself among them where it has
// more than one pod.
func (f family) peers(v *view, c *class) []*class {
	var all []*class
	for _, o := range v.in(c.Namespace) {
		same := o.workload == c.workload
		if f.group != "" {
			same = o.Labels[f.group] == c.Labels[f.group]
		} else if f.kin {
			same = f.is(o)
		}
		if same && (o != c || len(c.pods) > 1 || c.workload.Replicas > 1 || c.workload.Replicas < 0) {
			all = append(all, o)
		}
	}
	return all
}

// labels select the whole group.
func (f family) labels(v *view, c *class) map[string]string {
	switch {
	case f.group != "":
		return map[string]string{f.group: c.Labels[f.group]}
	case f.kin:
		return nil // each peer has its own
	}
	return v.tell(c).Labels
}

func (f family) drafts(o *openings) []draft {
	var drafts []draft
	for _, x := range f.together(o.merged()) {
		d := x.draft(Error)
		if f.kin || f.own || f.usual {
			d.severity = Warning // by its image or name alone
		}
		if f.group == "" && x.subjects[0].workload.Kind == "Deployment" {
			d.severity = Warning // its replicas may each be one of their own
		}
		d.what = fmt.Sprintf("%s: its own pods may not reach each other (%s %s).", names(x.subjects), word(x.direction), strings.TrimSpace(portsText(x.ports)))
		ports := portsText(x.ports)
		if f.every {
			ports = "every port"
			d.what = fmt.Sprintf("%s: the pods of its group may not reach each other on every port (%s).", names(x.subjects), word(x.direction))
		}
		d.why = fmt.Sprintf("%s, and no rule allows it; %s: %s.", o.view.isolators(x.subjects[0], x.direction), f.title, f.source)
		d.fix = fmt.Sprintf("Allow %s among the pods %s, %s.", ports, selectorText(x.labels), d.fix)
		if f.kin { // several rules together
			d.edit, d.document = nil, ""
			d.fix = fmt.Sprintf("Allow %s among the pods of %s in namespace %s, by a label that all of them have.", ports, f.title, x.policy.Namespace)
		}
		if len(x.subjects) > 1 && d.edit == nil { // they are told apart by what changes
			d.document = ""
			d.fix = fmt.Sprintf("Allow %s among the pods %s, in a policy that selects these.", ports, selectorText(x.labels))
		}
		drafts = append(drafts, d)
	}
	return drafts
}

// together puts classes of one workload together, such as a primary and its replicas.
func (f family) together(all []*opening) []*opening {
	if !f.usual {
		return all
	}
	var kept []*opening
	for _, x := range all {
		i := slices.IndexFunc(kept, func(o *opening) bool {
			return o.alike(x) && slices.Equal(o.ports, x.ports) && o.subjects[0].workload == x.subjects[0].workload
		})
		if i < 0 {
			kept = append(kept, x)
		} else {
			kept[i].subjects = append(kept[i].subjects, x.subjects...)
		}
	}
	return kept
}

// workPorts are the ports that the class declares, but for dashboards and metrics.
func (v *view) workPorts(c *class) []port {
	var all []port
	for _, p := range c.Ports {
		if !strings.HasPrefix(p.Name, "dash") && p.Name != "bokeh" && !namesMetrics(p.Name) {
			all = append(all, portOf(p))
		}
	}
	return all
}

// told reports whether a container's command or arguments have the text.
func (c *class) told(text string) bool {
	if c.workload == nil || c.workload.Template == nil {
		return false
	}
	return slices.ContainsFunc(c.workload.Template.Spec.Containers, func(container corev1.Container) bool {
		return slices.ContainsFunc(slices.Concat(container.Command, container.Args), func(arg string) bool { return strings.Contains(arg, text) })
	})
}

// unique drops drafts that say the same of one place, as two classes of a group do.
func unique(drafts []draft) []draft {
	seen := map[string]bool{}
	return slices.DeleteFunc(drafts, func(d draft) bool {
		key := d.policy.Key() + d.at.String() + d.fix + d.document
		had := seen[key]
		seen[key] = true
		return had
	})
}
