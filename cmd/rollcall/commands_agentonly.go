//go:build agentonly

package main

import "github.com/spf13/cobra"

const about = "The agent that has this machine managed as a device by an MDM server"

// addCommands gives the root what a program for devices alone can do.
func addCommands(root *cobra.Command) { root.AddCommand(agentCommand(), versionCommand()) }
