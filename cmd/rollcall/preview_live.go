//go:build !agentonly

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// liveFlags are the flags of preview that mean something to a server.
var liveFlags = []string{"set", "server", "ca", "token-file", "data", "json", "lang"}

// previewLive asks a running server what a change of its authority would do. A change that is refused as things are, but
// could be forced, is shown all the same, and then refused.
func previewLive(cmd *cobra.Command, c *client, set string, l lang.Language) error {
	var stray []string
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if !slices.Contains(liveFlags, f.Name) {
			stray = append(stray, "--"+f.Name)
		}
	})
	if len(stray) > 0 {
		return fmt.Errorf("%s: for a preview of an export; give --export, or leave it out to ask the server", strings.Join(stray, ", "))
	}
	if set != "" {
		if err := checkAuthority("--set", set); err != nil {
			return err
		}
	}
	t, err := c.target()
	if err != nil {
		return err
	}
	change := target.Change{Authority: set}
	if set == "" {
		s, err := t.Authority(cmd.Context())
		if err != nil {
			return err
		}
		change.Authority = wantedOf(s.Name)
	}
	p, err := t.PreviewAuthority(cmd.Context(), change)
	var refused error
	if no, ok := errors.AsType[*target.Error](err); ok && no.Rule == "AUTH-04" {
		refused = err
		change.Force = true
		if p, err = t.PreviewAuthority(cmd.Context(), change); err != nil {
			return refused
		}
	}
	if err != nil {
		return err
	}
	if asJSON(cmd) {
		if err := json.NewEncoder(cmd.OutOrStdout()).Encode(p); err != nil || refused == nil {
			return err
		}
		return &shown{refused}
	}
	last := l.Say("nothing was changed")
	if p.Before != p.After {
		last = l.Say("nothing was changed; this makes what is shown:") + "\n  rollcall authority set " + change.Authority
		if change.Force {
			last += " --force"
		}
		last += " --confirm " + p.ID
	}
	if err := printPreview(cmd, l, &p, last); err != nil {
		return err
	}
	return refused
}

// wantedOf is the question to put to a tenant when nobody says otherwise, as with an export.
func wantedOf(name string) string {
	switch name {
	case protocol.Unknown.String():
		return protocol.Intune.String()
	case protocol.Office365.String():
		return "coexistence"
	}
	return name
}
