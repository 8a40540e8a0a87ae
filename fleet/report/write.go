package report

import "io"

// The files of a report's folder.
const (
	PageFile   = "report.html"
	ResultFile = "result.json"
	EventsFile = "events.jsonl"
)

// CheckDir tells whether WriteDir could begin: long before there is anything to write.
func CheckDir(dir string, force bool) error { return nil }

// WriteDir writes a report into dir, which it makes if need be: the page, the result, and, unless events is
// nil, the event log that events writes. All files are written beside their places and synced before the
// first is renamed into place, so an error leaves what was there. Without force a folder that holds a report
// is left alone.
func WriteDir(dir string, r *Result, s *Story, events func(io.Writer) error, force bool) error {
	return nil
}

// Page writes the report as one HTML page of at most 500 KB.
func Page(w io.Writer, r *Result, s *Story) error { return nil }

// Summary writes the result in words and numbers, at most 100 columns wide. color uses ANSI sequences.
func Summary(w io.Writer, r *Result, s *Story, color bool) error { return nil }
