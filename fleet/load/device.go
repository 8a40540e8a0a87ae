package load

import (
	"context"
	"slices"

	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/fleet"
	"rollcall/protocol"
)

// A Start is the whole enrolment of one device over a link.
type Start func(ctx context.Context, l *link.Link) (link.Report, error)

// ByProfile has Apple devices enrol by one profile.
func ByProfile(profile []byte) func(context.Context, []fleet.Device) ([]Start, error) {
	return func(_ context.Context, devices []fleet.Device) ([]Start, error) {
		starts := make([]Start, len(devices))
		for i, d := range devices {
			starts[i] = func(ctx context.Context, l *link.Link) (link.Report, error) {
				return l.Enrol(ctx, d.(*dialect.Apple), dialect.Start{Profile: profile})
			}
		}
		return starts, nil
	}
}

// Name is what the server calls d. Of an Android device it says so as it enrols: until then it is the serial number.
func Name(d fleet.Device) string {
	switch d := d.(type) {
	case *dialect.Apple:
		return d.UDID()
	case *dialect.Windows:
		return d.DeviceID()
	case *dialect.Android:
		if name, _ := d.Names(); name != "" {
			return name
		}
		return d.Who().Serial
	}
	return ""
}

// rests tells whether d has nothing to come for when nothing is left to do. The others than Apple's come by themselves for ever.
func rests(d fleet.Device) bool { return platformOf(d).Apple() }

func platformOf(d fleet.Device) protocol.Platform {
	switch d := d.(type) {
	case *dialect.Apple:
		return d.Model().Platform
	case *dialect.Windows:
		return protocol.Windows
	}
	return protocol.Android
}

// others tells whether there are devices that are not Apple's.
func (c *Config) others() bool {
	return slices.ContainsFunc(c.Devices, func(d fleet.Device) bool {
		_, apple := d.(*dialect.Apple)
		return !apple
	})
}

// heedful tells whether d can know a notice of a change of authority for its server's, and hears of one in every conversation.
func heedful(d fleet.Device) bool {
	switch d := d.(type) {
	case *dialect.Apple:
		return d.Heeds()
	case *dialect.Windows:
		return true
	}
	return false
}
