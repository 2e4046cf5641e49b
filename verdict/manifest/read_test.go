package manifest

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestBadInputIsExplained(t *testing.T) {
	for file, story := range stories(t, "testdata/bad", 25) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			file = absolute(t, file)
			unpack(t, story)
			set, err := Read([]string{"."}, nil, Options{})
			if err == nil {
				t.Fatalf("%sread without an error:\n%s", story.Comment, dump(set))
			}
			problems(t, err)
			compare(t, file, story, err.Error()+"\n")
		})
	}
}

func TestGoodInputIsRead(t *testing.T) {
	for file, story := range stories(t, "testdata/good", 8) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			file = absolute(t, file)
			unpack(t, story)
			set, err := Read([]string{"."}, nil, Options{})
			if err != nil {
				t.Fatalf("%s%v", story.Comment, err)
			}
			compare(t, file, story, dump(set))
		})
	}
}

func TestCountIsEnglish(t *testing.T) {
	for kind, want := range map[string]string{"Gateway": "2 Gateways", "NetworkPolicy": "2 NetworkPolicies", "Ingress": "2 Ingresses", "pod": "2 pods", "y": "2 ys"} {
		if got := count(2, kind); got != want {
			t.Errorf("count(2, %q) = %q, want %q", kind, got, want)
		}
	}
	if got := count(1, "Gateway"); got != "1 Gateway" {
		t.Errorf("count(1) = %q", got)
	}
}
