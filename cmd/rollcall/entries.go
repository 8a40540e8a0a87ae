//go:build !agentonly

package main

import (
	"encoding/csv"
	"errors"
	"io"
	"strings"

	"rollcall/fleet/rehearsal"
	"rollcall/protocol/lang"
)

// writeEntries writes a list to act on: device, user, reason and action of each device that entries calls its argument with.
func writeEntries(w io.Writer, l lang.Language, entries func(func(rehearsal.Entry) error) error) error {
	out := csv.NewWriter(w)
	out.Write([]string{l.Say("device"), l.Say("user"), l.Say("reason"), l.Say("action")})
	err := entries(func(e rehearsal.Entry) error {
		return out.Write([]string{harmless(e.Device), harmless(e.User), harmless(e.Reason), harmless(e.Action)})
	})
	out.Flush()
	return errors.Join(err, out.Error())
}

// harmless is a cell that no spreadsheet takes for a formula (HST-067).
func harmless(cell string) string {
	if strings.HasPrefix(strings.TrimLeft(cell, " \t\r\n"), "=") || cell != "" && strings.ContainsRune("+-@\t\r\n", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}
