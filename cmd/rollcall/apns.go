//go:build !agentonly

package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"rollcall/fleet/target"
	"rollcall/protocol/lang"
)

func apnsCommand() *cobra.Command {
	cmd, c := clientCommand(&cobra.Command{Use: "apns", Short: "Look after the Apple push certificate"})
	cmd.AddCommand(apnsStatusCommand(c), apnsUploadCommand(c), apnsCSRCommand(c), apnsMakeTestCommand(c))
	return cmd
}

func apnsStatusCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show the push certificate and what is wrong with it", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := c.target()
			if err != nil {
				return err
			}
			p, err := t.Push(cmd.Context())
			if err != nil {
				return err
			}
			return show(cmd, p, func(w io.Writer) {
				if p.Topic != "" {
					row(w, "topic", p.Topic)
					row(w, "Apple ID", p.AppleID)
					row(w, "valid", when(p.NotBefore)+" to "+when(p.NotAfter))
				}
				for _, warning := range p.Warnings {
					row(w, "warning", string(warning.Rule)+": "+warning.Message)
				}
			})
		},
	}
}

func apnsUploadCommand(c *client) *cobra.Command {
	var u target.PushUpload
	var password string
	var dry bool
	cmd := &cobra.Command{
		Use: "upload FILE", Short: "Give the server a push certificate: PEM with its key, or PKCS#12", Args: cobra.ExactArgs(1),
		Long: `Give the server a push certificate: PEM with its key, or PKCS#12.

It is checked before it is taken (AUTH-34). One with another topic reaches no enrolled device (AUTH-32): what it does is at first
only shown, with an id, and done with --confirm ID and, in --count, the number of those devices (HST-070, HST-071). What it does is
printed; --dry-run prints it and changes nothing.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if u.Certificate, err = readInput(args[0]); err != nil {
				return err
			}
			if password != "" {
				b, err := os.ReadFile(password)
				if err != nil {
					return fmt.Errorf("--password-file: %w", err)
				}
				u.Password = firstLine(b)
			}
			t, err := c.target()
			if err != nil {
				return err
			}
			if dry {
				p, err := t.PreviewPush(cmd.Context(), u)
				if err != nil {
					return fmt.Errorf("%s: %w", args[0], err)
				}
				return tellUpload(cmd, &p, args[0], "nothing was changed")
			}
			p, err := t.TakePush(cmd.Context(), u)
			if err != nil {
				return tell(cmd, nil, fmt.Errorf("%s: %w", args[0], err), "", func(id string) string {
					return "the same command with --confirm " + id + " --count NUMBER" // of those that it strands, which is to be read and typed
				})
			}
			return tellUpload(cmd, &p, args[0], "taken")
		},
	}
	cmd.Flags().StringVar(&u.AppleID, "apple-id", "", "Apple ID that the certificate was made with; its renewal needs the same one")
	cmd.Flags().StringVar(&password, "password-file", "", "file with the password of a PKCS#12")
	cmd.Flags().StringVar(&u.Preview, "confirm", "", "`ID` that the upload of another topic was shown with: do exactly that, or nothing (HST-070)")
	cmd.Flags().IntVar(&u.Count, "count", 0, "how many devices it strands, to confirm that they are meant (HST-071)")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "say what the upload would do, and change nothing")
	return cmd
}

// tellUpload prints what an upload does to the devices, and in one line what it is.
func tellUpload(cmd *cobra.Command, p *target.PushChange, name, done string) error {
	if asJSON(cmd) {
		return show(cmd, p, nil)
	}
	text := "renews the present one"
	switch {
	case p.First:
		text = "is the first one"
	case p.OtherTopic:
		text = fmt.Sprintf("has another topic, and strands %s (AUTH-32)", number(p.Stranded, "device", "devices"))
	}
	if p.ClosesGap {
		text += ", and closes the gap (AUTH-31)"
	}
	return printPreview(cmd, lang.English, &p.Preview, fmt.Sprintf("%s: %s; %s", name, text, done))
}

func apnsCSRCommand(c *client) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use: "csr", Short: "Make a key in the server and a certificate request to take to the push certificates portal", Args: noArgs,
		Long: `Make a key for the push certificate of the authority in force, and a certificate request for it. The key stays in the server until
rollcall apns upload brings the certificate, even if the authority has changed by then: a certificate renewed before a change is at
hand for the gap that the change opens (AUTH-30). A renewal uses the Apple ID of the first certificate (rollcall apns status), else
all devices must enrol again (AUTH-32). Needs the consent appleMDMPushCertificate (AUTH-05).`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := c.target()
			if err != nil {
				return err
			}
			pem, slot, err := t.PushCSR(cmd.Context())
			if err != nil {
				return err
			}
			if err := writeFile(out, pem, 0o644); err != nil {
				return fmt.Errorf("--out: %w", err)
			}
			return show(cmd, map[string]any{"file": out, "slot": slot}, func(w io.Writer) { fmt.Fprintf(w, "%s: written, for the slot of %s\n", out, slot) })
		},
	}
	cmd.Flags().StringVar(&out, "out", "push.csr", "file to write")
	return cmd
}

func apnsMakeTestCommand(c *client) *cobra.Command {
	var topic, out string
	var lifetime time.Duration
	cmd := &cobra.Command{
		Use: "make-test", Short: "Make a push certificate that simulated push services take", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := c.target()
			if err != nil {
				return err
			}
			pem, err := t.MakeTestPush(cmd.Context(), topic, lifetime)
			if err != nil {
				return err
			}
			if err := writeFile(out, pem, 0o600); err != nil {
				return fmt.Errorf("--out: %w", err)
			}
			return show(cmd, map[string]any{"file": out}, func(w io.Writer) {
				fmt.Fprintf(w, "%s: written, with its key; rollcall apns upload takes it into use\n", out)
			})
		},
	}
	cmd.Flags().StringVar(&topic, "topic", "", "topic (default: the present one, or a new one)")
	durationVar(cmd.Flags(), &lifetime, "lifetime", 0, "how long it is valid (default: a year, or longer where only that renews the present one)")
	cmd.Flags().StringVar(&out, "out", "push.pem", "file to write")
	return cmd
}
