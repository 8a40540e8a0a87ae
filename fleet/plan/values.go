package plan

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/invopop/jsonschema"
)

// A Duration is a length of time such as 90s, 10m, 8h, 1d12h or 50ms; a leading + is allowed, a sign - is not.
type Duration time.Duration

// Day is 24 hours.
const Day = 24 * time.Hour

var units = []struct {
	name string
	unit time.Duration
}{ // ms before m, longest first
	{"ms", time.Millisecond},
	{"us", time.Microsecond},
	{"ns", time.Nanosecond},
	{"w", 7 * Day},
	{"d", Day},
	{"h", time.Hour},
	{"m", time.Minute},
	{"s", time.Second},
}

const durationPattern = `(\d+(\.\d+)?(w|d|h|ms|us|ns|m|s))+`

var errDuration = errors.New("want a length of time such as 90s, 10m, 8h or 1d12h")

// ParseDuration reads the text of a [Duration].
func ParseDuration(s string) (time.Duration, error) {
	rest := strings.TrimPrefix(s, "+")
	var sum time.Duration
	for first := true; first || rest != ""; first = false {
		n, unit, tail, ok := cutDuration(rest)
		if !ok {
			return 0, errDuration
		}
		d, fits := times(n, unit)
		if !fits || sum > math.MaxInt64-d {
			return 0, errors.New("want a length of time below 292 years")
		}
		sum, rest = sum+d, tail
	}
	return sum, nil
}

// cutDuration takes one number with its unit off the front of s.
func cutDuration(s string) (number string, unit time.Duration, rest string, ok bool) {
	i := 0
	for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '.') {
		i++
	}
	number, s = s[:i], s[i:]
	if number == "" || number[0] == '.' || number[i-1] == '.' || strings.Count(number, ".") > 1 {
		return "", 0, "", false
	}
	for _, u := range units {
		if rest, ok := strings.CutPrefix(s, u.name); ok {
			return number, u.unit, rest, true
		}
	}
	return "", 0, "", false
}

// times returns number (digits with at most one point) times unit, cut off to whole nanoseconds.
func times(number string, unit time.Duration) (time.Duration, bool) {
	whole, fraction, _ := strings.Cut(number, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return 0, false
	}
	hi, lo := bits.Mul64(uint64(n), uint64(unit))
	if hi != 0 || lo > math.MaxInt64 {
		return 0, false
	}
	d := time.Duration(lo)
	for _, digit := range fraction {
		unit /= 10
		d += unit * time.Duration(digit-'0')
	}
	return d, d >= 0
}

// UnmarshalText takes what [ParseDuration] takes.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := ParseDuration(string(b))
	*d = Duration(v)
	return err
}

// String writes whole days as such: 14d, 1d12h, 8h, 90s as 1m30s.
func (d Duration) String() string {
	v := time.Duration(d)
	if v == 0 {
		return "0s"
	}
	var b strings.Builder
	for _, u := range units[4:] {
		if n := v / u.unit; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			v -= n * u.unit
		}
	}
	if v > 0 || b.Len() == 0 {
		b.WriteString(strings.Replace(v.String(), "µs", "us", 1))
	}
	return b.String()
}

// MarshalText gives what String gives.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// JSONSchema describes the text.
func (Duration) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: `^\+?` + durationPattern + `$`, Description: "a length of time such as 90s, 10m, 8h, 14d"}
}

// A Share is a part of a whole in parts of a million, written as a percentage such as 4% or 0.05%. It is
// never above 100%.
type Share uint32

// Whole is the share of 100%.
const Whole Share = 1_000_000

const sharePattern = `\d{1,3}(\.\d{1,4})?%`

// UnmarshalText takes a percentage with at most four decimals.
func (s *Share) UnmarshalText(b []byte) error {
	number, ok := strings.CutSuffix(string(b), "%")
	whole, fraction, point := strings.Cut(number, ".")
	if !ok || !digits(whole) || len(whole) > 9 || point && (!digits(fraction) || len(fraction) > 4) {
		return errors.New("want a share such as 4% or 0.05%")
	}
	n, err := strconv.ParseUint(whole+(fraction + "0000")[:4], 10, 64)
	if err != nil {
		return errors.New("want a share such as 4% or 0.05%")
	}
	if n > uint64(Whole) {
		*s = Whole // what else a plan says can be held against that
		return errMoreThanAll
	}
	*s = Share(n)
	return nil
}

// errMoreThanAll is a contradiction (HST-123), not a mistake in writing.
var errMoreThanAll = errors.New("a share is at most 100%")

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func (s Share) String() string {
	t := fmt.Sprintf("%d.%04d", s/10_000, s%10_000)
	return strings.TrimSuffix(strings.TrimRight(t, "0"), ".") + "%"
}

// MarshalText gives what String gives.
func (s Share) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Of returns how many of n things s is: rounded, but at least one unless s or n is zero.
func (s Share) Of(n int) int {
	if s == 0 || n <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(s), uint64(n))
	lo, carry := bits.Add64(lo, uint64(Whole)/2, 0)
	q, _ := bits.Div64(hi+carry, lo, uint64(Whole))
	return max(1, int(q))
}

// JSONSchema describes the text.
func (Share) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: "^" + sharePattern + "$", Description: "a share such as 4% or 0.05%"}
}

// A Rate is a share in a time, such as 5%/d: so many of the devices do it in each such time.
type Rate struct {
	Share Share
	Per   time.Duration
}

// UnmarshalText takes a share, a slash and h, d or w.
func (r *Rate) UnmarshalText(b []byte) error {
	share, per, ok := strings.Cut(string(b), "/")
	unit, known := map[string]time.Duration{"h": time.Hour, "d": Day, "w": 7 * Day}[per]
	if !ok || !known {
		return errors.New("want a rate such as 5%/d (or /h, /w)")
	}
	if err := r.Share.UnmarshalText([]byte(share)); err != nil {
		return err
	}
	r.Per = unit
	return nil
}

func (r Rate) String() string {
	switch r.Per {
	case time.Hour:
		return r.Share.String() + "/h"
	case 7 * Day:
		return r.Share.String() + "/w"
	}
	return r.Share.String() + "/d"
}

// MarshalText gives what String gives.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// JSONSchema describes the text.
func (Rate) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: "^" + sharePattern + "/[hdw]$", Description: "a share in a time such as 5%/d"}
}

// A Target says which devices: all, a platform, a group of users, userless, or a share of one of these.
type Target struct {
	Share Share  // of Whom
	Whom  string // all, userless, a platform or a group
}

// The words of a [Target] that are neither platform nor group.
const (
	All      = "all"
	Userless = "userless"
)

// UnmarshalText takes "40%", "sales" or "5% of macos".
func (t *Target) UnmarshalText(b []byte) error {
	share, whom, of := strings.Cut(string(b), " of ")
	*t = Target{Share: Whole, Whom: strings.TrimSpace(whom)}
	switch {
	case of:
		return t.named(share)
	case strings.HasSuffix(share, "%"):
		t.Whom = All
		return t.named(share)
	}
	t.Whom = share
	return t.named("100%")
}

func (t *Target) named(share string) error {
	if err := t.Share.UnmarshalText([]byte(strings.TrimSpace(share))); errors.Is(err, errMoreThanAll) {
		return err
	} else if err != nil || !plainName(t.Whom) {
		return errors.New("want devices such as all, 40%, macos, sales or 5% of sales")
	}
	return nil
}

func (t Target) String() string {
	switch {
	case t.Share == Whole:
		return t.Whom
	case t.Whom == All:
		return t.Share.String()
	}
	return t.Share.String() + " of " + t.Whom
}

// MarshalText gives what String gives.
func (t Target) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// JSONSchema describes the text.
func (Target) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{
		Type: "string", Pattern: `^(` + sharePattern + `|(` + sharePattern + ` of )?\S.*)$`,
		Description: "which devices: all, userless, a platform, a group, or a share of them such as 5% of sales",
	}
}

// A Sentence is a line of prose for people.
type Sentence string

const maxSentence = 400

// UnmarshalText takes a line of at most 400 bytes.
func (s *Sentence) UnmarshalText(b []byte) error {
	if t := string(b); len(t) > maxSentence || t == "" || strings.IndexFunc(t, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
		return fmt.Errorf("want a sentence or two on one line, of at most %d letters", maxSentence)
	}
	*s = Sentence(b)
	return nil
}

// MarshalText gives s.
func (s Sentence) MarshalText() ([]byte, error) { return []byte(s), nil }

// JSONSchema describes the text.
func (Sentence) JSONSchema() *jsonschema.Schema {
	length := uint64(maxSentence)
	return &jsonschema.Schema{Type: "string", MaxLength: &length}
}
