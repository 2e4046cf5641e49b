// Package strict refuses what the API server would refuse, before a cluster is
// there: Decode reads YAML into Kubernetes' types and knows every field by its
// line, Check… hold values against the rules of the API server.
//
//	yaml.Node ──Decode──► value ──Check…──► Faults ──Find──► file:line
//
// All of it gathers faults and goes on, so that one reading tells everything.
package strict
