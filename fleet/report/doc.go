// Package report turns what a job found into something to read: [Result], the numbers that every job reports
// alike as JSON; [Story], what happened, for people; [Summary], both in words on a terminal; [Steps], one life
// step by step; and [WriteDir], which writes report.html, result.json and events.jsonl into a folder. [Result.Err] is the
// verdict as an error.
//
// Start with [Result] and [Story]: a job fills both and leaves everything else to this package. It measures
// nothing, decides no limit and draws no conclusion but the headline, which repeats the verdict in words.
//
// The page is one file without script and without network, and its content policy forbids both. Its charts are SVG drawn
// here, not by a library in the page, which short series allow (a point for each hour of some weeks). So the page can be
// printed, a screen reader has the table beside each chart, and the same result gives the same bytes. Every text from outside,
// a device's name above all, passes html/template and a filter that makes control and direction marks visible (HST-066).
package report
