package wns

import (
	"fmt"
	"slices"
	"strconv"

	"rollcall/fleet/cloud"
)

// A Fault is one way to misbehave: a status, as a number, that the notification is then refused with, or one of the words below. A
// fault strikes a notification that would otherwise have been accepted; of all faults only [Drop] answers 200.
type Fault string

// The faults that are no refusals.
const (
	Drop     Fault = "Drop"     // 200, and the notification is gone
	Half     Fault = "Half"     // the answer breaks off in the middle
	HTML     Fault = "HTML"     // 502 with a page that some middlebox might write
	Redirect Fault = "Redirect" // 307 to where nobody should follow
	Reset    Fault = "Reset"    // no answer, and the connection is cut
)

var special = []Fault{Drop, Half, HTML, Redirect, Reset}

// Faults are the dials. The zero value is a service in good health. Chance is drawn for each channel by itself.
type Faults struct {
	Script []Fault           // used up first, one for each notification; empty lets one pass
	Share  map[Fault]float64 // of notifications that meet a fault, from 0 to 1 and together at most 1
}

func (f Faults) dials() (cloud.Dials[Fault], error) {
	return cloud.NewDials(f.Script, f.Share, func(name Fault) error {
		if slices.Contains(special, name) || reasons[name.status()] != "" {
			return nil
		}
		return fmt.Errorf("fault %q: want %v or a status such as 406", name, special)
	})
}

// status is the refusal that a fault is; 0: none.
func (f Fault) status() int {
	n, _ := strconv.Atoi(string(f))
	return n
}

// reasons are what the service says with its refusals (windows.md, section 8).
var reasons = map[int]string{
	400: "One or more headers were specified incorrectly or conflict with another header",
	401: "The cloud service did not present a valid authentication ticket",
	403: "The cloud service is not authorized to send a notification to this URI",
	404: "The channel URI is not valid or is not recognized by WNS",
	405: "Invalid method",
	406: "The cloud service exceeded its throttle limit",
	410: "The channel expired",
	413: "The notification payload exceeds the 5000 byte size limit",
	500: "An internal failure caused notification delivery to fail",
	503: "The server is currently unavailable",
}
