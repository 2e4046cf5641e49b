// Package clusters hosts: it says what a cluster offers to whoever works on it, be it
// a lab, a kind cluster, or one that somebody else runs. A command asks for what a
// cluster can do, and never which of them it is.
package clusters

import (
	"context"

	"k8s.io/client-go/rest"
)

// Cluster is a cluster that answers.
type Cluster interface {
	// Name is what people call it.
	Name() string
	// Config reaches it. It is the caller's own copy.
	Config() *rest.Config
	// Kubectl begins a kubectl command line that reaches it.
	Kubectl() []string
	// Can says what it can do beyond what every cluster can.
	Can() Capabilities
	// Close gives it up, and ends it if it was made for this caller alone.
	Close(ctx context.Context) error
}

// Capabilities are what clusters differ in. The zero value is a cluster that others
// use, too, and of which nothing special is known.
type Capabilities struct {
	Own       bool // it was made for this caller: nobody else's objects are on it, and it ends with Close
	DropsPort int  // of every node's address, where its data plane tells what it dropped first; 0: nowhere
	// Images are our images that are on its nodes already, by program, as pods name
	// them; nil: those that a registry serves, or that the lab runs by their plain names.
	Images map[string]string
}
