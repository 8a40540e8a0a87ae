//go:build !agentonly

package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rollcall/server/store"
)

func tokenCommand() *cobra.Command {
	cmd, c := clientCommand(&cobra.Command{
		Use: "token", Short: "Make, list and revoke tokens of the admin API",
		Long: `Make, list and revoke tokens of the admin API.

A server's first token is in the file admin.token of its data folder, which only its owner can read.`,
	})
	cmd.AddCommand(tokenMakeCommand(c), tokenListCommand(c), tokenRevokeCommand(c))
	return cmd
}

func tokenMakeCommand(c *client) *cobra.Command {
	var lifetime time.Duration
	var role string
	cmd := &cobra.Command{
		Use: "make NAME", Short: "Make a token and print it, this once", Args: cobra.ExactArgs(1),
		Long: `Make a token and print it, this once.

Its role says how far it reaches (AUTH-08); each role includes those before it:
  reader    sees everything but tokens, changes nothing
  helpdesk  orders devices about, makes enrolment links
  intune    the tenant: authority, consents, push certificates, users, licences, profiles, settings
  global    tokens too

A token with the name of a user of the tenant is that user's: a change of authority warns of an administrator without a licence that
entitles Intune.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := new(store.Role).UnmarshalText([]byte(role)); err != nil {
				return fmt.Errorf("--role: %w", err)
			}
			t, err := c.target()
			if err != nil {
				return err
			}
			token, err := t.MakeToken(cmd.Context(), args[0], role, lifetime)
			if err != nil {
				return err
			}
			return show(cmd, map[string]any{"name": args[0], "role": role, "token": token}, func(w io.Writer) { fmt.Fprintln(w, token) })
		},
	}
	cmd.Flags().StringVar(&role, "role", "reader", "how far it reaches: reader, helpdesk, intune or global")
	durationVar(cmd.Flags(), &lifetime, "lifetime", 0, "how long it is valid (default: until it is revoked)")
	return cmd
}

func tokenListCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List tokens by name", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := c.target()
			if err != nil {
				return err
			}
			list, err := t.Tokens(cmd.Context())
			if err != nil {
				return err
			}
			return show(cmd, map[string]any{"tokens": list}, func(w io.Writer) {
				row(w, "NAME", "ROLE", "MADE", "ENDS", "STATE")
				for _, token := range list {
					state := "valid"
					if token.Revoked {
						state = "revoked"
					}
					row(w, token.Name, token.Role, when(token.Made), when(token.Expires), state)
				}
			})
		},
	}
}

func tokenRevokeCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "revoke NAME", Short: "Make a token useless", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := c.target()
			if err != nil {
				return err
			}
			if err := t.RevokeToken(cmd.Context(), args[0]); err != nil {
				return named(err, "token", args[0])
			}
			return show(cmd, map[string]any{"revoked": args[0]}, func(w io.Writer) { fmt.Fprintf(w, "%s: revoked\n", args[0]) })
		},
	}
}

func firstLine(b []byte) string {
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSuffix(line, "\r")
}
