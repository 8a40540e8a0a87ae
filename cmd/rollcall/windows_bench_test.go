//go:build !agentonly

package main

import (
	"fmt"
	"testing"

	"rollcall/fleet/plan"
)

// BenchmarkLabWindows has b.N Windows devices enrol in a lab at once, each with its first session: RSA-2048 keys, which are made
// beforehand and told apart as keys-s, all else over the wire. s is how long the story took, cpu-s what it cost both sides.
//
//	go test ./cmd/rollcall -run xxx -bench LabWindows -benchtime 1000x
func BenchmarkLabWindows(b *testing.B) {
	if b.N < 10 {
		return // says nothing
	}
	p, err := plan.Parse("pcs.yaml", fmt.Appendf(nil, `
until: 2m
population:
  devices: %d
  mix: {windows: 100}
timeline:
  - {at: 0s, enrol: {over: 1m}}
limits: [devices.enrolled == devices.total]
`, b.N))
	if err != nil {
		b.Fatal(err)
	}
	r := playLab(b, b.Context(), p, labFlags{parallel: 32, rsa: []string{"windows"}}, nil)
	if err := r.result.Err(); err != nil || r.run.Keys.Later() > 0 {
		b.Fatalf("%v; %d keys were made meanwhile", err, r.run.Keys.Later())
	}
	b.ReportMetric(0, "ns/op") // with the keys and the server's start
	b.ReportMetric(r.result.WallSeconds, "s")
	b.ReportMetric(r.result.CPUSeconds, "cpu-s")
	b.ReportMetric(r.run.Keys.Took.Seconds(), "keys-s")
}
