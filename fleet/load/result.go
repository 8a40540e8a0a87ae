package load

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/fleet/ledger"
	"rollcall/fleet/plan"
	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// A Section is the key "load" of a result: what was asked for and how, what came of each request, and how the generator
// fared meanwhile. Latencies are in milliseconds.
type Section struct {
	Loop           string  `json:"loop" jsonschema:"enum=open,enum=closed" jsonschema_description:"open: arrivals whatever the server does, latency from the intended moment; closed: latency from the moment each request was sent, which hides stalls"`
	Arrivals       string  `json:"arrivals" jsonschema:"enum=check-ins,enum=enrolments"`
	Pace           string  `json:"pace"`
	Seconds        float64 `json:"seconds" jsonschema_description:"that the load was to last"`
	Target         string  `json:"target"`
	Server         string  `json:"server" jsonschema_description:"what kind of server it was driven as"`
	SharedHost     bool    `json:"shared_host" jsonschema_description:"the target was on the generator's machine: no capacity is claimed"`
	Identity       string  `json:"identity" jsonschema:"enum=scep,enum=minted,enum=kept"`
	Authentication string  `json:"authentication" jsonschema:"enum=mutual TLS,enum=Mdm-Signature,enum=Mdm-Signature; mutual TLS where it is not Apple's,enum=header"`
	WokenBy        string  `json:"woken_by" jsonschema:"enum=themselves,enum=push"`
	Connections    string  `json:"connections" jsonschema:"enum=closed after the empty answer,enum=kept"`
	Handshakes     string  `json:"handshakes" jsonschema_description:"full, resumed, or the share of devices that resumed, such as 70% resumed"`
	KeyExchange    string  `json:"key_exchange" jsonschema_description:"that the handshakes used; where there was none, the one that the devices offer first"`
	Sources        int     `json:"source_addresses"`
	Think          float64 `json:"think_ms" jsonschema_description:"planned from a step of a conversation to the next"`
	Retries        bool    `json:"retries" jsonschema_description:"devices that were turned away came again by themselves"`

	Retried       uint64                       `json:"retried"`
	NotStarted    uint64                       `json:"not_started" jsonschema_description:"arrivals for which no device was free until the end"`
	Called        *Called                      `json:"called,omitempty"`
	NotWoken      int                          `json:"not_woken" jsonschema_description:"devices that the server was asked to push to, and that no push reached"`
	Lost          int                          `json:"lost" jsonschema_description:"devices that the server threw out"`
	Unheard       int                          `json:"unheard" jsonschema_description:"devices that could not ask for work once more at the end, for the ledger"`
	Commands      uint64                       `json:"commands"`
	DoneBy        map[protocol.Platform]uint64 `json:"done_by" jsonschema_description:"arrivals that were done, by the platform of their device"`
	Full          uint64                       `json:"full_handshakes"`
	Resumed       uint64                       `json:"resumed_handshakes"`
	SentBytes     int64                        `json:"sent_bytes"`
	ReceivedBytes int64                        `json:"received_bytes"`
	Steps         []StepFigures                `json:"steps"`
	Every         Quantiles                    `json:"every_outcome" jsonschema_description:"of all requests, whatever became of them, from their intended moment"`
	Sent          Quantiles                    `json:"from_sending" jsonschema_description:"of good answers, from the moment each request was sent"`
	Short         Quantiles                    `json:"wait_for_device" jsonschema_description:"how long arrivals waited for a device that was free"`
	Needed        float64                      `json:"devices_needed" jsonschema_description:"that talk at a time at the highest rate, by what a conversation took that went well; 0: not known"`
	Woken         Quantiles                    `json:"woken" jsonschema_description:"from the intended order to the push"`
	Enrolment     *Enrolled                    `json:"enrolment,omitempty"`
	Generator     Generator                    `json:"generator"`
	WindowSeconds float64                      `json:"window_seconds"`
	Windows       []Window                     `json:"windows"`
	Histogram     string                       `json:"histogram" jsonschema_description:"latencies of all answers in microseconds, as an HdrHistogram of version 2, compressed, in base64"`
	Trouble       string                       `json:"trouble" jsonschema_description:"the first request that went wrong, in words"`
	Baseline      *Comparison                  `json:"baseline,omitempty"`

	devices string // of the result, for Compare
}

// A Window is a part of the run by intended moments.
type Window struct {
	Offered uint64  `json:"offered"`
	Done    uint64  `json:"done"`
	Failed  uint64  `json:"failed"`
	Count   int64   `json:"count"` // of answers
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
}

// A Setting is what a result says of a load beside what its [Config] does.
type Setting struct {
	Command        string // of the result
	Target, Server string
	Identity       string
	Authentication string
	SharedHost     bool
	Sources        int
	Handshakes     string // empty: full or resumed, as the link has it
	KeyExchange    string // what the devices offer first
	Seed           uint64
	Title          string
	Language       lang.Language // of the story
	Plan           string        // as text; empty: none
	Limits         []plan.Limit
	CPU            time.Duration
	PeakRSS        int64
	Interrupted    bool
	Unenrolled     string   // why the enrolment before the load failed, so that there was none; empty: it did not
	Baseline       *Section // nil: none
}

// Tell makes the result of a load that ran, or was refused one by its calibration, and the story for people. g is what the
// watch saw, or holds the calibration alone.
func (l *Load) Tell(s Setting, e Enrolled, g Generator) (*report.Result, *report.Story, error) {
	all := l.total()
	if !s.Interrupted {
		l.unstarted(all)
	}
	for i := range all.steps {
		if h := all.steps[i][Exhausted]; h != nil {
			g.Exhausted += h.TotalCount()
		}
	}
	g.StartDelay = quantiles(all.late)
	if k := g.Calibration; k != nil {
		k.corrected(all.sessions.started, l.spent)
	}
	answers := all.answers(!s.Interrupted)
	section, err := l.section(&s, &e, &g, all, answers)
	if err != nil {
		return nil, nil, err
	}
	q := quantiles(answers)
	r := &report.Result{
		Version: 1, Command: s.Command, Verdict: report.OK, Seed: s.Seed, WallSeconds: l.ended.Seconds(), CPUSeconds: s.CPU.Seconds(), PeakRSSBytes: s.PeakRSS,
		Devices: l.devices(),
		CheckIns: report.CheckIns{
			Offered: l.offered.Load(), Started: all.sessions.started, Done: all.sessions.done, Failed: all.sessions.failed, Refused: all.sessions.refused,
			P50: q.P50, P99: q.P99, P999: q.P999,
		},
		Sections: map[string]any{"load": section},
	}
	if l.config.Ledger != nil {
		r.Sections["ledger"] = l.config.Ledger.Result()
	}
	if l.ended > 0 {
		r.CheckIns.PerSecond = float64(all.sessions.done) / l.ended.Seconds()
	}
	section.devices = sizeOf(&r.Devices)
	if s.Baseline != nil {
		section.Baseline = compare(s.Baseline, section)
	}
	if err := l.judge(r, section, &s); err != nil {
		return nil, nil, err
	}
	if s.Baseline != nil && (r.Verdict == report.Invalid || r.Verdict == report.Partial) { // as no such run may be a baseline
		section.Baseline = &Comparison{Why: append(differences(s.Baseline, section), lang.English.Say("the verdict of this run is %s", lang.English.Say(map[string]lang.Key{report.Invalid: lang.Key("invalid"), report.Partial: lang.Key("partial")}[r.Verdict])))}
	}
	return r, l.story(r, section, &s, all), nil
}

// unstarted adds the arrivals that no device was free for, and those whose push never came: they took at least until the end.
func (l *Load) unstarted(all *book) {
	first := dialect.Idle
	if l.config.Enrolments {
		first = dialect.Authenticate
	}
	for range l.pending {
		at, _ := l.take.next()
		put(&all.steps[first][Stopped], l.ended-at)
		put(&all.short, l.ended-at)
	}
	for i := range l.beds {
		if b := &l.beds[i]; b.place == ordered {
			put(&all.steps[first][Stopped], l.ended-b.ordered)
			all.sessions.started++
			all.sessions.failed++
			all.at(b.ordered, l.width).failed++
		}
	}
}

func (l *Load) section(s *Setting, e *Enrolled, g *Generator, all *book, answers *hdrhistogram.Histogram) (*Section, error) {
	encoded, err := answers.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return nil, fmt.Errorf("histogram: %w", err)
	}
	c := &l.config
	word := func(first bool, a, b lang.Key) string {
		if first {
			return lang.English.Say(a)
		}
		return lang.English.Say(b)
	}
	x := &Section{
		Loop: word(c.Closed > 0, lang.Key("closed"), lang.Key("open")), Arrivals: word(c.Enrolments, lang.Key("enrolments"), lang.Key("check-ins")), Pace: c.pace(), Seconds: l.length().Seconds(),
		Target: s.Target, Server: s.Server, SharedHost: s.SharedHost, Identity: s.Identity, Authentication: s.Authentication,
		WokenBy: word(c.pushes(), lang.Key("push"), lang.Key("themselves")), Connections: word(c.Link.KeepOpen, lang.Key("kept"), lang.Key("closed after the empty answer")),
		Handshakes: word(c.Link.Sessions > 0, lang.Key("resumed"), lang.Key("full")), KeyExchange: cmp.Or(all.keyExchange(), s.KeyExchange), Sources: s.Sources, Think: ms(c.Think), Retries: c.Retry,
		Retried: all.sessions.retries, NotStarted: uint64(l.pending), NotWoken: l.count[ordered], Lost: l.lost, Unheard: l.unheard.devices, Called: l.outcome(), Commands: all.commands, DoneBy: all.doneBy(),
		Full: all.full, Resumed: all.resumed, SentBytes: all.sent, ReceivedBytes: all.received, Steps: stepsOf(all), Every: quantiles(all.every()), Sent: quantiles(all.bare), Short: quantiles(all.short), Needed: l.needed(all), Woken: quantiles(all.woken),
		Generator: *g, WindowSeconds: l.width.Seconds(), Histogram: string(encoded),
	}
	if c.Link.SignatureAlone && c.others() {
		x.Authentication += "; mutual TLS where it is not Apple's"
	}
	if c.Closed > 0 {
		x.Pace = lang.English.Say("%d {device|devices} at a time, each again as soon as it was answered, for %s", c.Closed, plan.Duration(c.For))
	}
	if s.Handshakes != "" {
		x.Handshakes = s.Handshakes
	}
	if e.Devices > 0 {
		x.Enrolment = e
	}
	if t := l.trouble.Load(); t != nil {
		x.Trouble = *t
	}
	x.Windows = make([]Window, len(all.windows))
	for i := range all.windows {
		w := &all.windows[i]
		q := quantiles(w.latency)
		x.Windows[i] = Window{w.offered, w.done, w.failed, q.Count, q.P50, q.P99}
	}
	return x, nil
}

// devices counts who took part.
func (l *Load) devices() report.Devices {
	d := report.Devices{Total: len(l.config.Devices), ByPlatform: map[protocol.Platform]report.PlatformSize{}}
	for _, a := range l.config.Devices {
		switch a.Phase() {
		case agent.Enrolled:
			d.Enrolled++
		case agent.New, agent.Enrolling:
			d.Enrolling++
		default:
			d.MustEnrol++
		}
		p := platformOf(a)
		size := d.ByPlatform[p]
		d.ByPlatform[p] = report.PlatformSize{Total: size.Total + 1, Wire: true}
	}
	return d
}

// judge decides the verdict: a generator that was the bottleneck says nothing of the server, whatever the limits say.
func (l *Load) judge(r *report.Result, x *Section, s *Setting) error {
	var broken []string
	if s.Unenrolled != "" {
		broken = append(broken, lang.English.Say("the enrolment before the load failed, and there was none: %s", clipped(s.Unenrolled)))
	}
	limits, err := l.judgeLimits(r, x, s)
	if err != nil {
		return err
	}
	broken = slices.Concat(broken, limits, l.failures(r, x, s))
	r.Reasons = append(r.Reasons, broken...)
	x.Generator.Convicted = l.convict(x, s)
	switch {
	case s.Interrupted:
		r.Verdict = report.Partial
		text := lang.English.Say("interrupted; what was measured until then is kept")
		if len(x.Generator.Convicted) > 0 {
			text = lang.English.Say("interrupted; what was measured until then is kept, and it is invalid: it says nothing of the server")
		}
		r.Reasons = append(append([]string{text}, x.Generator.Convicted...), r.Reasons...)
	case len(x.Generator.Convicted) > 0:
		r.Verdict, r.Reasons = report.Invalid, append(x.Generator.Convicted, r.Reasons...)
	case len(broken) > 0:
		r.Verdict = report.Failed
	}
	return nil
}

// judgeLimits adds to r what became of each limit, and says which are broken. Where there was no load nothing is.
func (l *Load) judgeLimits(r *report.Result, x *Section, s *Setting) (broken []string, err error) {
	if l.ended == 0 { // there was no load
		for _, limit := range s.Limits {
			r.Limits = append(r.Limits, report.Limit{Limit: limit.String(), Got: report.NotJudged, OK: true})
		}
		return nil, nil
	}
	if len(s.Limits) == 0 {
		return nil, nil
	}
	b, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	var object map[string]any
	if err := json.Unmarshal(b, &object); err != nil {
		return nil, err
	}
	p := plan.Plan{Limits: s.Limits}
	for i, got := range p.Evaluate(object) {
		if text := x.incomparable(&s.Limits[i]); text != "" {
			got.Got, got.OK = text, false
		}
		r.Limits = append(r.Limits, report.Limit{Limit: got.Limit, Got: got.Got, OK: got.OK})
		if !got.OK {
			broken = append(broken, lang.English.Say("the limit %s is broken: %s", got.Limit, got.Got))
		}
	}
	return broken, nil
}

// failures are what went wrong beside the limits: whoever did not come, was not answered as a device is, or lost something on the way.
func (l *Load) failures(r *report.Result, x *Section, s *Setting) (broken []string) {
	c := &r.CheckIns
	if c.Done == 0 && c.Offered > 0 && !s.Interrupted {
		text := lang.English.Say("not one of %d %s was completed", c.Offered, x.Arrivals)
		if x.NotWoken > 0 {
			text = lang.English.Say("%s; the server was asked to push to %d {device|devices}, and not one push came to this push service", text, x.NotWoken)
		}
		if x.Trouble != "" {
			text = lang.English.Say("%s; the first that went wrong: %s", text, x.Trouble)
		}
		broken = append(broken, text)
	}
	if text := unspoken(c, x.NotWoken, s.Limits); text != "" && c.Done > 0 && !s.Interrupted {
		broken = append(broken, text)
	}
	if n := x.foreign(); n > 0 { // whatever else it does, such a server is none for devices
		broken = append(broken, lang.English.Say("the server answered %d {request|requests} with something that is no property list", n))
	}
	if e := x.Enrolment; e != nil && e.GaveUp > 0 {
		broken = append(broken, lang.English.Say("of %d {device|devices} that were to enrol, %d gave up: no try of theirs was answered", e.Devices, e.GaveUp))
	}
	if k := x.Called; k != nil && k.Came < k.Devices && !s.Interrupted {
		broken = append(broken, lang.English.Say("of %d {device|devices} that the server was to call, %d did not come", k.Devices, k.Devices-k.Came))
	}
	for _, a := range l.played.list {
		if a.Failed {
			broken = append(broken, fmt.Sprintf("%s: %s", a.Title, a.Text))
		}
	}
	if l.config.Ledger != nil && !s.Interrupted {
		if found := l.config.Ledger.Result(); found.Faults() > 0 {
			broken = append(broken, faults(&found))
		}
		if u := l.unheard; u.orders > 0 {
			broken = append(broken, lang.English.Say("what became of %d {order|orders} is not known: %d {device|devices} could not ask for work once more at the end", u.orders, u.devices))
		}
	}
	return broken
}

// convict says by what the generator, not the server, was the limit; empty: by nothing.
func (l *Load) convict(x *Section, s *Setting) []string {
	k := x.Generator.Calibration
	tight := tightest(s.Limits)
	convicted := x.Generator.judge(tight)
	if text := x.tooFew(len(l.members), tight); text != "" {
		convicted = append(convicted, text)
	}
	if k != nil && k.Refuses() != "" {
		convicted = append([]string{k.Refuses()}, convicted...)
	}
	return convicted
}

// incomparable tells why a limit on the comparison with the baseline cannot be judged, whatever figures stand there; empty: it can, or is none.
func (x *Section) incomparable(l *plan.Limit) string {
	for _, key := range l.Figures() {
		name, ok := strings.CutPrefix(key, "load.baseline.")
		if !ok {
			continue
		}
		b := x.Baseline
		if b == nil {
			return lang.English.Say("there is no baseline to compare with")
		}
		name, _, _ = strings.Cut(name, ".")
		change, ok := map[string]Change{"p50": b.P50, "p99": b.P99, "done": b.Done}[name]
		switch {
		case ok && !b.Comparable:
			return lang.English.Say("not comparable with the baseline, for one: %s", strings.Join(b.Why[:min(1, len(b.Why))], ""))
		case ok && change.Pairs == 0:
			return change.In(lang.English)
		}
	}
	return ""
}

// needed is how many devices talk at a time at the highest rate of an open loop of check-ins (Little's law).
func (l *Load) needed(all *book) float64 {
	if !l.paced || l.config.Enrolments || all.sessions.done == 0 {
		return 0
	}
	return l.config.Pace.Peak() * all.busy.Seconds() / float64(all.sessions.done)
}

// tooFew tells that the devices were too few for the rate, so that arrivals waited for one; empty: they were not. A server that breaks the
// tightest limit on a latency by its own answers, counted from when they were asked for, is convicted all the same. tight is that limit,
// 0: there is none.
func (x *Section) tooFew(devices int, tight time.Duration) string {
	most := mostLate
	if tight > 0 && tight/10 < most {
		most = tight / 10
	}
	if x.Needed <= float64(devices) || x.Short.P99 <= ms(most) || tight > 0 && x.Sent.P99 > ms(tight) {
		return ""
	}
	return lang.English.Say("too few devices for this rate: conversations as long as this server's keep %d busy at a time, and there are %d; one arrival in a hundred waited %s or more for one that was free",
		int(math.Ceil(x.Needed)), devices, millis(x.Short.P99))
}

// unspoken tells of arrivals that were not done though no limit says how many may be; empty: there are none. A device that was turned
// away, came again and was done then is none.
func unspoken(c *report.CheckIns, notWoken int, limits []plan.Limit) string {
	said := func(figure string) bool {
		return slices.ContainsFunc(limits, func(l plan.Limit) bool {
			return slices.Contains(l.Figures(), "checkins.done") || slices.Contains(l.Figures(), figure)
		})
	}
	var parts []string
	if c.Refused > 0 && !said("checkins.refused") {
		parts = append(parts, lang.English.Say("%d {was|were} refused", c.Refused))
	}
	if c.Failed > 0 && !said("checkins.failed") {
		text := lang.English.Say("%d failed", c.Failed)
		if notWoken > 0 {
			text = lang.English.Say("%d failed, %d of them because no push came that the server was asked for", c.Failed, notWoken)
		}
		parts = append(parts, text)
	}
	if c.Done >= c.Offered || len(parts) == 0 {
		return ""
	}
	what := parts[0]
	if len(parts) > 1 {
		what = lang.English.Say("%s and %s", parts[0], parts[1])
	}
	return lang.English.Say("of %d offered %s, and no limit says how many may be (checkins.failed, checkins.refused)", c.Offered, what)
}

// foreign counts the requests that were answered by what no MDM server says.
func (x *Section) foreign() (n int64) {
	for _, s := range x.Steps {
		if s.Outcome == Foreign.String() {
			n += s.Count
		}
	}
	return n
}

// faults says what a ledger found, the first by its name.
func faults(found *ledger.Result) string {
	text := lang.English.Say("the ledger found %d {fault|faults}: %d lost, %d doubled, %d reordered, %d stuck, %d misdelivered, %d never converged", found.Faults(),
		found.Lost, found.Doubled, found.Reordered, found.Stuck, found.Misdelivered, found.NeverConverged)
	if len(found.Findings) > 0 {
		text = lang.English.Say("%s; the first: %s", text, found.Findings[0].String())
	}
	return text
}
