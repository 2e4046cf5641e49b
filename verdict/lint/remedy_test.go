package lint

import (
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// remedySets names folders of manifests, separated by colons, whose corrections
// are tried besides those of testdata: each folder below one that holds a
// manifest is a set.
const remedySets = "TIGHTROPE_REMEDY_SETS"

// somewhere is where pods have their addresses, so that blocks of others are not
// in doubt.
var somewhere = manifest.Options{PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00:10::/64")}}

// Whatever a set has wrong, each correction takes its finding away, and changes
// what its finding is about and nothing else.
func TestARemedyChangesWhatItsFindingNames(t *testing.T) {
	tried := 0
	for _, dir := range sets(t) {
		before, err := manifest.Read([]string{dir}, nil, somewhere)
		if err != nil {
			continue // a set that is refused has no findings
		}
		t.Run(filepath.Base(filepath.Dir(dir))+"/"+filepath.Base(dir), func(t *testing.T) {
			seen := map[string]bool{}
			for _, m := range examine(before) {
				f := m.finding()
				if f.Corrected == "" {
					continue
				}
				if seen[f.Corrected] {
					t.Errorf("%s: offered twice:\n%s", f.Rule, f.Corrected)
				}
				seen[f.Corrected] = true
				after, ok := remedied(t, dir, m, f)
				if !ok {
					continue
				}
				tried++
				gone(t, f, Check(before), Check(after))
				namesIt(t, m, before, after)
			}
		})
	}
	t.Logf("%d corrections", tried)
	if tried < 30 {
		t.Errorf("only %d corrections were tried", tried)
	}
}

// sets are the folders to try, those of testdata written out.
func sets(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, file := range archives(t) {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), strings.TrimSuffix(filepath.Base(file), ".txtar"))
		for _, f := range archive.Files {
			if ext := filepath.Ext(f.Name); ext == ".yaml" || ext == ".yml" {
				name := filepath.Join(dir, f.Name)
				if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(name, f.Data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		all = append(all, folders(t, dir)...)
	}
	corpus, err := filepath.Glob("testdata/corpus/*.yaml")
	if err != nil || len(corpus) == 0 {
		t.Fatalf("no sets in testdata/corpus: %v", err)
	}
	folder := func(files map[string]string, names ...string) {
		dir := filepath.Join(append([]string{t.TempDir()}, names...)...)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range files {
			write(t, filepath.Join(dir, name), []byte(text))
		}
		all = append(all, dir)
	}
	for _, file := range corpus {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		folder(map[string]string{"all.yaml": string(raw)}, "corpus", strings.TrimSuffix(filepath.Base(file), ".yaml"))
	}
	folder(map[string]string{"story.yaml": policyFor("{}"), "base.yaml": hooks}, "grant", "beside a policy for every pod")
	for _, s := range stories(t) {
		folder(map[string]string{"story.yaml": s.text, "base.yaml": s.base}, s.mistake, s.name)
	}
	for _, dir := range filepath.SplitList(os.Getenv(remedySets)) {
		all = append(all, folders(t, dir)...)
	}
	return all
}

func archives(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/reports/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no sets in testdata/reports: %v", err)
	}
	return files
}

// folders are those below that hold manifests themselves.
func folders(t *testing.T, root string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if ext := filepath.Ext(path); err == nil && !d.IsDir() && (ext == ".yaml" || ext == ".yml") {
			all = append(all, filepath.Dir(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// remedied reads the folder again with the correction in it. An object that
// shares its document with others is left out.
func remedied(t *testing.T, dir string, m mistaken, f Finding) (*manifest.Set, bool) {
	t.Helper()
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	text, line := m.policy.source.Text()
	doc := m.policy.source.Tree()
	switch {
	case f.New:
		write(t, filepath.Join(copied, "zz-added.yaml"), []byte(f.Corrected))
	case m.policy.source.Fixed() != "" || m.policy.source.In(doc) != doc:
		return nil, false
	default:
		rel, err := filepath.Rel(dir, m.policy.source.File)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(copied, rel)
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		at := offset(raw, line)
		if !strings.HasPrefix(string(raw[at:]), string(text)) {
			t.Fatalf("%s:%d: the document stands elsewhere", name, line)
		}
		write(t, name, slices.Concat(raw[:at], []byte("---\n"+f.Corrected), raw[at+len(text):]))
	}
	after, err := manifest.Read([]string{copied}, nil, somewhere)
	if err != nil {
		t.Fatalf("%s: the correction is refused: %v\n%s", f.Rule, err, f.Corrected)
	}
	return after, true
}

func write(t *testing.T, name string, raw []byte) {
	t.Helper()
	if err := os.WriteFile(name, raw, 0o644); err != nil {
		t.Fatal(err)
	}
}

// offset is where a line begins, counted from 1.
func offset(raw []byte, line int) int {
	at := 0
	for range line - 1 {
		at += strings.IndexByte(string(raw[at:]), '\n') + 1
	}
	return at
}

// gone holds the findings after a correction against those before: its own is
// gone, and no error is new.
func gone(t *testing.T, f Finding, before, after []Finding) {
	t.Helper()
	same := func(g Finding) string { return g.Rule + " " + g.Object.String() + " " + g.What }
	had := map[string]bool{}
	for _, g := range before {
		had[same(g)] = true
	}
	for _, g := range after {
		switch {
		case same(g) == same(f) && g.Position.Field == f.Position.Field:
			t.Errorf("is still there: %s\n%s", g, f.Corrected)
		case g.Severity == Error && !had[same(g)] && !slices.ContainsFunc(before, func(b Finding) bool { return b.Rule == g.Rule && b.Object == g.Object }):
			t.Errorf("%s: the correction makes a mistake: %s\n%s", f.Rule, g, f.Corrected)
		}
	}
}

// namesIt compares all verdicts before and after a correction. Where it grants what
// was forgotten, nothing is closed, and one end of all that is opened is named by
// the finding; where it closes, nothing is opened; and in any case one end is a pod
// that the policy is about.
func namesIt(t *testing.T, m mistaken, before, after *manifest.Set) {
	t.Helper()
	f := m.finding()
	was, is := reach(before, after), reach(after, before)
	for _, c := range slices.SortedFunc(maps.Keys(was), reached.compare) {
		if was[c] == is[c] {
			continue
		}
		why := ""
		switch grants, closes := slices.Contains(granting, f.Rule), slices.Contains(closing, f.Rule); {
		case grants && is[c] != verdict.Allow, closes && is[c] != verdict.Deny:
			why = "the wrong way"
		case grants && !mentions(before, m, f, c):
			why = "which it does not name"
		case !slices.Contains(moving, f.Rule) && !selects(before, m, c) && !f.New:
			why = "which is not about its pods"
		default:
			continue
		}
		t.Errorf("%s: the correction changes %v from %s to %s, %s\n%s\n%s", f.Rule, c, was[c], is[c], why, f, f.Corrected)
		return
	}
}

// reached is a connection by names; an address stands for itself.
type reached struct{ from, to, port string }

func (c reached) compare(d reached) int { return strings.Compare(fmt.Sprint(c), fmt.Sprint(d)) }

// strangers are addresses of which policies often speak.
var strangers = []string{"169.254.169.254", "169.254.20.10", probeSource, "10.0.0.1", "172.18.0.3", "203.0.113.7", "2001:db8::7"}

// reach judges every pod against every pod and stranger, on all ports that a pod
// declares, a Service leads to or a rule lists in one of the two sets.
func reach(set, other *manifest.Set) map[reached]verdict.Decision {
	s := verdict.Compile(set.World, set.Pods)
	var ends []verdict.End
	for i := range set.Pods {
		ends = append(ends, verdict.End{Pod: &set.Pods[i]})
	}
	pods := len(ends)
	for _, ip := range strangers {
		ends = append(ends, verdict.End{IP: netip.MustParseAddr(ip)})
	}
	all := map[reached]verdict.Decision{}
	for p := range portsTried(set, other) {
		for i, from := range ends {
			for j, to := range ends {
				if (i < pods || j < pods) && i != j {
					c := verdict.Conn{From: from, To: to, Port: p.number, Protocol: p.protocol}
					all[reached{from.String(), to.String(), fmt.Sprint(p.number, "/", p.protocol)}] = s.Judge(c).Decision
				}
			}
		}
	}
	return all
}

func portsTried(sets ...*manifest.Set) map[port]bool {
	all := map[port]bool{{53, udp}: true, {53, tcp}: true, {4567, tcp}: true}
	for _, set := range sets {
		for _, pod := range set.Pods {
			for _, p := range pod.Ports {
				all[portOf(p)] = true
			}
		}
		for _, s := range set.Services {
			for _, p := range s.Ports {
				all[port{p.Port, p.Protocol}] = true
				if p.TargetPort.IntVal != 0 {
					all[port{p.TargetPort.IntVal, p.Protocol}] = true
				}
			}
		}
		for _, p := range policiesOf(set) {
			for _, r := range p.allRules() {
				for _, q := range r.ports {
					if q.Port != nil && q.Port.IntVal != 0 {
						all[port{q.Port.IntVal, protocolOf(q)}] = true
					}
				}
			}
		}
	}
	return all
}

// mentions reports whether the finding names the workloads of both ends. A
// webhook's rule is for everyone, and addresses have no name.
func mentions(set *manifest.Set, m mistaken, f Finding, c reached) bool {
	subject, peer := c.to, c.from
	if m.at[1] == word(egress) {
		subject, peer = peer, subject
	}
	text := f.What + f.Why + f.Fix
	named := func(end string) bool {
		for _, w := range set.Workloads {
			if slices.ContainsFunc(w.Pods, func(i int) bool { return set.Pods[i].Key() == end }) {
				name := regexp.QuoteMeta(w.Namespace + "/" + w.Name)
				return regexp.MustCompile(`(^|[ ,(:])` + name + `($|[ ,.):;])`).MatchString(text)
			}
		}
		return false
	}
	return named(subject) && (named(peer) || f.Rule == "webhook-forgotten" || !strings.Contains(peer, "/"))
}

// selects reports whether the policy is about an end.
func selects(set *manifest.Set, m mistaken, c reached) bool {
	for _, p := range set.Pods {
		if p.Key() == c.from || p.Key() == c.to {
			for _, d := range []networkingv1.PolicyType{ingress, egress} {
				own := m.policy.Policy
				own.Spec.PolicyTypes = []networkingv1.PolicyType{d}
				if ok, _ := own.Isolates(p, d); ok {
					return true
				}
			}
		}
	}
	return false
}
