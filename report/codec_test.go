package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestJSONReadsBackAsItWas(t *testing.T) {
	for name, r := range reports() {
		t.Run(name, func(t *testing.T) {
			data, err := r.JSON()
			if err != nil {
				t.Fatal(err)
			}
			back, err := Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			again, err := back.JSON()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(again, data) {
				t.Errorf("differs at byte %d after reading back", firstDifference(again, data))
			}
			if name != "hostile" && !reflect.DeepEqual(back, r.normal()) { // hostile holds bytes that no JSON can
				t.Errorf("got %+v", back)
			}
		})
	}
}

func TestJSONHasTheKeysThatOthersRead(t *testing.T) {
	data, err := rolledBackReport().JSON()
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	keys := map[string][]string{
		"phases":    {"name", "from", "to", "outcome"},
		"paths":     {"name", "from", "to", "port", "protocol", "via", "expect", "finding", "attempts", "failures", "firstSeen", "lastSeen"},
		"cuts":      {"path", "phase", "cause", "rule", "latencies"},
		"policies":  {"name", "sha256"},
		"exposures": {"from", "to", "port"}, "temporaryAccess": {"identity"}, "notTested": {"what", "reason"},
	}
	for list, want := range keys {
		rows, _ := doc[list].([]any)
		if len(rows) == 0 {
			t.Errorf("%s is no list with rows", list)
			continue
		}
		for _, key := range want {
			if _, ok := rows[0].(map[string]any)[key]; !ok {
				t.Errorf("%s[0] has no %s", list, key)
			}
		}
	}
	last := doc["cuts"].([]any)[1].(map[string]any)["latencies"].(map[string]any)
	if v, ok := last["recover"]; !ok || v != nil {
		t.Errorf("a point not reached is %v, want null", v)
	}
}

func TestJSONOfAnEmptyReportHasNoNulls(t *testing.T) {
	data, err := (&Report{TemporaryAccess: []Access{{}}, Started: time.Now()}).JSON()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte("null")) {
		t.Errorf("a list is null:\n%s", data)
	}
	if _, err := Parse(data); err != nil {
		t.Error(err)
	}
}

func TestJSONLeavesTheReportAlone(t *testing.T) {
	r := &Report{Paths: []Path{{Finding: "nonsense", FirstSeen: time.Now()}}}
	before := r.Paths[0]
	if _, err := r.JSON(); err != nil {
		t.Fatal(err)
	}
	if r.Paths[0] != before || r.Cuts != nil || r.SchemaVersion != "" {
		t.Error("writing a report changed it")
	}
}

func TestJSONRefusesAFigureItCannotWrite(t *testing.T) {
	r := &Report{Run: "r", Cuts: []Cut{{Latencies: Latencies{Detect: ms(math.NaN())}}}}
	if _, err := r.JSON(); err == nil || !strings.Contains(err.Error(), `run "r"`) {
		t.Errorf("got %v", err)
	}
}

func TestParseRefusesWhatIsNotAReport(t *testing.T) {
	head := `{"schemaVersion":"` + SchemaVersion + `"`
	for _, tt := range []struct{ name, in, says string }{
		{"nothing", "", "not valid JSON"},
		{"half a document", head, "not valid JSON"},
		{"two documents", head + "}{}", "not valid JSON"},
		{"no version", "{}", "unknown report schema"},
		{"another version", `{"schemaVersion":"tightrope.dev/report/v2"}`, "unknown report schema"},
		{"a list", "[]", "not valid JSON"},
		{"a string for a figure", head + `,"coverage":{"proved":"all"}}`, "coverage.proved"},
		{"more rows than memory", head + `,"paths":[` + strings.Repeat("{},", MaxRows) + `{}]}`, "more than 20000"},
		{"rows of null", head + `,"paths":[` + strings.Repeat("null,", MaxRows) + `null]}`, "more than 20000"},
		{"nesting", head + `,"x":` + strings.Repeat("[", 1000), "deeper than 16"},
		{"more bytes than any report", strings.Repeat(" ", MaxBytes+1), "more than 33554432"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := Parse([]byte(tt.in))
			if err == nil || r != nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, %v; want an error with %q", r, err, tt.says)
			}
			if strings.Contains(tt.name, "version") && !errors.Is(err, ErrSchema) {
				t.Errorf("%v is no ErrSchema", err)
			}
		})
	}
}

func TestParseTakesAnUnknownFindingForNoProof(t *testing.T) {
	r, err := Parse([]byte(`{"schemaVersion":"` + SchemaVersion + `","newKey":1,"paths":[{"finding":"Fine"},{}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Paths {
		if p.Finding != Inconclusive {
			t.Errorf("finding %q", p.Finding)
		}
	}
}

func FuzzParse(f *testing.F) {
	data, err := hostileReport().JSON()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Parse(data)
		if err != nil {
			return
		}
		for _, format := range Formats {
			if err := format.Write(&bytes.Buffer{}, r); err != nil && format.File != "report.json" {
				t.Errorf("%s: %v", format.File, err)
			}
		}
	})
}
