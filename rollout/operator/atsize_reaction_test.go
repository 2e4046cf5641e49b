package operator

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// spread is a histogram of durations: how many took no longer than each bound, in seconds.
type spread map[float64]float64

// since is what was added to an older one.
func (s spread) since(old spread) spread {
	out := spread{}
	for bound, n := range s {
		out[bound] = n - old[bound]
	}
	return out
}

// within is the least bound that so many percent took no longer than; false: nothing
// was measured, or they took longer than any bound.
func (s spread) within(percent float64) (time.Duration, bool) {
	all := s[math.Inf(1)]
	var bounds []float64
	for bound := range s {
		bounds = append(bounds, bound)
	}
	slices.Sort(bounds)
	for _, bound := range bounds {
		if all > 0 && s[bound] >= all*percent/100 && !math.IsInf(bound, 1) {
			return time.Duration(bound * float64(time.Second)), true
		}
	}
	return 0, false
}

// text is a quantile as a histogram knows it.
func (s spread) text(percent float64) string {
	if d, known := s.within(percent); known {
		return "≤ " + d.String()
	}
	return "not known"
}

var sentLine = regexp.MustCompile(`^tightrope_cut_reaction_seconds_bucket\{until="sent",le="([^"]+)"\} ([0-9.e+]+)$`)

// sent is how long the controller says that cuts have taken so far, from the line as it
// came in to the restoring writes as they were sent.
func (a *arena) sent() spread {
	a.t.Helper()
	account, err := a.kube.CoreV1().ServiceAccounts(arenaSpace).CreateToken(a.ctx, "default", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	a.must(err)
	r, err := http.NewRequestWithContext(a.ctx, http.MethodGet, "https://"+a.metrics+"/metrics", nil)
	a.must(err)
	r.Header.Set("Authorization", "Bearer "+account.Status.Token)
	scraper := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // its certificate is of this process only
	defer scraper.CloseIdleConnections()
	response, err := (&http.Client{Transport: scraper}).Do(r)
	a.must(err)
	raw, err := io.ReadAll(response.Body)
	a.must(err)
	a.must(response.Body.Close())
	if response.StatusCode != http.StatusOK {
		a.t.Fatalf("the controller's metrics: %s: %s", response.Status, raw)
	}
	out := spread{}
	for lines := bufio.NewScanner(bytes.NewReader(raw)); lines.Scan(); {
		if m := sentLine.FindStringSubmatch(lines.Text()); m != nil {
			bound, err1 := strconv.ParseFloat(m[1], 64)
			n, err2 := strconv.ParseFloat(m[2], 64)
			if err1 != nil || err2 != nil {
				a.t.Fatalf("the controller's metrics: %q", lines.Text())
			}
			out[bound] = n
		}
	}
	return out
}

// freeAddress is one of the loopback that nothing listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("an address for the controller's metrics: %w", err)
	}
	return l.Addr().String(), l.Close()
}

func TestAQuantileOfASpread(t *testing.T) {
	inf := math.Inf(1)
	old := spread{.01: 5, .05: 5, inf: 5}
	s := spread{.01: 14, .05: 24, inf: 25}.since(old) // 9, 10 more, and one more
	for _, tt := range []struct {
		percent float64
		want    string
	}{{45, "≤ 10ms"}, {50, "≤ 50ms"}, {95, "≤ 50ms"}, {99, "not known"}} {
		if got := s.text(tt.percent); got != tt.want {
			t.Errorf("%v%%: %s, want %s", tt.percent, got, tt.want)
		}
	}
	if got := (spread{inf: 0}).text(50); got != "not known" {
		t.Errorf("of nothing: %s", got)
	}
}
