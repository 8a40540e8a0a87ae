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

	"rollcall/protocol"
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

// A Gate is whether something is let in.
type Gate uint8

// The gates.
const (
	Accept Gate = iota + 1
	Refuse
)

var gateNames = []string{"", "accept", "refuse"}

func (g Gate) String() string { return gateNames[g] }

// MarshalText gives what String gives.
func (g Gate) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// UnmarshalText takes accept and refuse.
func (g *Gate) UnmarshalText(b []byte) error { return word((*uint8)(g), gateNames, b) }

// A Decider is who decides a workload of co-managed PCs (AUTH-51).
type Decider uint8

// The deciders. The zero value is ByConfigMgr too.
const (
	ByConfigMgr Decider = iota + 1
	ByPilot             // Intune for those of the pilot
	ByIntune
)

var deciderNames = []string{"", "configmgr", "pilot", "intune"}

func (d Decider) String() string { return deciderNames[d] }

// MarshalText gives what String gives.
func (d Decider) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText takes configmgr, pilot and intune.
func (d *Decider) UnmarshalText(b []byte) error { return word((*uint8)(d), deciderNames, b) }

// A Trouble is how the server fails.
type Trouble uint8

// The troubles: no answer at all, and 503 as answer.
const (
	Down Trouble = iota + 1
	Busy
)

var troubleNames = []string{"", "down", "busy"}

func (t Trouble) String() string { return troubleNames[t] }

// MarshalText gives what String gives.
func (t Trouble) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText takes down and busy.
func (t *Trouble) UnmarshalText(b []byte) error { return word((*uint8)(t), troubleNames, b) }

// An Outage is how the push service fails.
type Outage uint8

// The outages: of each device the latest push comes when the service is up again, and no push comes at all.
const (
	PushDown Outage = iota + 1
	PushLost
)

var outageNames = []string{"", "down", "lost"}

func (o Outage) String() string { return outageNames[o] }

// MarshalText gives what String gives.
func (o Outage) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText takes down and lost.
func (o *Outage) UnmarshalText(b []byte) error { return word((*uint8)(o), outageNames, b) }

// A Certificate is which push certificate is uploaded.
type Certificate uint8

// Renewed is a certificate of the same topic for another year, OtherTopic one that no enrolled device knows. The others are
// refused, as NotNewer and Expired by AUTH-34 and OtherAppleID, which nobody confirms, by AUTH-32.
const (
	Renewed Certificate = iota + 1
	OtherTopic
	NotNewer
	Expired
	OtherAppleID
)

var certificateNames = []string{"", "renewed", "other-topic", "not-newer", "expired", "other-apple-id"}

// Refused tells whether no server takes c.
func (c Certificate) Refused() bool { return c >= NotNewer }

func (c Certificate) String() string { return certificateNames[c] }

// MarshalText gives what String gives.
func (c Certificate) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText takes the names that String gives.
func (c *Certificate) UnmarshalText(b []byte) error { return word((*uint8)(c), certificateNames, b) }

// A Regime is what the authority of a tenant can be set to: an authority, or coexistence.
type Regime uint8

// The regimes. Unset is the authority unknown, which no tenant goes back to.
const (
	unset Regime = iota + 1
	intune
	sccm
	office365
	coexistence
)

var regimeNames = []string{"", "unknown", "intune", "sccm", "office365", "coexistence"}

func (r Regime) String() string { return regimeNames[r] }

// Authority returns the authority, and whether Intune was added beside it.
func (r Regime) Authority() (a protocol.Authority, added bool) {
	if r == coexistence {
		return protocol.Office365, true
	}
	return protocol.Authority(r - unset), false
}

// MarshalText gives what String gives.
func (r Regime) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText takes the names that String gives.
func (r *Regime) UnmarshalText(b []byte) error { return word((*uint8)(r), regimeNames, b) }

// slot returns whose push certificate and profiles are in use.
func (r Regime) slot() protocol.Authority {
	if r == coexistence {
		return protocol.Intune
	}
	a, _ := r.Authority()
	return a
}

// A Licence is what a user can be given: BasicLicence is one that BMS serves, IntuneLicence one that entitles Intune.
type Licence uint8

// The licences.
const (
	BasicLicence Licence = iota + 1
	IntuneLicence
)

var licenceNames = []string{"", "basic", "intune"}

func (l Licence) String() string { return licenceNames[l] }

// MarshalText gives what String gives.
func (l Licence) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText takes basic and intune.
func (l *Licence) UnmarshalText(b []byte) error { return word((*uint8)(l), licenceNames, b) }

// A [Target] of a [Licensing] names users by their licences with one of these, beside all, the platforms of their devices, and the groups.
const (
	NoLicence  = "none"   // neither
	OnlyBasic  = "basic"  // one that BMS serves, and none that entitles Intune
	WithIntune = "intune" // one that entitles Intune
)

// A Consent is a data-sharing consent (AUTH-05).
type Consent uint8

// The consents, by what needs them.
const (
	ApplePush Consent = iota + 1
	AndroidEnterprise
	AutomatedEnrolment
	SchoolManager
	VolumePurchase
)

// Consents lists them.
var Consents = [...]Consent{ApplePush, AndroidEnterprise, AutomatedEnrolment, SchoolManager, VolumePurchase}

// Graph's ids, and where it has none rollcall's (graph.md).
var consentNames = []string{"", "appleMDMPushCertificate", "androidManagedStore", "appleDeviceEnrollment", "appleSchoolManager", "appleVolumePurchase"}

func (c Consent) String() string { return consentNames[c] }

// MarshalText gives what String gives.
func (c Consent) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText takes the ids that String gives.
func (c *Consent) UnmarshalText(b []byte) error { return word((*uint8)(c), consentNames, b) }

func word(v *uint8, names []string, b []byte) error {
	for i, n := range names[1:] {
		if n == string(b) {
			*v = uint8(i + 1)
			return nil
		}
	}
	return fmt.Errorf("want one of %s", strings.Join(names[1:], ", "))
}
