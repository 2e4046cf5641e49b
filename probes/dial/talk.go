package dial

import (
	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
)

// talk is what is said to a target that is connected to, and what is heard. It is
// pure: bytes in, bytes out. All that is heard is hostile, and bounded by the talk.
type talk interface {
	request() []byte
	// hear takes one datagram, or more of a stream, and returns what it says; false
	// if that is not yet an answer.
	hear(data []byte) (Result, bool)
	// broken is the detail of a stream that ended with no answer.
	broken() string
}

// speakers begin a talk of each type that a suite may ask for (v1alpha1.ProbeTypes),
// each in a file of its own. A talk of nil says nothing: a connect is all. An error
// means that the check cannot be tried.
var speakers = map[v1alpha1.ProbeType]func(probes.Check) (talk, error){
	v1alpha1.ProbeTCP:  func(probes.Check) (talk, error) { return nil, nil },
	v1alpha1.ProbeHTTP: newWebTalk,
	v1alpha1.ProbeDNS:  newDNSTalk,
}
