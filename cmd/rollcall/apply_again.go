//go:build !agentonly

package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// ofThisTime are the flags of apply that whoever gave them meant for that one run.
var ofThisTime = []string{"confirm", "force", "late", "others", "report"}

// again is the command, as a shell reads it, that applies the plan once more: to the same server and with the same files, by what
// cmd was given.
func again(cmd *cobra.Command, name string, how ...string) string {
	words := append([]string{"rollcall", "apply", name}, how...)
	cmd.Flags().Visit(func(f *pflag.Flag) {
		list, many := f.Value.(pflag.SliceValue)
		switch {
		case slices.Contains(ofThisTime, f.Name):
		case f.Name == "pin": // is a secret
			words = append(words, "--pin", "PIN")
		case many:
			for _, v := range list.GetSlice() {
				words = append(words, "--"+f.Name, v)
			}
		case f.Value.Type() == "bool":
			words = append(words, "--"+f.Name+"="+f.Value.String())
		default:
			words = append(words, "--"+f.Name, f.Value.String())
		}
	})
	for i, w := range words {
		words[i] = shellWord(w)
	}
	return strings.Join(words, " ")
}

// shellWord is a word as a shell takes it.
func shellWord(w string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-"
	if w != "" && strings.Trim(w, plain) == "" {
		return w
	}
	return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
}
