// Package report proves. It turns what a run recorded into documents that a
// stranger can check: report.json, JUnit, Markdown and a self-contained HTML
// page. It is pure: it reads no clock and no file, and everything it prints is
// taken to be hostile text.
package report
