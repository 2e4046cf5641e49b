package plan

import (
	"errors"
	"os"
	folder "path"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// What an older release may read. A plan with what it must not pass over has a major
// version that it does not know, and it says which release is needed.
func TestASchemaOfAnotherMajorVersionIsRefused(t *testing.T) {
	for schema, newer := range map[string]bool{
		"tightrope.dev/plan/v3": true, "tightrope.dev/plan/v30.1": true,
		"": false, "tightrope.dev/plan/v0": false, "tightrope.dev/plan/v": false, "tightrope.dev/plan/v2x": false, "tightrope.dev/plans/v2": false,
	} {
		p := aPlan()
		p.Schema = schema
		text, err := Encode(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := Decode(text, &Plan{}); err == nil || errors.Is(err, ErrNewer) != newer {
			t.Errorf("schema %q: %v; want a refusal, of a newer release: %v", schema, err, newer)
		}
	}
	for _, schema := range []string{Schema, Schema + ".7", "tightrope.dev/plan/v1", "tightrope.dev/plan/v1.2"} {
		p := aPlan()
		p.Schema = schema
		text, err := Encode(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := Decode(text, &Plan{}); err != nil {
			t.Errorf("schema %q: %v", schema, err)
		}
	}
}

// A field that is new fails here until somebody has thought about what a release does
// that does not know it. testdata/fields.txt says of each field with which major version
// it came, or "skip" where a release that passes over it does no harm.
func TestANewFieldAsksForASchema(t *testing.T) {
	raw, err := os.ReadFile("testdata/fields.txt")
	if err != nil {
		t.Fatal(err)
	}
	came, last := map[string]string{}, 0
	for line := range strings.Lines(string(raw)) {
		if key, with, ok := strings.Cut(strings.TrimSpace(line), " "); ok && key != "#" {
			came[key] = with
			major, err := strconv.Atoi(strings.TrimPrefix(with, "v"))
			if with != "skip" && (err != nil || major > newest) {
				t.Errorf("%s came with %s, and the newest major version is %d", key, with, newest)
			}
			last = max(last, major)
		}
	}
	if last != newest || Schema != schemaOf+strconv.Itoa(newest) {
		t.Errorf("the newest field came with v%d, this release reads up to v%d and writes %s", last, newest, Schema)
	}
	stored := storedFields(reflect.TypeFor[Plan]())
	for key := range stored {
		if came[key] == "" {
			t.Errorf("%s is new. May a release that does not know it carry the plan out? Then add \"%s skip\" to testdata/fields.txt. If not, raise Schema, and add it with that version", key, key)
		}
	}
	for key := range came {
		if !stored[key] {
			t.Errorf("testdata/fields.txt has %s, and no plan has it", key)
		}
	}
}

// storedFields are the fields of a type and of all types of ours that it holds.
func storedFields(typ reflect.Type) map[string]bool {
	out, seen := map[string]bool{}, map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		for typ.Kind() == reflect.Slice || typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || seen[typ] || !strings.Contains(typ.PkgPath(), "tightrope") {
			return
		}
		seen[typ] = true
		for i := range typ.NumField() {
			if f := typ.Field(i); f.IsExported() {
				out[folder.Base(typ.PkgPath())+"."+typ.Name()+"."+f.Name] = true
				walk(f.Type)
			}
		}
	}
	walk(typ)
	return out
}
