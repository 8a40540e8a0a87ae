package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/goccy/go-yaml"
)

// A Deviation is a statement that a server is known not to keep.
type Deviation struct {
	ID     string `yaml:"id"`
	Reason string `yaml:"reason"`          // why, and where that was found out
	Until  string `yaml:"until,omitempty"` // YYYY-MM-DD: from that day on it is a failure again; empty: for good
}

// maxKnown bounds a list of deviations, in bytes.
const maxKnown = 1 << 20

// ReadKnown reads a list of known deviations, a YAML list of {id, reason, until}. Those whose day has come at now are left
// out. The error names line and entry.
func ReadKnown(r io.Reader, now time.Time) ([]Deviation, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxKnown+1))
	switch {
	case err != nil:
		return nil, err
	case len(b) > maxKnown:
		return nil, fmt.Errorf("more than %d bytes", maxKnown)
	}
	if bytes.ContainsAny(b, "&*") { // nothing in such a list needs an alias, and those can be bombs (HST-015)
		for line := range bytes.Lines(b) {
			if text := bytes.TrimSpace(line); len(text) > 0 && text[0] != '#' && (bytes.Contains(text, []byte(": &")) || bytes.Contains(text, []byte(": *")) || bytes.HasPrefix(text, []byte("- *"))) {
				return nil, errors.New("anchors and aliases are not taken here")
			}
		}
	}
	var list []Deviation
	if err := yaml.UnmarshalWithOptions(b, &list, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("want a list of id, reason and until: %w", err)
	}
	seen := map[string]bool{}
	out := list[:0]
	for i, d := range list {
		until, wrong := time.Parse(time.DateOnly, d.Until)
		switch _, known := Find(d.ID); {
		case !known:
			return nil, fmt.Errorf("entry %d: there is no statement %q; rollcall conform --list shows them", i+1, d.ID)
		case seen[d.ID]:
			return nil, fmt.Errorf("entry %d: %s is there twice", i+1, d.ID)
		case d.Reason == "":
			return nil, fmt.Errorf("entry %d: %s has no reason", i+1, d.ID)
		case d.Until != "" && wrong != nil:
			return nil, fmt.Errorf("entry %d: until %q: want a day as YYYY-MM-DD", i+1, d.Until)
		}
		seen[d.ID] = true
		if d.Until == "" || now.Before(until) {
			out = append(out, d)
		}
	}
	return out, nil
}
