//go:build !agentonly

package main

import "github.com/spf13/cobra"

const about = "An MDM server, a device agent, and a fleet of simulated devices to try a server with"

const firstTries = `  rollcall lab                          # the whole story in about a minute
  rollcall rehearse --export FOLDER     # what adding Intune would do to a tenant, in seconds
  rollcall serve                        # a server of your own; it says how the first machine enrols
  rollcall fleet run --target URL       # what a server takes
  rollcall conform URL                  # whether it keeps to the protocols`

// addCommands gives the root what this program can do, by what people come for.
func addCommands(root *cobra.Command) {
	for _, g := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"See it all at once", []*cobra.Command{labCommand()}},
		{"Before the authority of a tenant changes", []*cobra.Command{previewCommand(), planCommand(), rehearseCommand(), explainCommand(), replayCommand(), applyCommand()}},
		{"A server of your own", []*cobra.Command{
			serveCommand(), authorityCommand(), apnsCommand(), consentCommand(), usersCommand(), devicesCommand(), profilesCommand(),
			packagesCommand(), auditCommand(), clockCommand(), tokenCommand(), backupCommand(),
		}},
		{"A machine of your own", []*cobra.Command{agentCommand()}},
		{"Try a server, or a device", []*cobra.Command{fleetCommand(), conformCommand(), cloudCommand()}},
	} {
		root.AddGroup(&cobra.Group{ID: g.title, Title: g.title + ":"})
		for _, c := range g.commands {
			c.GroupID = g.title
		}
		root.AddCommand(g.commands...)
	}
	root.AddCommand(versionCommand())
	root.Example = firstTries
}
