package conformance

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"
)

// A Deviation is a statement that a server is known not to keep.
type Deviation struct {
	ID     string `yaml:"id"`
	Reason string `yaml:"reason"`          // why, and where that was found out
	Until  string `yaml:"until,omitempty"` // YYYY-MM-DD: from that day on it is a failure again; empty: for good
}

// maxKnown bounds a list of deviations, in bytes.
const maxKnown = 64 << 10

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
	list, err := decode(b)
	if err != nil {
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

// decode reads b by somebody else's code on bytes from outside. Nothing in such a list needs anchors and tags, and the first
// can be bombs (HST-015).
func decode(b []byte) (list []Deviation, err error) {
	defer func() {
		if recover() != nil {
			list, err = nil, errors.New("not YAML that can be read")
		}
	}()
	for _, t := range lexer.Tokenize(string(b)) {
		switch t.Type {
		case token.AnchorType, token.AliasType, token.TagType, token.MergeKeyType:
			return nil, fmt.Errorf("line %d: anchors, aliases and tags are not taken here", t.Position.Line)
		}
	}
	err = yaml.UnmarshalWithOptions(b, &list, yaml.Strict())
	return list, err
}
