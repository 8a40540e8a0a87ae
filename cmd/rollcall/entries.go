//go:build !agentonly

package main

import (
	"encoding/csv"
	"errors"
	"io"
	"strings"
	"unicode"

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

// harmless is a cell that no spreadsheet takes for a formula (HST-067), without what would command a terminal that shows it: control
// characters, and those that turn the direction of writing.
func harmless(cell string) string {
	cell = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(cell, "\uFFFD"))
	if strings.HasPrefix(strings.TrimLeft(cell, " "), "=") || cell != "" && strings.ContainsRune("+-@", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}
