// Package probes tests paths. It says what an agent is to try (Plan), what it
// reports (Line), what one attempt proves about a path (Judge), how many failures
// in a row are no accident (Confirmations), and adds reports up (Ledger). It is
// pure: it opens no socket and reads no clock.
package probes
