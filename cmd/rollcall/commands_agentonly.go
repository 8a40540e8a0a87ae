//go:build agentonly

package main

import (
	"github.com/spf13/cobra"

	// What a device needs is linked, so that the size of such a program is known before its commands are there.
	_ "rollcall/agent"
	_ "rollcall/agent/dialect"
	_ "rollcall/agent/link"
)

// commands lists what a program for devices alone can do.
func commands() []*cobra.Command { return []*cobra.Command{versionCommand()} }
