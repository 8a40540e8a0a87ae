//go:build !agentonly

package main

import (
	"time"

	"github.com/spf13/pflag"

	"rollcall/fleet/plan"
)

// durationVar is a flag for a length of time as plans write it: 90s, 8h, 14d.
func durationVar(flags *pflag.FlagSet, p *time.Duration, name string, value time.Duration, usage string) {
	*p = value
	f := flags.VarPF((*lengthOfTime)(p), name, "", usage)
	if value == 0 {
		f.DefValue = "" // none is shown
	}
}

type lengthOfTime time.Duration

func (l *lengthOfTime) Set(s string) error {
	if s == "0" { // of whatever
		*l = 0
		return nil
	}
	d, err := plan.ParseDuration(s)
	if err == nil {
		*l = lengthOfTime(d)
	}
	return err
}

func (l *lengthOfTime) String() string { return plan.Duration(*l).String() }
func (l *lengthOfTime) Type() string   { return "duration" }
