package apns

import (
	"fmt"
	"slices"
	"strings"

	"rollcall/fleet/cloud"
)

// A Fault is one way to misbehave: the name of any [Reason], with which the push is then refused, or one of
// the words below. A fault strikes a push that would otherwise have been accepted; of all faults only [Drop]
// answers 200.
type Fault string

// The faults that are no refusals.
const (
	NoFault Fault = ""
	Drop    Fault = "Drop"   // 200, and the notification is gone
	GoAway  Fault = "GoAway" // 503 Shutdown and GOAWAY with the same JSON: later streams of this connection are not looked at
	Half    Fault = "Half"   // the answer breaks off in the middle and the stream is reset
	Hang    Fault = "Hang"   // no answer until Service.Release, then an ordinary one
	HTML    Fault = "HTML"   // 502 with a page that some middlebox might write
	Reset   Fault = "Reset"  // the whole connection is cut, with every stream on it
)

var special = []Fault{Drop, GoAway, Half, Hang, HTML, Reset}

// Faults are the dials. The zero value is a service in good health.
type Faults struct {
	// Script is used up first: the next pushes that would be accepted meet these, one each, in order of
	// arrival. NoFault lets one pass.
	Script []Fault
	// Share is, for each fault, the share of pushes that meet it, from 0 to 1 and together at most 1. Chance
	// is drawn for each device token by itself, from seed and token, so that the order in which different
	// devices are pushed to changes nothing.
	Share map[Fault]float64
}

func (f Faults) dials() (cloud.Dials[Fault], error) {
	return cloud.NewDials(f.Script, f.Share, func(name Fault) error {
		if name.known() {
			return nil
		}
		return fmt.Errorf("fault %q: want %s or a reason such as %s", name, join(special), TooManyRequests)
	})
}

func (f Fault) known() bool { return slices.Contains(special, f) || Reason(f).Status() != 0 }

func join(faults []Fault) string {
	words := make([]string, len(faults))
	for i, f := range faults {
		words[i] = string(f)
	}
	return strings.Join(words, ", ")
}
