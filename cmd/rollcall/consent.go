//go:build !agentonly

package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func consentCommand() *cobra.Command {
	cmd, c := clientCommand(&cobra.Command{
		Use: "consent", Short: "List and grant the consents to share data with Apple and Google",
		Long: `List and grant the consents to share device and user data with Apple and Google (AUTH-05). Each is asked for once, before
what needs it is used, and is never revoked.`,
	})
	cmd.AddCommand(consentListCommand(c), consentGrantCommand(c))
	return cmd
}

func consentListCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the consents, and what is shared with whom and why", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := c.target()
			if err != nil {
				return err
			}
			list, err := t.Consents(cmd.Context())
			if err != nil {
				return err
			}
			return show(cmd, map[string]any{"consents": list}, func(w io.Writer) {
				for _, consent := range list {
					state := "not granted"
					if consent.Granted {
						state = "granted by " + consent.By + " at " + when(consent.At)
					}
					row(w, consent.Service, consent.With, state)
					for _, s := range consent.Shared {
						row(w, "  "+s.Data, "", s.Why)
					}
				}
			})
		},
	}
}

func consentGrantCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "grant SERVICE", Short: "Grant a consent, for good", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := c.target()
			if err != nil {
				return err
			}
			before, err := t.Consents(cmd.Context())
			if err != nil {
				return err
			}
			if err := t.Consent(cmd.Context(), args[0]); err != nil {
				return err
			}
			done := "granted"
			for _, consent := range before {
				if consent.Service == args[0] && consent.Granted {
					done = "nothing was changed: granted by " + consent.By + " at " + when(consent.At)
				}
			}
			return show(cmd, map[string]any{"granted": args[0]}, func(w io.Writer) { fmt.Fprintf(w, "%s: %s\n", args[0], done) })
		},
	}
}
