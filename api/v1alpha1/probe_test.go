package v1alpha1

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The API server accepts exactly the types of the registry.
func TestTheEnumIsTheRegistry(t *testing.T) {
	source, err := os.ReadFile("probe.go")
	if err != nil {
		t.Fatal(err)
	}
	enum := regexp.MustCompile(`Enum=(\S+)\ntype ProbeType`).FindSubmatch(source)
	if enum == nil {
		t.Fatal("ProbeType has no enum")
	}
	all := ProbeTypesWith(func(ProbeTraits) bool { return true })
	if got := strings.ReplaceAll(string(enum[1]), ";", ", "); got != all {
		t.Errorf("the enum has %s, the registry %s", got, all)
	}
}

func TestTraits(t *testing.T) {
	if got := ProbeType("").Traits().Type; got != ProbeTCP {
		t.Errorf("no type means %q, want TCP", got)
	}
	if got := ProbeType("Telepathy").Traits(); got.Proves != ProvesNothing || got.Carries("TCP") {
		t.Errorf("a type that does not exist proves %d over %v", got.Proves, got.Over)
	}
	for _, known := range ProbeTypes() {
		if known.Proves == ProvesNothing || len(known.Over) == 0 {
			t.Errorf("%s proves nothing, or nothing carries it: %+v", known.Type, known)
		}
	}
}
