//go:build !agentonly

package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
)

// A capacity is how many check-ins a second a server takes; as a flag it is a number, with or without /s, or the kept result of a
// fleet run.
type capacity float64

func (c *capacity) String() string {
	if *c == 0 {
		return ""
	}
	return strconv.FormatFloat(float64(*c), 'g', -1, 64) + "/s"
}

func (c *capacity) Type() string { return "N/s" }

func (c *capacity) Set(text string) error {
	n, err := strconv.ParseFloat(strings.TrimSuffix(text, "/s"), 64)
	if err == nil {
		if !(n > 0) || math.IsInf(n, 0) {
			return fmt.Errorf("%s: want more than 0 check-ins a second", text)
		}
		*c = capacity(n)
		return nil
	}
	data, err := os.ReadFile(text)
	if err != nil {
		return fmt.Errorf("%q: want check-ins a second, such as 500/s, or the result.json of a fleet run: %w", text, err)
	}
	var result struct {
		Command  string `json:"command"`
		Verdict  string `json:"verdict"`
		CheckIns struct {
			PerSecond float64 `json:"per_second"`
		} `json:"checkins"`
	}
	switch err := json.Unmarshal(data, &result); {
	case err != nil:
		return fmt.Errorf("%s: no result of a fleet run: %w", text, err)
	case result.Verdict == "invalid":
		return fmt.Errorf("%s: its verdict is invalid: the generator was at its own limit, so it measured no server", text)
	case !strings.HasPrefix(result.Command, "fleet run") || !(result.CheckIns.PerSecond > 0):
		return fmt.Errorf("%s: no result of a fleet run with check-ins (checkins.per_second)", text)
	}
	*c = capacity(result.CheckIns.PerSecond)
	return nil
}
