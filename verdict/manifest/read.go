package manifest

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Options tune reading. The zero value works.
type Options struct {
	Use       Use    // what the input is read for; the zero value needs everything
	Namespace string // of objects that state none; empty means default, as kubectl has it
	MaxFile   int64  // bytes of one file; 0 means 32 MiB
	MaxTotal  int64  // bytes of all files; 0 means 256 MiB

	// PodCIDRs are where pods have their addresses: a pod of which none is known is
	// judged as one with any address of them. nil: it may have any.
	PodCIDRs []netip.Prefix
	// ServiceCIDRs are where Services have their addresses. nil: not known.
	ServiceCIDRs []netip.Prefix
	// NamespaceLabels are labels that namespaces have besides those in the input, by
	// namespace. One that the input does not declare has these and no others.
	NamespaceLabels map[string]map[string]string
}

func (o Options) withDefaults() Options {
	o.Namespace = cmp.Or(o.Namespace, corev1.NamespaceDefault)
	o.MaxFile = cmp.Or(o.MaxFile, 32<<20)
	o.MaxTotal = cmp.Or(o.MaxTotal, 256<<20)
	return o
}

// Read reads files, directories (with those below them) and, for the path "-",
// stdin. Of a directory it reads *.yaml, *.yml and *.json but not what is
// hidden, and what belongs to Helm; of a symbolic link what it leads to, once. A
// directory with a kustomization is built. Every error is an *Error with all problems that were found;
// input that holds nothing to judge is one too.
func Read(paths []string, stdin io.Reader, o Options) (*Set, error) {
	r := newReading(o)
	f := finder{reading: r, stdin: stdin, seen: map[string]bool{}, origins: map[string][]*document{}}
	if len(paths) == 0 {
		r.problem(Position{}, "", "there is no input: name a file, a directory, or - for stdin")
	}
	for _, path := range paths {
		f.find(path)
	}
	return r.finish()
}

// ReadStream reads one stream. Its name stands in positions.
func ReadStream(name string, stream io.Reader, o Options) (*Set, error) {
	r := newReading(o)
	f := finder{reading: r, named: true}
	f.stream(name, stream)
	return r.finish()
}

// reading gathers what was read and what is wrong with it.
type reading struct {
	options   Options
	total     int64 // bytes so far
	files     int
	documents int
	problems  []Problem
	notes     []Note
	skipped   map[string]int // by kind
	hiding    map[string]int // by kind, those of which a controller may make pods
	partly    int            // Clusters of CloudNativePG, of which the instances are known
	unnamed   int            // objects that took the default namespace
	raw       raw
	maps      []Source // ConfigMaps, which are read once a rollout or a pod asks
	sources   map[string]Source
	kept      map[string]any // objects as they were read, by the keys of sources
	foreign   []foreign
}

func newReading(o Options) *reading {
	return &reading{options: o.withDefaults(), skipped: map[string]int{}, sources: map[string]Source{}, kept: map[string]any{}, hiding: map[string]int{}}
}

// maxGathered bounds problems and notes, so that hostile input does not fill
// memory with them.
const maxGathered = 10_000

func (r *reading) problem(at Position, object, format string, args ...any) {
	if len(r.problems) < maxGathered {
		r.problems = append(r.problems, Problem{Position: at, Object: object, Message: fmt.Sprintf(format, args...)})
	}
}

func (r *reading) note(at Position, object, format string, args ...any) {
	if len(r.notes) < maxGathered {
		r.notes = append(r.notes, Note{Position: at, Object: object, Message: fmt.Sprintf(format, args...)})
	}
}

// finish looks at what only the whole input tells, and puts the Set together.
func (r *reading) finish() (*Set, error) {
	r.resolveRollouts()
	for _, kind := range slices.Sorted(maps.Keys(r.hiding)) {
		r.note(Position{}, "", "%s: a controller may make pods of the kind, which are not known here", count(r.hiding[kind], kind))
	}
	if r.partly > 0 {
		r.note(Position{}, "", "%s: the instances and their Services are judged; pods of jobs and poolers, which the operator makes too, are not known here", count(r.partly, "Cluster"))
	}
	if r.unnamed > 0 {
		r.note(Position{}, "", "%s without a namespace: taken to be in %s", count(r.unnamed, "object"), r.options.Namespace)
	}
	if len(r.problems) == 0 && len(r.sources)+len(r.foreign) == 0 {
		r.problem(Position{}, "", "nothing to judge: %s without a policy, a pod or a workload%s", count(r.files, "file"), r.hints())
	}
	if len(r.problems) > 0 {
		r.blameKustomize()
		r.sort()
		return nil, &Error{Problems: r.problems}
	}
	set := assemble(r.raw, r.foreign, r.options)
	r.settle(set)
	set.sources, set.Skipped = r.sources, r.skippedKinds()
	set.Notes = append(r.notes, set.Notes...)
	return set, nil
}

// blameKustomize says that a directory holds patches, perhaps, which are not
// whole manifests.
func (r *reading) blameKustomize() {
	for _, n := range r.notes {
		if strings.HasPrefix(n.Message, kustomizes) {
			r.problem(n.Position, "", "%s; what lies beside it may be patches, which are not whole", n.Message)
		}
	}
}

// sort puts the problems in the order of the input: files as they were read,
// lines within them.
func (r *reading) sort() {
	order := map[string]int{}
	for _, p := range r.problems {
		if _, ok := order[p.File]; !ok {
			order[p.File] = len(order)
		}
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(order[a.File], order[b.File]), cmp.Compare(a.Line, b.Line))
	})
}

// hints are the notes of empty input: they tell why it is empty.
func (r *reading) hints() string {
	text := ""
	for _, n := range r.notes[:min(len(r.notes), 3)] {
		text += "; " + n.String()
	}
	for _, s := range r.skippedKinds()[:min(len(r.skipped), 3)] {
		text += "; " + s.String() + ", a kind that is not read"
	}
	return text
}

// count is "1 file" or "2 files".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	last := what[len(what)-1]
	switch {
	case last == 's':
		return fmt.Sprintf("%d %ses", n, what)
	case last == 'y' && len(what) > 1 && !strings.ContainsRune("aeiou", rune(what[len(what)-2])):
		return fmt.Sprintf("%d %sies", n, what[:len(what)-1])
	}
	return fmt.Sprintf("%d %ss", n, what)
}
