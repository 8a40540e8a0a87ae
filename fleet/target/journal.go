package target

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"rollcall/protocol"
)

// followWait is how many seconds one request waits for a line; the server takes 30 at most.
const followWait = 25

// A Line is one line of the server's journal.
type Line struct {
	Seq    uint64        `json:"seq"`
	At     protocol.Time `json:"at"`
	Device string        `json:"device"` // empty: the tenant
	Actor  string        `json:"actor"`  // token:NAME, device, push service or system
	Rule   protocol.Rule `json:"rule"`
	What   string        `json:"what"`
	Detail string        `json:"detail"`
}

// A LineFilter picks lines of the journal. Zero fields pick all.
type LineFilter struct {
	After  uint64 // sequence number
	Since  protocol.Time
	Device string
	Actor  string
	Rule   protocol.Rule
	What   string
}

func (f *LineFilter) query() url.Values {
	q := url.Values{"after": {strconv.FormatUint(f.After, 10)}}
	if f.Since != 0 {
		q.Set("since", f.Since.String())
	}
	for name, value := range map[string]string{"device": f.Device, "actor": f.Actor, "rule": string(f.Rule), "what": f.What} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}

// Journal returns the journal's lines that f picks, as far as it reaches now.
func (r *Rollcall) Journal(ctx context.Context, f LineFilter) iter.Seq2[Line, error] {
	return list[Line](ctx, r, "/rollcall/v1/journal", "lines", f.query())
}

// JournalEnd returns the number of the journal's newest line, of which after is one that is known.
func (r *Rollcall) JournalEnd(ctx context.Context, after uint64) (uint64, error) {
	never := LineFilter{After: after, What: "none"} // no line says this, and so all are looked through
	var page struct {
		Last uint64 `json:"last,string"`
	}
	err := r.call(ctx, http.MethodGet, "/rollcall/v1/journal?"+never.query().Encode(), nil, &page)
	return page.Last, err
}

// Follow returns the journal's lines that f picks, and then each one as it comes. It ends with an error, that of ctx
// among them.
func (r *Rollcall) Follow(ctx context.Context, f LineFilter) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		query := f.query()
		query.Set("limit", strconv.Itoa(pageSize))
		query.Set("wait", strconv.Itoa(followWait))
		for {
			var page struct {
				Lines []Line `json:"lines"`
				Last  string `json:"last"`
			}
			if err := r.call(ctx, http.MethodGet, "/rollcall/v1/journal?"+query.Encode(), nil, &page); err != nil {
				yield(Line{}, err)
				return
			}
			for _, line := range page.Lines {
				if !yield(line, nil) {
					return
				}
			}
			query.Set("after", page.Last)
		}
	}
}

// A JournalCheck is what following the journal's chain found (HST-074).
type JournalCheck struct {
	Sound  bool          `json:"sound"`
	Lines  uint64        `json:"lines"`  // of a sound journal
	Hash   string        `json:"hash"`   // of its newest line's link; kept elsewhere it proves later that these lines are still the same
	Line   uint64        `json:"line"`   // of one that is not sound: the first wrong or missing line
	Reason string        `json:"reason"` // what is wrong with it
	Rule   protocol.Rule `json:"rule"`
}

// VerifyJournal has the server follow its journal's chain.
func (r *Rollcall) VerifyJournal(ctx context.Context) (c JournalCheck, err error) {
	err = r.call(ctx, http.MethodGet, "/rollcall/v1/audit/verify", nil, &c)
	return c, err
}
