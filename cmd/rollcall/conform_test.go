//go:build !agentonly

package main

import (
	"os"
	"testing"

	"rollcall/fleet/conformance"
)

// TestConform asks a server of ours everything.
func TestConform(t *testing.T) {
	o, err := startOwn(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	c, err := o.config(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if only := os.Getenv("ONLY"); only != "" {
		c.Only = []string{only}
	}
	r, err := conformance.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Summary(os.Stdout); err != nil {
		t.Fatal(err)
	}
	if err := r.Err(); err != nil {
		t.Error(err)
	}
}
