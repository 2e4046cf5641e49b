// Package supervisor starts the control plane and the nodes, in the namespaces that
// the warden made, and answers what is asked of the lab itself: logs and faults.
package supervisor
