// Package matrix draws who can reach whom on which port. A Query names the ends
// and the ports, Rows judges every combination exactly once and in one stable
// order, and each writer (JSON, CSV, text, one HTML page) takes them as they
// come:
//
//	snapshot ─┐
//	ends ─────┼──► Rows, by pod ──────► JSON, CSV (row by row, nothing is kept)
//	ports ────┘└─► Cells, by workload ► text, HTML, and JSON and CSV if asked
//
// It is pure: it opens no file and no socket, and takes every name for hostile
// text.
package matrix
