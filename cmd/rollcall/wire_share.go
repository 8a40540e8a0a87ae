//go:build !agentonly

package main

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"rollcall/fleet/plan"
)

// A wireShare is a share of the devices, as a percentage or as a number up to 1.
type wireShare plan.Share

func (s *wireShare) String() string {
	if *s == 0 {
		return ""
	}
	return plan.Share(*s).String()
}

func (s *wireShare) Type() string { return "SHARE" }

func (s *wireShare) Set(text string) error {
	if strings.HasSuffix(text, "%") {
		return s.positive((*plan.Share)(s).UnmarshalText([]byte(text)))
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 0 && n <= 1) {
		return errors.New("want a share such as 1% or 0.5")
	}
	*s = wireShare(math.Round(n * float64(plan.Whole)))
	return s.positive(nil)
}

// positive has nobody ask for a proof by no device.
func (s *wireShare) positive(err error) error {
	if err == nil && *s == 0 {
		err = errors.New("no device would speak; without the flag none does")
	}
	return err
}
