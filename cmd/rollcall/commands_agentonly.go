//go:build agentonly

package main

import "github.com/spf13/cobra"

// commands lists what a program for devices alone can do.
func commands() []*cobra.Command { return []*cobra.Command{agentCommand(), versionCommand()} }
