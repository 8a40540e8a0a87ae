package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"rollcall/agent/host"
	"rollcall/agent/host/daemon"
)

func agentInstallCommand(a *agentFlags) *cobra.Command {
	var s daemon.Service
	var show bool
	cmd := &cobra.Command{
		Use: "install", Short: "Have the system start the agent at each boot", Args: noArgs,
		Long: `Have the system start the agent at each boot, and now if this machine is enrolled: by systemd, launchd, or as a Windows service. It needs
root (sudo), on Windows an administrator. It logs to the journal, on macOS to /var/log/rollcall-agent.log, on Windows to the event log.

On Linux the agent gets a user of its own that may write its state and nothing else. An agent that is to act on the machine
(enroll's --allow) is installed with --as-root. On macOS and Windows it is root and LocalSystem.`,
		Example: `  rollcall agent install --print
  sudo rollcall agent install`,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if s.State = host.MachineFolder(); cmd.Flags().Changed("state") {
				if s.State, err = filepath.Abs(a.state); err != nil {
					return err
				}
			}
			if s.Program != "" {
				s.Program, err = filepath.Abs(s.Program)
			} else if s.Program, err = os.Executable(); err == nil {
				s.Program, err = filepath.EvalSymlinks(s.Program)
			}
			if err != nil {
				return err
			}
			name, text, err := s.Definition(runtime.GOOS)
			if err != nil {
				return err
			}
			start := false
			if !show {
				status, err := host.Read(s.State, time.Now(), host.Facts{})
				start = err == nil && status.State != "unmanaged"
				if name, err = s.Install(start); err != nil {
					return err
				}
			}
			out := cmd.OutOrStdout()
			if asJSON(cmd) {
				return json.NewEncoder(out).Encode(struct {
					Name      string `json:"name"`
					File      string `json:"file"`
					Text      string `json:"text"`
					Installed bool   `json:"installed"`
					Started   bool   `json:"started"`
				}{daemon.Name, name, text, !show, start})
			}
			switch {
			case show:
				_, err = fmt.Fprintf(out, "# %s\n%s", name, text)
			case start:
				_, err = fmt.Fprintf(out, "the system starts the agent at each boot now, and has started it (%s)\n", name)
			default:
				_, err = fmt.Fprintf(out, "the system starts the agent at each boot now (%s), once it is enrolled\n", name)
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&show, "print", false, "print what would be installed, and install nothing")
	flags.BoolVar(&s.Root, "as-root", false, "on Linux: let the agent do what root may, for what --allow and --apply name")
	flags.StringVar(&s.Program, "program", "", "`FILE` that the system starts (default: this program)")
	return cmd
}

func agentUninstallCommand() *cobra.Command {
	return &cobra.Command{
		Use: "uninstall", Short: "Stop the agent, and have the system start it no more", Args: noArgs,
		Long: `Stop the agent, and have the system start it no more. Its state stays, and the machine is still managed: rollcall agent unenroll ends that.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := daemon.Uninstall(); err != nil {
				return err
			}
			if asJSON(cmd) {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(struct {
					Name      string `json:"name"`
					Installed bool   `json:"installed"`
				}{daemon.Name, false})
			}
			says := "the system starts the agent no more"
			if s, err := host.Read(host.MachineFolder(), time.Now(), host.Facts{}); err == nil && s.State != "unmanaged" {
				says += "; the machine is still managed until rollcall agent unenroll"
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), says)
			return err
		},
	}
}
