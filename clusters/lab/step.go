package lab

import "fmt"

// Step is one part of a lab that has begun to work.
type Step struct {
	Name    string  // namespaces, images, etcd, apiserver, controllers, nodes or dns
	Seconds float64 // since the lab's start
}

var stepSentences = map[string]string{
	"namespaces":  "user, network, mount and process namespaces made",
	"images":      "images unpacked",
	"etcd":        "etcd serves",
	"apiserver":   "API server ready",
	"controllers": "controllers run",
	"nodes":       "nodes Ready",
	"dns":         "DNS answers",
}

// String is a line for people.
func (s Step) String() string {
	sentence, known := stepSentences[s.Name]
	if !known {
		sentence = s.Name + " ready"
	}
	return fmt.Sprintf("%s (%.1f s)", sentence, s.Seconds)
}

// event is one line from the warden. Its other side is in labd's supervisor.
type event struct {
	Step    string  `json:"step"`
	Seconds float64 `json:"seconds"`

	Ready      bool   `json:"ready"`
	Kubeconfig string `json:"kubeconfig"`

	Error string `json:"error"`
	Stage string `json:"stage"` // namespaces or usage
}
