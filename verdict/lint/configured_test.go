package lint

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestTargetsInAText(t *testing.T) {
	for _, tt := range []struct {
		text string
		bare bool
		want []string
	}{
		{"https://api.provider.example/v1", false, []string{"api.provider.example:443"}},
		{"postgres://user:secret@db.data:5433/x?sslmode=off", false, []string{"db.data:5433"}},
		{"--redis=redis://redis,--mq=amqp://mq:5671", false, []string{"redis:6379", "mq:5671"}},
		{"db.data.svc:5432", true, []string{"db.data.svc:5432"}},
		{"mariadb", true, []string{"mariadb"}},
		{"mariadb", false, nil},
		{"localhost:5432", true, nil},
		{"--call=a/b@web.ai.svc:8080,other.ai.svc.cluster.local", false, []string{"web.ai.svc:8080", "other.ai.svc.cluster.local"}},
		{"web.ai.svc.example.org:80", false, nil},
		{"0.0.0.0:80:90", true, nil},
		{"db:seventy", true, nil},
		{"file://etc/passwd", false, nil},
		{"http://localhost:8080", false, nil},
		{"$(HOST):80", true, nil},
		{strings.Repeat("x", longestText) + " http://late", false, nil},
	} {
		var got []string
		for _, target := range targetsIn("variable X", tt.text, tt.bare) {
			got = append(got, target.String())
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%.60q: %q, want %q", tt.text, got, tt.want)
		}
	}
}

// A password in an address is never shown.
func TestAConfiguredTargetShowsNoSecret(t *testing.T) {
	for _, s := range stories(t) {
		if s.mistake != "configured-target-cut" {
			continue
		}
		for _, f := range check(t, s.text, s.base) {
			if text := fmt.Sprintf("%+v", f); strings.Contains(text, "secret") {
				t.Errorf("%s: %s", s.name, text)
			}
		}
	}
}

func TestHostsOutside(t *testing.T) {
	for host, want := range map[string]bool{
		"api.provider.example": true, "web": false, "web.ai.svc": false, "web.ai.svc.cluster.local": false,
		"db.internal": false, "10.0.0.1": false, "models.local": false,
	} {
		if got := outside(host); got != want {
			t.Errorf("%s: outside %v, want %v", host, got, want)
		}
	}
}
