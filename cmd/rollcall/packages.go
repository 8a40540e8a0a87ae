//go:build !agentonly

package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"rollcall/fleet/target"
)

func packagesCommand() *cobra.Command {
	cmd, c := clientCommand(&cobra.Command{
		Use: "packages", Short: "Make, list and revoke provisioning packages for Windows devices",
		Long: `Make, list and revoke provisioning packages for Windows devices: machines that have the package's bootstrap certificate enrol by it,
without a user (WIN-067). The certificate stands for the package and not for a machine, so a package is for a limited number of
machines and a limited time. A machine counts once, by what it says of its hardware, however often it is set up anew.`,
	})
	cmd.AddCommand(packagesMakeCommand(c), packagesListCommand(c), packagesRevokeCommand(c))
	return cmd
}

func packagesMakeCommand(c *client) *cobra.Command {
	var machines int
	var lifetime time.Duration
	var out string
	var force bool
	cmd := &cobra.Command{
		Use: "make NAME", Short: "Make a package: its bootstrap certificate and key", Args: cobra.ExactArgs(1),
		Long: `Make a package: its bootstrap certificate and that certificate's key, which the server does not keep. Whoever has the file may enrol
machines.

In Windows Configuration Designer the certificate with its key is imported as a client certificate, in PKCS#12
(openssl pkcs12 -export -in FILE -out package.pfx), and Workplace/Enrollments has AuthPolicy Certificate, what is printed as
DiscoveryServiceFullUrl, and the printed thumbprint as Secret.`,
		Example: `  rollcall packages make classroom --machines 30 --expires 14d`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("machines") {
				return errors.New("--machines: how many may it enrol? Give 1 to 10000")
			}
			if err := mayWrite("--out", out, force); err != nil { // it may be the one copy of another package's key
				return err
			}
			t, err := c.target()
			if err != nil {
				return err
			}
			p, err := t.MakePackage(cmd.Context(), args[0], machines, lifetime)
			if err != nil {
				return err
			}
			if out == "" {
				out = p.Thumbprint + ".pem"
			}
			if err := writeFile(out, p.Bundle, 0o600); err != nil {
				return fmt.Errorf("--out: %w; the package is made, and of no use without its key: rollcall packages revoke %q", err, args[0])
			}
			p.Bundle = nil
			return show(cmd, map[string]any{"package": p, "file": out}, func(w io.Writer) {
				row(w, "file", out+", with its key")
				row(w, "thumbprint", p.Thumbprint)
				row(w, "discovery", p.Discovery)
				row(w, "machines", strconv.Itoa(p.Machines))
				row(w, "until", when(p.Ends))
			})
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&machines, "machines", 0, "machines that it may enrol, 1 to 10000")
	durationVar(flags, &lifetime, "expires", 14*24*time.Hour, "time until it is of no use, at most 180 days")
	flags.StringVar(&out, "out", "", "`FILE` to write, which is secret (default: the thumbprint with .pem)")
	flags.BoolVar(&force, "force", false, "replace the file if it is there already")
	return cmd
}

func packagesListCommand(c *client) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "list", Short: "List packages, and how many machines each has admitted", Args: noArgs,
		Long: `List packages, and how many machines each has admitted. One that is revoked is listed by --all alone: its name stays taken.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := c.target()
			if err != nil {
				return err
			}
			list, err := t.Packages(cmd.Context())
			if err != nil {
				return err
			}
			every := len(list)
			if !all {
				list = slices.DeleteFunc(list, func(p target.Package) bool { return p.Revoked })
			}
			return show(cmd, map[string]any{"packages": list}, func(w io.Writer) {
				row(w, "NAME", "MACHINES", "MADE", "ENDS", "STATE")
				for _, p := range list {
					state := "valid"
					if p.Revoked {
						state = "revoked"
					}
					row(w, p.Name, fmt.Sprintf("%d of %d", p.Admitted, p.Machines), when(p.Made), when(p.Ends), state)
				}
				if hidden := every - len(list); hidden > 0 {
					fmt.Fprintf(w, "and %d revoked (--all)\n", hidden)
				}
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "those too that are revoked")
	return cmd
}

func packagesRevokeCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "revoke NAME", Short: "End a package; what enrolled by it stays", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := c.target()
			if err != nil {
				return err
			}
			if err := t.RevokePackage(cmd.Context(), args[0]); err != nil {
				return named(err, "package", args[0])
			}
			return show(cmd, map[string]any{"revoked": args[0]}, func(w io.Writer) { fmt.Fprintf(w, "%s: revoked\n", args[0]) })
		},
	}
}
