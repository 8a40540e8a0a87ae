//go:build !agentonly

package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"rollcall/server/store/sqlstore"
)

func backupCommand() *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use: "backup FILE", Short: "Copy a server's database, while it runs or not", Args: cobra.ExactArgs(1),
		Long: `Copy the database of a data folder on this machine, as it is at one moment, into a new file. The server may be running.

The file holds all that the server knows, its keys too: keep it where nobody else can read it. To restore it, name it rollcall.db,
put it alone into an empty folder, and serve that. The server sees that its devices may be ahead of it: it begins a new epoch, sends
every device its profiles again, accepts certificates that it issued since the backup, and withdraws orders to lock, erase, retire
or restart. A device that enrolled since has to enrol again: rollcall audit --rule HST-101 says which.`,
		Example: `  rollcall backup --data rollcall-data /backups/rollcall-monday.db`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := sqlstore.Backup(cmd.Context(), data, args[0]); err != nil {
				return err
			}
			return show(cmd, map[string]any{"backup": args[0]}, func(w io.Writer) { fmt.Fprintf(w, "%s: written\n", args[0]) })
		},
	}
	cmd.Flags().StringVar(&data, "data", defaultData, "data folder of the server")
	return cmd
}
