package explain

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
	"github.com/tightrope-dev/tightrope/verdict/matrix"
)

// Answer is why one connection is allowed, denied or unknown. Its texts are
// whole sentences, not yet sanitized.
type Answer struct {
	From     string `json:"from"`
	To       string `json:"to"`
	Port     string `json:"port"` // 443/TCP
	Verdict  string `json:"verdict" jsonschema:"enum=Allow,enum=Deny,enum=Unknown"`
	Sentence string `json:"sentence"`
	// Notes say what a name came to, and whether other pods differ.
	Notes []string `json:"notes"`
	Out   Side     `json:"egress"`
	In    Side     `json:"ingress"`
	// Next says what to do; Additions are the rules to add, which together allow
	// the connection. None where nothing is denied, or a policy cannot help.
	Next      string     `json:"next"`
	Additions []Addition `json:"additions"`

	decision verdict.Decision
}

// Unknown reports whether the policies leave it open.
func (a Answer) Unknown() bool { return a.decision == verdict.Unknown }

// Side is what decides at one end.
type Side struct {
	Title    string   `json:"-"`
	Verdict  string   `json:"verdict" jsonschema:"enum=Allow,enum=Deny,enum=Unknown"`
	Rule     string   `json:"rule"`     // as in the matrix
	Policies []string `json:"policies"` // that isolate the pod in the direction, sorted
	Text     string   `json:"text"`     // why, in plain words
	Where    string   `json:"where"`    // file:line of Lines; empty for a cluster's object
	Lines    string   `json:"lines"`    // YAML of the rule that decides or comes nearest; may be empty
}

// Explain judges the question and says why. The pair that it explains is the
// first that is denied, else the first that is unknown, else the first.
func Explain(set *manifest.Set, q Question) Answer {
	x := &explainer{set: set, snapshot: verdict.Compile(set.World, set.Pods), through: q.through}
	if q.Unmapped != "" {
		if a, ok := x.unmapped(q); ok {
			return a
		}
	}
	worst := -1
	var counts [3]int
	for i := range q.From {
		for j := range q.To {
			if len(q.From)*len(q.To) > 1 && q.From[i].Pod != nil && q.From[i].Pod == q.To[j].Pod {
				continue
			}
			c := verdict.Conn{From: endOf(q.From[i]), To: endOf(q.To[j]), Port: q.Ports[j], Protocol: q.Protocol}
			v := x.judge(c)
			counts[v.Decision]++
			if s := slices.Index([]verdict.Decision{verdict.Allow, verdict.Unknown, verdict.Deny}, v.Decision); s > worst {
				worst, x.conn, x.verdict = s, c, v
			}
		}
	}
	return x.answer(q.Note, counts)
}

func endOf(e matrix.End) verdict.End { return verdict.End{Pod: e.Pod, IP: e.IP, Node: e.Node} }

// explainer is one answer under way.
type explainer struct {
	set      *manifest.Set
	snapshot *verdict.Snapshot
	conn     verdict.Conn
	verdict  verdict.Verdict
	owners   map[string]*manifest.Workload // by pod
	through  string                        // as in Question
	states   []string                      // what the input would have to say, each with its flag
}

func (x *explainer) answer(note string, counts [3]int) Answer {
	c, v := x.conn, x.verdict
	a := Answer{From: c.From.String(), To: c.To.String(), Port: fmt.Sprintf("%d/%s", c.Port, c.Protocol), Verdict: v.Decision.String(), decision: v.Decision, Notes: []string{}, Additions: []Addition{}}
	a.Sentence = fmt.Sprintf(map[verdict.Decision]string{
		verdict.Allow:   "Yes: %s may connect to %s on %s.",
		verdict.Deny:    "No: %s may not connect to %s on %s.",
		verdict.Unknown: "Not known: whether %s may connect to %s on %s.",
	}[v.Decision], a.From, a.To, a.Port)
	if note != "" {
		a.Notes = append(a.Notes, note)
	}
	if total := counts[verdict.Allow] + counts[verdict.Deny] + counts[verdict.Unknown]; total > counts[v.Decision] {
		a.Notes = append(a.Notes, mixed(counts, v.Decision))
	} else if total > 1 {
		a.Notes = append(a.Notes, fmt.Sprintf("It is the same for all %d pairs of pods.", total))
	}
	a.Out = x.side(networkingv1.PolicyTypeEgress, v.Egress)
	a.In = x.side(networkingv1.PolicyTypeIngress, v.Ingress)
	a.Next, a.Additions = x.next()
	return a
}

// mixed says of how many pairs of pods each verdict is, where they differ.
func mixed(counts [3]int, shown verdict.Decision) string {
	var all []string
	for _, d := range []verdict.Decision{verdict.Allow, verdict.Deny, verdict.Unknown} {
		if counts[d] > 0 {
			all = append(all, fmt.Sprintf(map[verdict.Decision]string{
				verdict.Allow: "%d may connect", verdict.Deny: "%d may not", verdict.Unknown: "of %d it is not known",
			}[d], counts[d]))
		}
	}
	about := map[verdict.Decision]string{verdict.Deny: "that may not", verdict.Unknown: "of which it is not known"}[shown]
	return fmt.Sprintf("Of %d pairs of pods, %s. This is about the first %s.", counts[0]+counts[1]+counts[2], listed(all, ""), about)
}

// allowing reads the allowing rule of a side: policy and index.
var allowing = regexp.MustCompile(`^(\S+) (?:egress|ingress)\[(\d+)\]$`)

func (x *explainer) side(d networkingv1.PolicyType, s verdict.Side) Side {
	subject, preposition := x.conn.From, "Out of "
	if d == networkingv1.PolicyTypeIngress {
		subject, preposition = x.conn.To, "Into "
	}
	side := Side{Title: preposition + subject.String(), Verdict: s.Decision.String(), Rule: s.Rule, Policies: []string{}}
	if side.Rule == "" {
		side.Rule = s.Reason
	}
	switch {
	case subject.Pod == nil && subject.Node != "":
		side.Text = fmt.Sprintf("%s is an address of node %s, and policies are about pods.", subject, subject.Node)
		return side
	case subject.Pod == nil:
		side.Text = fmt.Sprintf("%s is outside the cluster, where no policy applies.", subject)
		return side
	}
	isolating := x.isolating(*subject.Pod, d)
	for _, p := range isolating {
		side.Policies = append(side.Policies, p.Key())
	}
	switch m := allowing.FindStringSubmatch(s.Rule); {
	case m != nil:
		i, _ := strconv.Atoi(m[2])
		side.Text = x.covered(d, isolating) + fmt.Sprintf(" Rule %s of %s lets it %s:", field(d, i), m[1], way(d))
		side.show(x, m[1], d, i)
	case s.Decision == verdict.Allow && len(isolating) == 0 && s.Policy == "":
		side.Text = fmt.Sprintf("No policy is about what %s %s, so everything may.", verb(d), subject)
	case s.Decision == verdict.Allow:
		side.Text = capital(s.Reason) + "."
	case s.Decision == verdict.Unknown:
		x.unknown(&side, d, s, isolating)
	default:
		x.denied(&side, d, s, isolating)
	}
	return side
}

// isolating are the policies that isolate the pod in the direction, by key.
func (x *explainer) isolating(pod verdict.Pod, d networkingv1.PolicyType) []verdict.Policy {
	var all []verdict.Policy
	for _, p := range x.set.World.Policies {
		if ok, err := p.Isolates(pod, d); ok && err == nil {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b verdict.Policy) int { return strings.Compare(a.Key(), b.Key()) })
	return all
}

// covered says which policies select the pod and what that means.
func (x *explainer) covered(d networkingv1.PolicyType, isolating []verdict.Policy) string {
	var names []string
	for _, p := range isolating[:min(4, len(isolating))] {
		names = append(names, p.Key())
	}
	if more := len(isolating) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	if len(isolating) == 1 {
		return fmt.Sprintf("The policy %s is about what %s it. Then only what its rules allow gets through.", names[0], verb(d))
	}
	return fmt.Sprintf("The policies %s are about what %s it. Then only what a rule of one of them allows gets through.", listed(names, ""), verb(d))
}

// denied tells of the policy to look at first and of its rule that comes nearest.
func (x *explainer) denied(side *Side, d networkingv1.PolicyType, s verdict.Side, isolating []verdict.Policy) {
	i := slices.IndexFunc(isolating, func(p verdict.Policy) bool { return p.Key() == s.Policy })
	if i < 0 {
		when := "before any NetworkPolicy"
		if len(isolating) == 0 && x.isBaseline(s.Policy) {
			when = "because no NetworkPolicy does"
		}
		side.Text = fmt.Sprintf("The cluster's own policy %s decides, %s: %s.", s.Policy, when, s.Reason)
		return
	}
	p := isolating[i]
	side.Text = x.covered(d, isolating) + " No rule allows this."
	n := rulesIn(p.Spec, d)
	if n == 0 {
		side.Text += fmt.Sprintf(" %s has no rule for what %s: it denies everything.", p.Key(), verb(d))
		side.show(x, p.Key(), d, -1)
		return
	}
	rule, why := x.nearest(p, d)
	side.Text += fmt.Sprintf(" The first to look at is %s. %s", p.Key(), why)
	if rule >= 0 {
		side.Text = strings.TrimSpace(side.Text + " " + x.almost(p, d, rule))
	}
	side.show(x, p.Key(), d, rule)
}

func (x *explainer) isBaseline(policy string) bool {
	return slices.ContainsFunc(x.set.World.ClusterPolicies, func(p verdict.ClusterPolicy) bool {
		return p.Name == policy && p.Spec.Tier == v1alpha2.BaselineTier
	})
}

// verb is what traffic does in the direction, as seen from the pod.
func verb(d networkingv1.PolicyType) string {
	if d == networkingv1.PolicyTypeEgress {
		return "leaves"
	}
	return "enters"
}

func way(d networkingv1.PolicyType) string {
	if d == networkingv1.PolicyTypeEgress {
		return "out"
	}
	return "in"
}

func field(d networkingv1.PolicyType, i int) string {
	return fmt.Sprintf("spec.%s[%d]", strings.ToLower(string(d)), i)
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
