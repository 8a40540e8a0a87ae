//go:build agentonly

package main

import "github.com/spf13/cobra"

const about = "The agent that has this machine managed as a device by an MDM server"

// commands lists what a program for devices alone can do.
func commands() []*cobra.Command { return []*cobra.Command{agentCommand(), versionCommand()} }
