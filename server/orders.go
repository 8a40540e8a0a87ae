package server

import (
	"context"
	"slices"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// orders are the commands that an administrator may give; the others follow from what is assigned.
var orders = []protocol.CommandKind{
	protocol.NoCommand, protocol.DeviceInformation, protocol.SecurityInfo, protocol.ProfileList, protocol.CertificateList,
	protocol.InstalledApplicationList, protocol.Lock, protocol.Erase, protocol.Restart, protocol.Retire,
	protocol.ResetPasscode, protocol.ClearAppData, protocol.StartLostMode, protocol.StopLostMode,
}

// Order queues a command for a device and wakes it; of c only Kind, PIN and Text count. Kind NoCommand only wakes it (a
// sync, AUTH-22). The id of the command comes back.
func (s *Server) Order(ctx context.Context, now protocol.Time, d protocol.Device, c protocol.Command) (protocol.CommandID, error) {
	if !slices.Contains(orders, c.Kind) {
		return protocol.CommandID{}, refuse("HST-014", "%s is not an order", c.Kind)
	}
	if c.PIN != "" && !sixDigits(c.PIN) {
		return protocol.CommandID{}, refuse("HST-014", "a PIN has six digits")
	}
	if c.Kind == protocol.Retire {
		c.Text = ""
	}
	if err := s.suits(ctx, now, d, &c); err != nil {
		return protocol.CommandID{}, err
	}
	return s.order(ctx, now, d, protocol.Command{Kind: c.Kind, PIN: c.PIN, Text: c.Text})
}

// Drop retires a device by its platform's own answer instead of a command: for one that carries no commands out. Its record says that it
// is leaving until the device says good-bye, which it may never do. One that would erase itself is refused, as by a retirement.
func (s *Server) Drop(ctx context.Context, now protocol.Time, d protocol.Device) (protocol.CommandID, error) {
	c := protocol.Command{Kind: protocol.Retire, Text: delivery.AndDrop}
	if err := s.suits(ctx, now, d, &c); err != nil {
		return protocol.CommandID{}, err
	}
	return s.order(ctx, now, d, c)
}

func (s *Server) order(ctx context.Context, now protocol.Time, d protocol.Device, c protocol.Command) (id protocol.CommandID, err error) {
	var out delivery.Outcome
	ev := delivery.Event{Kind: delivery.Administered, Device: d, Message: delivery.Message{Order: c}}
	err = s.Handle(ctx, now, &ev, &out)
	if err == nil && len(out.Commands) > 0 {
		id = out.Commands[0].ID
	}
	return id, err
}

func sixDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) == 6
}

// Portal returns up to n enrolled devices that a manages, with numbers above after, ascending (AUTH-45).
func (s *Server) Portal(ctx context.Context, a protocol.Authority, after protocol.Device, n int) ([]store.Record, error) {
	var out []store.Record
	for {
		page, err := s.store.Records(ctx, after, max(n, 1))
		if err != nil {
			return nil, err
		}
		for i := range page {
			after = page[i].State.Device
			if st := &page[i].State; st.Life == delivery.Enrolled && st.Registered == a && len(out) < n {
				out = append(out, page[i])
			}
		}
		if len(out) >= n || len(page) == 0 {
			return out, nil
		}
	}
}
