package profile

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestTextsAreReadAndWritten(t *testing.T) {
	for text, want := range map[string]string{
		"": "enforce", "enforce": "enforce", "ignore": "ignore", "policies=ignore": "ignore",
		"established=cut, deny=reject ,delay=200ms..2s": "enforce,established=cut,deny=reject,delay=200ms..2s",
		"established=cut:3s":                            "enforce,established=cut:3s",
		"delay=exp:300ms,seed=7":                        "enforce,delay=exp:300ms,seed=7",
		"delay=1s":                                      "enforce,delay=1s",
		"updates=lost,resync=5s":                        "enforce,updates=lost,resync=5s",
		"updates=stale,resync=never":                    "enforce,updates=stale",
		"established=survive,deny=drop,updates=apply":   "enforce",
	} {
		p, err := Parse(text, Profile{})
		if err != nil || p.String() != want {
			t.Errorf("Parse(%q) = %s, %v; want %s", text, p, err, want)
		}
		if again, err := Parse(p.String(), Profile{}); err != nil || again != p {
			t.Errorf("%s is read back as %s, %v", p, again, err)
		}
	}
}

func TestWhatIsLeftOutIsAsBefore(t *testing.T) {
	base, err := Parse("established=cut,deny=reject", Profile{})
	if err != nil {
		t.Fatal(err)
	}
	if p, err := Parse("deny=drop,delay=1s", base); err != nil || p.String() != "enforce,established=cut,delay=1s" {
		t.Errorf("got %s, %v", p, err)
	}
}

func TestErrorsSayWhatWouldBeRight(t *testing.T) {
	for text, part := range map[string]string{
		"nonsense":                 "there are policies, established, deny",
		"colour=red":               `no key "colour"`,
		"deny=block":               "want drop or reject",
		"established=cut:":         "want survive, cut, or cut:DURATION",
		"established=survive:1s":   "want survive",
		"delay=2s..1s":             "want a duration, a range",
		"delay=-1s":                "want a duration",
		"delay=999h":               "want a duration",
		"delay=exp:x":              "want a duration",
		"updates=never":            "want apply, stale or lost",
		"resync=1s":                "only of use with updates",
		"updates=lost,resync=soon": "want a duration, or never",
		"seed=x":                   "want a number",
		"policies=maybe":           "want enforce or ignore",
		"=x":                       "no key",
	} {
		if p, err := Parse(text, Profile{}); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("Parse(%q) = %s, %v; want an error with %q", text, p, err, part)
		}
	}
	if _, err := OfPolicy("deny=reject", Profile{}); err == nil || !strings.Contains(err.Error(), "there are policies, delay, updates, resync,") {
		t.Errorf("a policy cannot change what is the node's: %v", err)
	}
}

func TestDelaysFollowTheirDistribution(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	draw := func(text string) (least, mean, most time.Duration) {
		p, err := Parse("delay="+text, Profile{})
		if err != nil {
			t.Fatal(err)
		}
		least = longest
		const n = 10000
		for range n {
			d := p.Delay.Sample(r)
			least, most, mean = min(least, d), max(most, d), mean+d/n
		}
		return least, mean, most
	}
	if least, _, most := draw("70ms"); least != 70*time.Millisecond || most != least {
		t.Errorf("a constant gave %v to %v", least, most)
	}
	if least, mean, most := draw("100ms..300ms"); least < 100*time.Millisecond || least > 101*time.Millisecond || most > 300*time.Millisecond ||
		mean < 197*time.Millisecond || mean > 203*time.Millisecond {
		t.Errorf("uniform from 100 to 300 ms gave %v, %v, %v", least, mean, most)
	}
	if least, mean, most := draw("exp:100ms"); least > time.Millisecond || mean < 95*time.Millisecond || mean > 105*time.Millisecond || most > time.Second {
		t.Errorf("exponential of mean 100 ms gave %v, %v, %v", least, mean, most)
	}
}
