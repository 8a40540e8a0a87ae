//go:build !agentonly

package main

import (
	"encoding/json"

	"github.com/rogpeppe/go-internal/testscript"

	"rollcall/fleet/report"
)

// sameEventLog demands that two results are of stories whose event logs are the same, byte for byte.
func sameEventLog(ts *testscript.TestScript, neg bool, args []string) {
	var of [2]report.Result
	for i := range of {
		if err := json.Unmarshal([]byte(ts.ReadFile(args[i])), &of[i]); err != nil {
			ts.Fatalf("%s: %v", args[i], err)
		}
	}
	if same := of[0].EventLogSHA256 == of[1].EventLogSHA256; same == neg || of[0].EventLogSHA256 == "" {
		ts.Fatalf("event logs %s and %s", of[0].EventLogSHA256, of[1].EventLogSHA256)
	}
}
