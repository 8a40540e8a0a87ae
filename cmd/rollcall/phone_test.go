//go:build !agentonly

package main

import (
	"context"
	"path/filepath"
	"regexp"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/fleet/target"
	"rollcall/protocol"
)

// A scriptPhone is a simulated iPhone of a script.
type scriptPhone struct {
	link   *link.Link
	device *dialect.Apple
}

var linkPattern = regexp.MustCompile(`https://\S+/e/\S+`)

// phone UDID enrols DATA [FILE] has a simulated iPhone enrol by the link that was printed last, or into that file, at the server
// with that data folder;
// phone UDID comes has it check in. With ! it must fail.
func phone(ts *testscript.TestScript, fails bool, args []string) {
	phones := ts.Value(phonesKey{}).(map[string]*scriptPhone)
	p, err := phones[args[0]], error(nil)
	ctx := context.Background()
	switch args[1] {
	case "enrols":
		printed := "stdout"
		if len(args) > 3 {
			printed = args[3]
		}
		url := linkPattern.FindString(ts.ReadFile(printed))
		if p == nil {
			p, err = newScriptPhone(ts, args[0], args[2])
			ts.Check(err)
			phones[args[0]] = p
		}
		_, err = p.link.Enrol(ctx, p.device, dialect.Start{URL: url})
	case "comes":
		_, err = p.link.Converse(ctx, p.device, dialect.Synced)
	default:
		ts.Fatalf("phone %s does not know how to %s", args[0], args[1])
	}
	if (err != nil) != fails {
		ts.Fatalf("phone %s %s: %v", args[0], args[1], err)
	}
}

type phonesKey struct{}

func newScriptPhone(ts *testscript.TestScript, udid, data string) (*scriptPhone, error) {
	c := client{server: ts.Getenv("ROLLCALL_SERVER"), data: ts.MkAbs(data), tokenFile: filepath.Join(ts.MkAbs(data), tokenFile)}
	t, err := c.target()
	if err != nil {
		return nil, err
	}
	roots, err := c.roots()
	if err != nil {
		return nil, err
	}
	now := func() time.Time { // the server's, which may be driven
		var clock target.Clock
		clock, err = t.Clock(context.Background())
		ts.Check(err)
		return clock.Now.Time()
	}
	l, err := link.New(link.Config{Roots: roots, Now: now})
	if err != nil {
		return nil, err
	}
	ts.Defer(func() { l.Close() })
	seed := uint64(len(udid))
	for i := range len(udid) {
		seed = seed*31 + uint64(udid[i])
	}
	return &scriptPhone{l, dialect.NewApple(dialect.Who{Number: 1, Seed: seed, UDID: udid, Serial: "SERIAL" + udid, Name: "phone " + udid},
		&dialect.Model{Platform: protocol.IOS, Name: "iPhone", Number: "MLPF3", Product: "iPhone14,5", OSVersion: "18.1", Build: "22B83", Capacity: 128}, &dialect.Habits{})}, nil
}
