//go:build !agentonly

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/fleet/target"
	"rollcall/protocol"
)

func profilesCommand() *cobra.Command {
	cmd, c := clientCommand(&cobra.Command{Use: "profiles", Short: "Give profiles to groups of users"})
	cmd.AddCommand(profilesApplyCommand(c), profilesListCommand(c), profilesRemoveCommand(c))
	return cmd
}

func profilesApplyCommand(c *client) *cobra.Command {
	var name, of string
	var groups []string
	cmd := &cobra.Command{
		Use: "apply FILE", Short: "Make FILE the newest version of a profile and assign it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			document, err := readInput(args[0])
			if err != nil {
				return err
			}
			if name == "" {
				name = strings.TrimSuffix(filepath.Base(args[0]), ".mobileconfig")
			}
			whose, err := authorityNamed(of)
			if err != nil {
				return err
			}
			t, err := c.target()
			if err != nil {
				return err
			}
			if err := t.ApplyProfileOf(cmd.Context(), whose, name, document, groups); err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return show(cmd, map[string]any{"profile": name, "groups": groups}, func(w io.Writer) {
				fmt.Fprintf(w, "%s: applied, assigned to %s\n", name, strings.Join(groups, ", "))
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "name of the profile (default: that of the file)")
	cmd.Flags().StringVar(&of, "authority", "", "whose profile it is, before a change of authority too: intune, sccm or office365 (default: the tenant's)")
	cmd.Flags().StringSliceVar(&groups, "to", nil, "groups of users that get it, besides those that have it")
	return cmd
}

// authorityNamed reads a flag; empty: Unknown, the tenant's.
func authorityNamed(s string) (a protocol.Authority, err error) {
	if s != "" {
		if err := a.UnmarshalText([]byte(s)); err != nil {
			return a, fmt.Errorf("--authority: %w", err)
		}
	}
	return a, nil
}

func profilesListCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List profiles and who has them", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := c.target()
			if err != nil {
				return err
			}
			list, err := t.Profiles(cmd.Context())
			if err != nil {
				return err
			}
			return show(cmd, map[string][]target.Profile{"profiles": list}, func(w io.Writer) {
				row(w, "NAME", "VERSION", "AUTHORITY", "FAMILY", "IDENTIFIER", "BYTES", "GROUPS")
				for _, p := range list {
					row(w, p.Name, strconv.Itoa(int(p.Number)), p.Authority.String(), p.Family.String(), p.Identifier, strconv.Itoa(p.Size), strings.Join(p.Groups, ", "))
				}
			})
		},
	}
}

func profilesRemoveCommand(c *client) *cobra.Command {
	var of string
	var groups []string
	cmd := &cobra.Command{
		Use: "remove NAME", Short: "Take a profile from everybody, or from some groups", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := c.target()
			if err != nil {
				return err
			}
			whose, err := authorityNamed(of)
			if err != nil {
				return err
			}
			if len(groups) == 0 {
				if err := t.TakeProfileOf(cmd.Context(), whose, args[0], ""); err != nil {
					return ofAnother(cmd.Context(), t, err, args[0], whose)
				}
			}
			for _, g := range groups {
				if err := t.TakeProfileOf(cmd.Context(), whose, args[0], g); err != nil {
					return fmt.Errorf("group %s: %w", g, named(err, "profile assigned to it that is called", args[0]))
				}
			}
			return show(cmd, map[string]any{"profile": args[0], "groups": groups}, func(w io.Writer) { fmt.Fprintf(w, "%s: removed\n", args[0]) })
		},
	}
	cmd.Flags().StringVar(&of, "authority", "", "whose profile: intune, sccm or office365 (default: the tenant's)")
	cmd.Flags().StringSliceVar(&groups, "from", nil, "only from these groups")
	return cmd
}

// ofAnother is named of a profile, with the other authority that has one of this name, if one does.
func ofAnother(ctx context.Context, t *target.Rollcall, err error, name string, whose protocol.Authority) error {
	e, ok := errors.AsType[*target.Error](err)
	if !ok || e.Status != http.StatusNotFound {
		return err
	}
	list, _ := t.Profiles(ctx) // without one the plain answer is true as well
	for _, p := range list {
		if p.Name == name && p.Authority != whose {
			return fmt.Errorf("there is no such profile %q, but %s has one: --authority %s", name, p.Authority, p.Authority)
		}
	}
	return named(err, "profile", name)
}
