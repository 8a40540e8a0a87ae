package lang

import (
	"math"
	"strconv"
	"strings"
	"time"

	"rollcall/protocol"
)

// separators stand between thousands and before decimals.
var separators = [...]struct{ thousands, decimals string }{English: {",", "."}, Dutch: {".", ","}}

// Number writes f with its thousands apart and at most three significant digits after whole numbers below a hundred.
func (l Language) Number(f float64) string {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return "–"
	}
	digits := 0
	if f != math.Trunc(f) {
		switch a := math.Abs(f); {
		case a < 10:
			digits = 2
		case a < 100:
			digits = 1
		}
	}
	s := strconv.FormatFloat(math.Abs(f), 'f', digits, 64)
	if digits > 0 {
		s = strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
	}
	return l.grouped(s, f < 0)
}

// grouped writes a number in digits as l has it. Nothing is below zero that is written as zero.
func (l Language) grouped(digits string, negative bool) string {
	whole, rest, dotted := strings.Cut(digits, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + separators[l].thousands + whole[i:]
	}
	if dotted {
		whole += separators[l].decimals + rest
	}
	if negative && strings.Trim(whole, "0.,") != "" {
		whole = "−" + whole
	}
	return whole
}

// Percent writes a part of a whole from 0 to 1.
func (l Language) Percent(f float64) string {
	f *= 100
	if f > 0 && f < 0.1 {
		return "< " + l.grouped("0.1", false) + "%"
	}
	if f > 0 && f < 10 || f > 99 && f < 100 {
		return l.grouped(strconv.FormatFloat(f, 'f', 1, 64), false) + "%"
	}
	return l.Number(math.Round(f)) + "%"
}

// Signed writes a change in per cent with its sign and one decimal: +2.6%.
func (l Language) Signed(percent float64) string {
	s := l.grouped(strconv.FormatFloat(math.Abs(percent), 'f', 1, 64), percent < 0) + "%"
	if percent > 0 {
		s = "+" + s
	}
	return s
}

const day = 24 * time.Hour

// Span writes a length of time in its two largest units.
func (l Language) Span(d time.Duration) string {
	if d < 0 {
		return "−" + l.Span(-d)
	}
	two := func(a int64, unitA Key, b int64, unitB Key) string {
		if b == 0 {
			return l.Say(unitA, a)
		}
		return l.Say(unitA, a) + " " + l.Say(unitB, b)
	}
	switch {
	case d == 0:
		return "0"
	case d < time.Millisecond:
		return l.Number(float64(d)/float64(time.Microsecond)) + " µs"
	case d < time.Second:
		return l.Number(float64(d)/float64(time.Millisecond)) + " ms"
	case d < time.Minute:
		return l.Number(float64(d)/float64(time.Second)) + " s"
	case d < time.Hour:
		d = d.Round(time.Second)
		return two(int64(d/time.Minute), Key("%d min"), int64(d%time.Minute/time.Second), Key("%d s"))
	case d < 2*day:
		d = d.Round(time.Minute)
		return two(int64(d/time.Hour), Key("%d h"), int64(d%time.Hour/time.Minute), Key("%d min"))
	}
	d = d.Round(time.Hour)
	return two(int64(d/day), Key("%d {day|days}"), int64(d%day/time.Hour), Key("%d h"))
}

// Moment writes a time of a story of the given length: in days and the time of day, as plans count them
// (at: 4d is day 4), or, if it is shorter than two days, as time passed.
func (l Language) Moment(at, until time.Duration) string {
	clock := func(whole, part time.Duration) string {
		return strconv.FormatInt(int64(whole), 10) + ":" + strconv.FormatInt(int64(100+part), 10)[1:]
	}
	if until >= 2*day {
		days := at / day
		if at < days*day { // before the story
			days--
		}
		at -= days * day
		return l.Say("day %d, %s", int(days), strconv.FormatInt(int64(100+at/time.Hour), 10)[1:]+":"+strconv.FormatInt(int64(100+at%time.Hour/time.Minute), 10)[1:])
	}
	if until >= 2*time.Hour {
		return l.Say("%s h", clock(at/time.Hour, at%time.Hour/time.Minute))
	}
	return l.Say("%s min", clock(at/time.Minute, at%time.Minute/time.Second))
}

var months = [...]Key{
	Key("%s January %s"), Key("%s February %s"), Key("%s March %s"), Key("%s April %s"), Key("%s May %s"), Key("%s June %s"),
	Key("%s July %s"), Key("%s August %s"), Key("%s September %s"), Key("%s October %s"), Key("%s November %s"), Key("%s December %s"),
}

// Date writes t's day in UTC.
func (l Language) Date(t time.Time) string {
	t = t.UTC()
	return l.Say(months[t.Month()-1], strconv.Itoa(t.Day()), strconv.Itoa(t.Year()))
}

var families = map[protocol.Family]Key{
	protocol.Email: Key("E-mail"), protocol.VPN: Key("VPN"), protocol.Certificate: Key("Certificate"), protocol.WiFi: Key("Wi-Fi"),
	protocol.Configuration: Key("Configuration"),
}

// Family names a family of profiles.
func (l Language) Family(f protocol.Family) string {
	if key, ok := families[f]; ok {
		return l.Say(key)
	}
	return f.String()
}

// Platform names a platform as its vendor does, in any language.
func Platform(p protocol.Platform) string {
	switch p {
	case protocol.IOS:
		return "iOS"
	case protocol.IPadOS:
		return "iPadOS"
	case protocol.MacOS:
		return "macOS"
	case protocol.Android:
		return "Android"
	case protocol.Windows:
		return "Windows"
	}
	return p.String()
}

var authorities = map[protocol.Authority]Key{
	protocol.Unknown: Key("nobody"), protocol.Intune: Key("Intune"), protocol.SCCM: Key("Intune with Configuration Manager"),
	protocol.Office365: Key("Basic Mobility and Security"),
}

// Authority says who manages.
func (l Language) Authority(a protocol.Authority) string {
	if key, ok := authorities[a]; ok {
		return l.Say(key)
	}
	return a.String()
}
