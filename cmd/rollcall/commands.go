//go:build !agentonly

package main

import "github.com/spf13/cobra"

const about = "An MDM server, a device agent, and a fleet of simulated devices to try a server with"

// commands lists what this program can do.
func commands() []*cobra.Command {
	return []*cobra.Command{
		labCommand(), rehearseCommand(), applyCommand(), explainCommand(), replayCommand(), previewCommand(), planCommand(), fleetCommand(), conformCommand(), serveCommand(), agentCommand(), cloudCommand(), devicesCommand(), profilesCommand(), usersCommand(), packagesCommand(), apnsCommand(), authorityCommand(), consentCommand(), clockCommand(), auditCommand(), backupCommand(), tokenCommand(), versionCommand(),
	}
}
