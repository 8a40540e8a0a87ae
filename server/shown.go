package server

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/store"
)

// A memory is what is kept of a preview that an administrator was shown: enough to name what is other when it is confirmed
// (HST-070). The ID has the counts.
type memory struct {
	Kept     time.Duration `json:",omitzero"` // of old profiles, as Tenant.Kept has it
	Warnings []Warning     `json:",omitzero"`
	Licensed []Licensed    `json:",omitzero"`

	// Of 100,000 devices few have something of their own: Kinds are what is said of them, without the number of the device, and
	// Devices, for each of them in the order of numbers, how much its number is above the one before and its place in Kinds, as
	// uvarints.
	Kinds   []Named
	Devices []byte
}

// errMemory says that what is kept of a preview was not written by remember.
var errMemory = errors.New("a preview that was kept is damaged")

// remember writes what is kept of p.
func (p *Preview) remember() ([]byte, error) {
	m := memory{Kept: p.After.Kept, Warnings: p.Warnings, Licensed: p.Licensed, Devices: make([]byte, 0, 2*len(p.Devices))}
	place := map[Named]uint64{}
	last := protocol.Device(0)
	for _, n := range p.Devices {
		m.Devices = binary.AppendUvarint(m.Devices, uint64(n.Device-last))
		last, n.Device = n.Device, 0
		at, known := place[n]
		if !known {
			at = uint64(len(m.Kinds))
			place[n] = at
			m.Kinds = append(m.Kinds, n)
		}
		m.Devices = binary.AppendUvarint(m.Devices, at)
	}
	return json.Marshal(&m)
}

// recall reads what remember wrote. The error wraps errMemory where somebody else did.
func recall(b []byte) (*Preview, error) {
	var m memory
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", errMemory, err)
	}
	p := &Preview{After: authority.Tenant{Kept: m.Kept}, Warnings: m.Warnings, Licensed: m.Licensed, Devices: make([]Named, 0, len(m.Devices)/2)}
	last := uint64(0)
	for rest := m.Devices; len(rest) > 0; {
		step, n := binary.Uvarint(rest)
		if n <= 0 {
			return nil, fmt.Errorf("%w: device after %d", errMemory, last)
		}
		at, k := binary.Uvarint(rest[n:])
		if last += step; k <= 0 || step == 0 || last > 1<<32-1 || at >= uint64(len(m.Kinds)) {
			return nil, fmt.Errorf("%w: device after %d", errMemory, last-step)
		}
		named := m.Kinds[at]
		named.Device = protocol.Device(last)
		p.Devices = append(p.Devices, named)
		rest = rest[n+k:]
	}
	return p, nil
}

// shown returns what keeps a preview, unless it came to nothing, and hands it on.
func (s *Server) shown(ctx context.Context, now protocol.Time) func(*Preview, error) (*Preview, error) {
	return func(p *Preview, err error) (*Preview, error) {
		if err == nil {
			s.keepShown(ctx, now, p)
		}
		return p, err
	}
}

// keepShown keeps a preview that an administrator gets to see, for whoever confirms it. One that cannot be kept, the disk being
// full, is shown all the same.
func (s *Server) keepShown(ctx context.Context, now protocol.Time, p *Preview) {
	if s.alone != nil {
		return // who has the store alone confirms at once
	}
	b, err := p.remember()
	if err == nil {
		err = s.store.KeepPreview(ctx, &store.Preview{ID: p.ID, At: now, Shown: b})
	}
	if err != nil {
		s.log.WithError(err).WithField("rule", protocol.RuleOutdated).Warn("a preview is not kept: where it is outdated when it is confirmed, nobody can say what is other")
	}
}

// recallShown returns the preview with this ID; nil: it was never shown, or too long ago.
func (s *Server) recallShown(ctx context.Context, id string) (*Preview, error) {
	kept, err := s.store.Preview(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return recall(kept.Shown)
}

// confirmed holds the ID of an earlier preview against p, what would happen now.
func (s *Server) confirmed(ctx context.Context, now protocol.Time, p *Preview, id string) error {
	switch {
	case id == p.ID:
		return nil
	case id == "" && !p.Confirm:
		return nil
	case id == "":
		s.keepShown(ctx, now, p)
		return refuse(protocol.RulePreview, "this change is previewed first; confirm it with the preview's id %s", p.ID)
	}
	what, err := s.difference(ctx, p, id)
	if err != nil {
		return err
	}
	s.keepShown(ctx, now, p)
	return refuse(protocol.RuleOutdated, "the preview %s is not what would happen now: %s", id, what)
}

// difference says in words what is other than in the preview with this ID: counts, which the ID has, and devices by name.
func (s *Server) difference(ctx context.Context, p *Preview, id string) (string, error) {
	was, is := strings.Split(id, "-"), strings.Split(p.ID, "-")
	if len(was) != len(is) {
		return "it is no preview's id", nil
	}
	var out []string
	for i, what := range [...]string{"the change is to", "the tenant's epoch is", "devices pending:", "devices stale:", "devices stranded:"} {
		if was[i] != is[i] {
			out = append(out, what+" "+is[i]+", was "+was[i])
		}
	}
	before, err := s.recallShown(ctx, id)
	if err != nil {
		return "", err
	}
	if before == nil {
		return strings.Join(append(out, fmt.Sprintf("which devices differ nobody can say: no preview with this id was shown within %d days, or more than %d others were since",
			int(store.PreviewLife/aDay), store.PreviewsKept)), "; "), nil
	}
	if kept := before.After.Kept; kept != p.After.Kept {
		out = append(out, fmt.Sprintf("profiles of the authority before stay for %s, was %s", inDays(p.After.Kept), inDays(kept)))
	}
	if users := p.relicensed(before); users != "" {
		out = append(out, users)
	}
	devices, err := s.differing(ctx, before, p)
	if err != nil {
		return "", err
	}
	if devices != "" {
		out = append(out, devices)
	}
	for _, w := range p.Warnings {
		if !slices.Contains(before.Warnings, w) {
			out = append(out, "now "+w.Text)
		}
	}
	for _, w := range before.Warnings {
		if !slices.Contains(p.Warnings, w) {
			out = append(out, "no longer "+w.Text)
		}
	}
	if out == nil {
		return "it does the same to every device, and it is not the change that was shown", nil
	}
	return strings.Join(out, "; "), nil
}

// inDays is a time of AUTH-27 in words.
func inDays(d time.Duration) string {
	if d == 0 {
		return "7 days"
	}
	return fmt.Sprintf("%d days", d/aDay)
}
