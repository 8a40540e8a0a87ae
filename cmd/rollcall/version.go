package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// packaged is the version of the package that this program came in; the linker sets it. Empty: it came in none.
var packaged string

// A provenance is what this program was made of.
type provenance struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (p provenance) String() string {
	return strings.Join(strings.Fields(strings.Join([]string{"rollcall", p.Version, p.Revision, p.Go, p.Platform}, " ")), " ")
}

func program() provenance {
	p := provenance{cmp.Or(packaged, "(devel)"), "", runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		if packaged == "" && info.Main.Version != "" {
			p.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				p.Revision = s.Value
			}
		}
	}
	return p
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print what this program was made of",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON(cmd) {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(program())
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), program())
			return err
		},
	}
}
