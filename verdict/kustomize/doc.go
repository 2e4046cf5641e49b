// Package kustomize builds. Given a directory with a kustomization, it makes the
// objects that kubectl apply -k would send, and says from which file each comes.
//
//	directory ──► Find ──► trees ──► Roots ──► Build ──► objects with their origin
//
// It reads files below the file system only: nothing is fetched, no plugin and no
// Helm chart is run, and what a secretGenerator reads is not read. What is left
// out is said.
package kustomize
