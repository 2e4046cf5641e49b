package lint

import "testing"

func TestNearestNamesOnlyWhatWasProbablyMeant(t *testing.T) {
	for _, tt := range []struct {
		name  string
		known []string
		want  string
	}{
		{"gatway", []string{"model", "gateway"}, "gateway"},
		{"gatewya", []string{"gateway"}, "gateway"},
		{"LLM_Gateway", []string{"llm-gateway"}, "llm-gateway"},
		{"gatehouse", []string{"gateway"}, ""},
		{"app", []string{"api"}, ""},                       // short names are other words
		{"prod", []string{"prod2"}, "prod2"},               // one letter of four
		{"prod", []string{"proxy"}, ""},                    // two are too many
		{"worker-c", []string{"worker-a", "worker-b"}, ""}, // two are equally near
		{"gateway", []string{"gateway"}, ""},               // it is the name itself
		{"", []string{"a"}, ""},
	} {
		if got, ok := nearest(tt.name, tt.known); got != tt.want && ok || ok != (tt.want != "") {
			t.Errorf("nearest(%q, %v) = %q, %v, want %q", tt.name, tt.known, got, ok, tt.want)
		}
	}
}
