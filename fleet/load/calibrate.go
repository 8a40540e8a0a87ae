package load

import (
	"context"
	"fmt"
	"math"
	"net"
	"time"

	"rollcall/agent/dialect"
	"rollcall/protocol/lang"
)

// A Calibration is what the generator reached against a server that does nothing, in this process and over loopback, with the
// load's own connections and handshakes, its way to identities, and an order in each conversation where it orders. The null server takes
// its share of the processors, so that for a target on another machine the true ceiling is higher. What the run's own conversations cost
// corrects it afterwards ([Calibration.Reach]), so that what calibration leaves out counts too.
type Calibration struct {
	Seconds      float64 `json:"seconds"`
	Ceiling      float64 `json:"ceiling_per_second" jsonschema_description:"arrivals a second that this generator reached against a null server"`
	PerCPUSecond float64 `json:"ceiling_per_cpu_second" jsonschema_description:"for one second of processor time of generator and null server together"`
	Asked        float64 `json:"asked_per_second" jsonschema_description:"highest rate that the run asks for; 0: it asks for none"`
	Headroom     float64 `json:"headroom" jsonschema_description:"reach by asked, and before the run ceiling by asked"`

	OwnPerCPUSecond float64 `json:"own_per_cpu_second" jsonschema_description:"conversations of the run itself for one second of the generator's processor time; 0: there was no run, or too short a one"`
	Reach           float64 `json:"reach_per_second" jsonschema_description:"the ceiling, less by as much as the run's own conversations cost more than calibration's"`

	LeavesOut []string `json:"leaves_out" jsonschema_description:"what the run's devices do and calibration's do not, so that the ceiling before the run is too high: it counts in reach_per_second alone"`
}

// mostCalibrated is how many devices calibrate: enough to keep the processors busy.
const mostCalibrated = 64

// Calibrate measures for about d what this generator can do at most with c's connections.
func Calibrate(ctx context.Context, c Config, d time.Duration) (*Calibration, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("calibrate: %w", err)
	}
	n, err := startNull(listener, len(c.Acts) > 0, time.Now)
	if err != nil {
		listener.Close()
		return nil, fmt.Errorf("calibrate: %w", err)
	}
	defer n.close()
	e := Endpoint{ServerURL: n.url() + "/mdm", CheckInURL: n.url() + "/checkin", Topic: "com.apple.mgmt.External.calibration", SignMessage: c.Link.SignatureAlone}
	profile, err := e.Profile()
	if err != nil {
		return nil, fmt.Errorf("calibrate: %w", err)
	}
	own := Config{
		Link: c.Link, Closed: mostCalibrated, For: d, Parallel: mostCalibrated,
		Start: ByProfile(profile), CPU: c.CPU,
	}
	own.Link.Roots, own.Link.Dial, own.Link.Faults, own.Link.Now = n.roots(), nil, nil, nil
	if !c.Enrolments || c.Link.Identity != nil { // SCEP is no part of the load
		own.Link.Identity = Mint(n.ca, time.Now)
	}
	devices := mostCalibrated
	if c.Enrolments {
		own.Enrolments = true
		const fastest = 5000 // enrolments a second that no machine reaches
		devices = int(math.Ceil(d.Seconds() * fastest))
	}
	for i := range devices {
		who := dialect.Who{Number: deviceNumber(i), Seed: uint64(i), UDID: fmt.Sprintf("CA1B0000-%016X", i), Serial: fmt.Sprintf("CA%08d", i)}
		own.Devices = append(own.Devices, dialect.NewApple(who, phone, &dialect.Habits{}))
	}
	l, err := New(own)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	if _, err := l.Enrol(ctx); err != nil {
		return nil, fmt.Errorf("calibrate: %w", err)
	}
	if err := l.Run(ctx); err != nil {
		return nil, err
	}
	done := float64(l.total().sessions.done)
	k := &Calibration{Seconds: l.ended.Seconds(), Ceiling: done / l.ended.Seconds(), Asked: c.Pace.Peak(), LeavesOut: c.uncalibrated()}
	if used := l.spent.Seconds(); used > 0 {
		k.PerCPUSecond = done / used
	}
	k.corrected(0, 0)
	return k, nil
}

// corrected takes what the conversations of the run cost: it reaches less by as much as they cost more than calibration's, whose null
// server's part makes that a cautious figure. Of less than a second of processor time nothing can be said.
func (k *Calibration) corrected(conversations uint64, used time.Duration) {
	k.Reach, k.OwnPerCPUSecond = k.Ceiling, 0
	if used >= time.Second && conversations > 0 && k.PerCPUSecond > 0 {
		k.OwnPerCPUSecond = float64(conversations) / used.Seconds()
		k.Reach *= min(1, k.OwnPerCPUSecond/k.PerCPUSecond)
	}
	if k.Asked > 0 {
		k.Headroom = k.Reach / k.Asked
	}
}

// uncalibrated names what calibration leaves out of c.
func (c *Config) uncalibrated() []string {
	list := []string{}
	if c.others() {
		list = append(list, lang.English.Say("what Windows and Android devices say: its devices were iPhones"))
	}
	if len(c.Acts) > 0 {
		list = append(list, lang.English.Say("orders other than one question to each device in each conversation"))
	}
	if c.Closed == 0 && c.Pace.Peak() == 0 {
		list = append(list, lang.English.Say("a rate to hold against its ceiling: how many devices come at a time, the server's pushes decide"))
	}
	return list
}

// Refuses tells why a run that asks for as much gets no verdict; empty: it may have one (HST-126).
func (k *Calibration) Refuses() string {
	switch {
	case k.Asked > k.Ceiling:
		return lang.English.Say("generator saturated: %d a second were asked for, and against a server that does nothing this generator reaches %d here", int(math.Round(k.Asked)), int(math.Round(k.Ceiling)))
	case k.Asked > k.Reach:
		return lang.English.Say("generator saturated: %d a second were asked for, and with conversations as dear as this run's this generator reaches %d here", int(math.Round(k.Asked)), int(math.Round(k.Reach)))
	}
	return ""
}
