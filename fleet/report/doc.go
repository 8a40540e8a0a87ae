// Package report turns what a job found into something to read: [Result], the numbers that every job reports
// alike as JSON; [Story], what happened, for people; [Summary], both in words on a terminal; [Steps], one life
// step by step; and [WriteDir], which writes report.html, result.json and events.jsonl into a folder. [Result.Err] is the verdict as an error.
//
// Start with [Result] and [Story]: a job fills both and leaves everything else to this package. It measures
// nothing, decides no limit and draws no conclusion but the headline, which repeats the verdict in words.
//
// The page is one file without script and without network. Its charts are SVG drawn here and not by a
// library in the page: the series are short (a point for each hour of some weeks), so the page prints, is
// read by a screen reader from the table beside each chart, is the same bytes in every run, and its policy can
// forbid scripts altogether. For that every text from outside, a device's name above all, passes html/template
// and a filter that makes control and direction marks visible (HST-066).
package report
