package interop

import (
	"context"
	"testing"
	"time"

	"github.com/micromdm/nanohub/nanohub"

	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/certs"
	"rollcall/fleet/cloud/apns"
	"rollcall/fleet/load"
	"rollcall/fleet/target"
	"rollcall/protocol"
)

// byHeader is a nanohub behind a proxy, and the fleet stands where the proxy would.
var byHeader = front{name: "certificate in a header", option: nanohub.WithCertHeader(certHeader)}

// pushed is our APNs as a fleet sees it.
type pushed struct{ *cloud }

func (p pushed) Connect(token []byte, deliver func([]byte)) {
	p.cloud.Connect(token, func(n apns.Notification) { deliver(n.Payload) })
}

// TestLoadNanohub: a fleet with identities that it minted itself loads nanohub, whichever way these get there; the server is
// asked by its own API to push, and devices come when it does.
func TestLoadNanohub(t *testing.T) {
	for _, tt := range []struct {
		front
		and    string
		header string
		push   bool
	}{
		{front: byTLS},
		{front: byTLS, and: ", pushed", push: true},
		{front: byProxy},
		{front: byHeader, header: certHeader},
		{front: bySign},
	} {
		t.Run(tt.name+tt.and, func(t *testing.T) {
			h := startHub(t, tt.front, nil)
			e := load.Endpoint{ServerURL: h.url + "/mdm", Topic: topic, SignMessage: tt.sign}
			profile := must(e.Profile())(t)
			c := load.Config{
				Link:  link.Config{Roots: poolOf(h.ca.Certificate()), Identity: load.Mint(h.ca, time.Now), CertificateHeader: tt.header},
				Pace:  load.Constant(40, 500*time.Millisecond),
				Start: load.ByProfile(profile),
			}
			for i := range 10 {
				who := dialect.Who{Number: protocol.Device(i + 1), Seed: uint64(i), UDID: "00008101-000A1B2C3D4E00" + string(rune('A'+i)) + "0", Serial: "LOAD"}
				c.Devices = append(c.Devices, dialect.NewApple(who, iPhone, &dialect.Habits{}))
			}
			api := &target.NanoMDM{URL: h.url, HTTP: clientOf(t, h.ca, certs.Signer{})}
			if tt.push {
				c.Push = pushed{h.cloud}
				c.Wake = func(ctx context.Context, udid string) error {
					_, err := api.Order(ctx, udid, target.Order{Kind: target.Sync})
					return err
				}
			}
			l := must(load.New(c))(t)
			defer l.Close()
			enrolled := must(l.Enrol(t.Context()))(t)
			if !tt.push {
				_, token, _ := c.Devices[0].(*dialect.Apple).Push()
				h.cloud.RegisterToken(topic, token)
				if _, err := api.Order(t.Context(), load.Name(c.Devices[0]), target.Order{Kind: target.Information}); err != nil {
					t.Fatal(err)
				}
			}
			if err := l.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			r, _, err := l.Tell(load.Setting{}, enrolled, load.Generator{})
			if err != nil {
				t.Fatal(err)
			}
			x := r.Sections["load"].(*load.Section)
			if r.CheckIns.Done != 20 || r.Devices.Enrolled != 10 || x.Trouble != "" || tt.push != (x.Woken.Count == 20) || !tt.push && x.Commands != 1 {
				t.Errorf("%+v, %+v", r.CheckIns, x)
			}
		})
	}
}
