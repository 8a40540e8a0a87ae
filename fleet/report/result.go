package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// The verdicts of a [Result].
const (
	OK      = "ok"      // done, and within all limits
	Failed  = "failed"  // done, and a limit, a check or an invariant failed, or the server refused by rule
	Invalid = "invalid" // done, but the generator was at its own limit: nothing is said of the server
	Partial = "partial" // interrupted
	Error   = "error"   // could not run
)

// A Result is what every job reports alike. Its JSON begins with these keys in this order
// (architecture.md, section 1); Sections follow.
type Result struct {
	Version        int        `json:"version"` // 1
	Command        string     `json:"command"`
	Verdict        string     `json:"verdict"` // ok, failed, invalid, partial, error
	Reasons        []string   `json:"reasons"` // why the verdict is not ok, one sentence each
	Devices        Devices    `json:"devices"`
	CheckIns       CheckIns   `json:"checkins"`
	Invariants     Invariants `json:"invariants"`
	Limits         []Limit    `json:"limits"`
	Seed           uint64     `json:"seed"`
	EventLogSHA256 string     `json:"event_log_sha256"` // empty for live runs
	VirtualSeconds float64    `json:"virtual_seconds"`
	WallSeconds    float64    `json:"wall_seconds"`
	CPUSeconds     float64    `json:"cpu_seconds"`
	PeakRSSBytes   int64      `json:"peak_rss_bytes"`
	Error          *Trouble   `json:"error,omitempty"` // with verdict error only

	// Sections are the job's own keys, each an object, written after the common ones in the order of their
	// names.
	Sections map[string]any `json:"-"`
}

// Devices counts devices; each number by itself, so that one device can be in several.
type Devices struct {
	Total        int                                `json:"total"`       // records read or made
	Enrolled     int                                `json:"enrolled"`    // with a record that nothing ended
	Enrolling    int                                `json:"enrolling"`   // not enrolled yet
	LeftOut      int                                `json:"left_out"`    // not taken into the population
	LeftOutBy    map[string]int                     `json:"left_out_by"` // by reason
	Moved        int                                `json:"moved"`       // and so on: the Words of authority.md
	Reregistered int                                `json:"reregistered"`
	Pending      int                                `json:"pending"`
	Stale        int                                `json:"stale"`
	Blocked      int                                `json:"blocked"`
	Stranded     int                                `json:"stranded"`
	NeedsSupport int                                `json:"needs_support"`
	MustEnrol    int                                `json:"must_enrol_again"`
	Unlicensed   int                                `json:"unlicensed"`
	NotModelled  int                                `json:"not_modelled"` // of a platform without a wire; in Total, not in Enrolled
	Removed      int                                `json:"-"`            // records that the server itself removed: why fewer are enrolled at the end
	ByPlatform   map[protocol.Platform]PlatformSize `json:"by_platform"`  // without LeftOut
}

// A PlatformSize is how many devices of one platform there were, and whether its protocol was spoken.
type PlatformSize struct {
	Total int  `json:"total"`
	Wire  bool `json:"wire"`
}

// CheckIns counts check-ins and their latency in milliseconds, on the real clock: from the moment each request was sent or, in a
// load, from the moment that was planned for it.
type CheckIns struct {
	Offered   uint64  `json:"offered"`
	Started   uint64  `json:"started"`
	Done      uint64  `json:"done"`
	Failed    uint64  `json:"failed"`
	Refused   uint64  `json:"refused"`
	PerSecond float64 `json:"per_second"` // done, in real time
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	P999      float64 `json:"p999_ms"`
}

// Invariants counts how often one was checked and how often it did not hold.
type Invariants struct {
	Checked  uint64 `json:"checked"`
	Violated uint64 `json:"violated"`
}

// NotApplicable is what a limit got that cannot be measured in this kind of run.
const NotApplicable = "not applicable"

// NotJudged is what a limit got of a run that did not tell the plan's whole story in its own time.
const NotJudged = "not judged"

// A Limit is one expression of the plan and what came of it. Got is the figure with its unit, or
// [NotApplicable] or [NotJudged], which are OK.
type Limit struct {
	Limit  string `json:"limit"`
	Column string `json:"column,omitempty"` // of rehearsals side by side the id of the one that it is of
	Got    string `json:"got"`
	OK     bool   `json:"ok"`
}

// Trouble says why a job could not run.
type Trouble struct {
	Rule    string `json:"rule"`
	Message string `json:"message"`
	File    string `json:"file"`
	Line    int    `json:"line"`
	Field   string `json:"field"`
}

// MarshalJSON writes the common keys and then the sections. A section may not have the name of a common key.
func (r *Result) MarshalJSON() ([]byte, error) {
	type common Result // without this method
	c := common(*r)
	c.Reasons, c.Limits = append([]string{}, r.Reasons...), append([]Limit{}, r.Limits...)
	if c.Devices.LeftOutBy == nil {
		c.Devices.LeftOutBy = map[string]int{}
	}
	if c.Devices.ByPlatform == nil {
		c.Devices.ByPlatform = map[protocol.Platform]PlatformSize{}
	}
	b, err := encode(c)
	if err != nil || len(r.Sections) == 0 {
		return b, err
	}
	// Sections come after the common keys; encoding/json has no way to say so.
	var taken map[string]json.RawMessage
	if err := json.Unmarshal(b, &taken); err != nil {
		return nil, err
	}
	out := bytes.NewBuffer(b[:len(b)-1])
	for _, name := range slices.Sorted(maps.Keys(r.Sections)) {
		if _, dup := taken[name]; dup || name == "error" {
			return nil, fmt.Errorf("result: section %q has the name of a common key", name)
		}
		key, err := encode(name)
		if err != nil {
			return nil, err
		}
		section, err := encode(r.Sections[name])
		if err != nil {
			return nil, fmt.Errorf("result: section %q: %w", name, err)
		}
		fmt.Fprintf(out, ",%s:%s", key, section)
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// encode is json.Marshal that leaves < as it is: limits are full of them. Whoever puts a result into a page
// escapes it there.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// Err is ErrIn English.
func (r *Result) Err() error { return r.ErrIn(lang.English) }

// ErrIn returns the verdict as an error: nil if it is ok; for failed, invalid and partial the headline in l, with a method
// Verdict, which main turns into the exit code; for error the message alone. The reasons are for whoever shows the result.
func (r *Result) ErrIn(l lang.Language) error {
	switch r.Verdict {
	case OK:
		return nil
	case Error:
		if r.Error == nil {
			return errors.New("could not run")
		}
		return errors.New(r.Error.Message)
	}
	said := headline(l, r)
	return verdict{r.Verdict, strings.ToLower(said[:1]) + said[1:]}
}

// A verdict is the error of a job that ran.
type verdict struct{ word, text string }

func (v verdict) Error() string   { return v.text }
func (v verdict) Verdict() string { return v.word }
