package profile

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// longest bounds every duration of a profile: a lab is not kept waiting for days.
const longest = 24 * time.Hour

// Delay is a distribution of durations: uniform between Min and Max, which may
// be one value, or exponential with the mean Mean and cut off at ten times that.
// The zero Delay is none.
type Delay struct{ Min, Max, Mean time.Duration }

const exponential = "exp:"

// Sample draws a duration.
func (d Delay) Sample(r *rand.Rand) time.Duration {
	switch {
	case d.Mean > 0:
		return min(time.Duration(r.ExpFloat64()*float64(d.Mean)), 10*d.Mean)
	case d.Max > d.Min:
		return d.Min + time.Duration(r.Int64N(int64(d.Max-d.Min)+1))
	}
	return d.Min
}

// String is the value that setDelay reads; "" for none.
func (d Delay) String() string {
	switch {
	case d.Mean > 0:
		return exponential + d.Mean.String()
	case d.Max > d.Min:
		return fmt.Sprintf("%s..%s", d.Min, d.Max)
	case d.Min > 0:
		return d.Min.String()
	}
	return ""
}

func duration(text string) (time.Duration, bool) {
	d, err := time.ParseDuration(text)
	return d, err == nil && d >= 0 && d <= longest
}

func setDelay(p *Profile, value string) bool {
	if mean, is := strings.CutPrefix(value, exponential); is {
		d, ok := duration(mean)
		p.Delay = Delay{Mean: d}
		return ok
	}
	first, last, ranged := strings.Cut(value, "..")
	low, ok := duration(first)
	high, ok2 := low, true
	if ranged {
		high, ok2 = duration(last)
	}
	p.Delay = Delay{Min: low, Max: high}
	return ok && ok2 && low <= high
}

func setPolicies(p *Profile, value string) bool {
	p.Ignore = value == "ignore"
	return value == "enforce" || value == "ignore"
}

func getPolicies(p Profile) string { return word(p.Ignore, "ignore") }

func setEstablished(p *Profile, value string) bool {
	fate, after, timed := strings.Cut(value, ":")
	p.Cut, p.CutAfter = fate == "cut", 0
	if !timed {
		return fate == "cut" || fate == "survive"
	}
	var ok bool
	p.CutAfter, ok = duration(after)
	return ok && p.Cut
}

func getEstablished(p Profile) string {
	if p.Cut && p.CutAfter > 0 {
		return "cut:" + p.CutAfter.String()
	}
	return word(p.Cut, "cut")
}

func setUpdates(p *Profile, value string) bool {
	switch u := Updates(value); {
	case value == "apply":
		p.Updates, p.Resync = Applied, 0
		return true
	case u == Stale, u == Lost:
		p.Updates = u
		return true
	}
	return false
}

func setResync(p *Profile, value string) (ok bool) {
	if value == "never" {
		p.Resync = 0
		return true
	}
	p.Resync, ok = duration(value)
	return ok && p.Resync > 0
}

func getResync(p Profile) string {
	if p.Resync == 0 {
		return ""
	}
	return p.Resync.String()
}

func setSeed(p *Profile, value string) bool {
	n, err := strconv.ParseUint(value, 10, 64)
	p.Seed = n
	return err == nil
}

func getSeed(p Profile) string {
	if p.Seed == 0 {
		return ""
	}
	return strconv.FormatUint(p.Seed, 10)
}

// choice is a key whose value is one of two words.
func choice(field func(*Profile) *bool, no, yes string) func(*Profile, string) bool {
	return func(p *Profile, value string) bool {
		*field(p) = value == yes
		return value == yes || value == no
	}
}

func word(is bool, yes string) string {
	if is {
		return yes
	}
	return ""
}
