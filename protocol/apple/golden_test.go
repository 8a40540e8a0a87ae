package apple

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"rollcall/protocol"
)

var update = flag.Bool("update", false, "rewrite the golden files; read the diff before you keep it")

// equal compares what was decoded with what was encoded: an absent list is an empty one, and an integer is one
// whatever its Go type.
var equal = cmp.Options{cmpopts.EquateEmpty(), cmp.FilterValues(
	func(a, b any) bool { return isInteger(a) && isInteger(b) },
	cmp.Comparer(func(a, b any) bool { return fmt.Sprint(a) == fmt.Sprint(b) }),
)}

func isInteger(v any) bool {
	switch v.(type) {
	case int64, uint64:
		return true
	}
	return false
}

func replies() map[string]*protocol.Reply {
	id, _ := protocol.ParseCommandID(order)
	work := func(k protocol.CommandKind, c protocol.Command) *protocol.Reply {
		c.ID, c.Kind = id, k
		return &protocol.Reply{Kind: protocol.Work, Command: c}
	}
	return map[string]*protocol.Reply{
		"reply-install":      work(protocol.InstallProfile, protocol.Command{Payload: []byte("<plist/>"), Profile: 7}),
		"reply-renew":        work(protocol.RenewIdentity, protocol.Command{Payload: []byte("<plist/>")}),
		"reply-remove":       work(protocol.RemoveProfile, protocol.Command{Text: "example.wifi"}),
		"reply-retire":       work(protocol.Retire, protocol.Command{Text: "example.rollcall.enrol"}),
		"reply-configured":   work(protocol.Configured, protocol.Command{}),
		"reply-information":  work(protocol.DeviceInformation, protocol.Command{}),
		"reply-security":     work(protocol.SecurityInfo, protocol.Command{}),
		"reply-profiles":     work(protocol.ProfileList, protocol.Command{}),
		"reply-certificates": work(protocol.CertificateList, protocol.Command{}),
		"reply-applications": work(protocol.InstalledApplicationList, protocol.Command{}),
		"reply-lock":         work(protocol.Lock, protocol.Command{PIN: "123456", Text: "Return to <desk>"}),
		"reply-erase":        work(protocol.Erase, protocol.Command{PIN: "123456"}),
		"reply-restart":      work(protocol.Restart, protocol.Command{}),
		"reply-escrow":       {Kind: protocol.Escrow, Escrow: []byte("escrowed")},
		"reply-escrow-none":  {Kind: protocol.Escrow},
	}
}

// A golden is one message of the wire in testdata and the decoder that reads it.
type golden struct {
	name   string // of the file in testdata
	body   []byte
	decode func([]byte) (any, error)
	want   any // of decode; nil: only that it succeeds
}

func goldens() (all []golden) {
	add := func(name, suffix string, body []byte, want any, decode func([]byte) (any, error)) {
		all = append(all, golden{name + suffix, body, decode, want})
	}
	for _, name := range slices.Sorted(maps.Keys(messages)) {
		add(name, ".plist", EncodeMessage(nil, messages[name]), messages[name], func(b []byte) (any, error) {
			m := new(Message)
			err := DecodeMessage(b, m)
			return m, err
		})
	}
	for _, name := range slices.Sorted(maps.Keys(results)) {
		add(name, ".plist", EncodeResult(nil, messages["acknowledged"], results[name].result), results[name].result, func(b []byte) (any, error) {
			if err := DecodeMessage(b, new(Message)); err != nil { // the same bytes are a report
				return nil, err
			}
			return DecodeResult(b)
		})
	}
	command := func(b []byte) (any, error) {
		_, c, err := DecodeCommand(b)
		return c, err
	}
	for _, name := range slices.Sorted(maps.Keys(orders)) {
		add(name, ".plist", EncodeCommand(nil, order, orders[name]), orders[name], command)
	}
	for _, name := range slices.Sorted(maps.Keys(replies())) {
		r := replies()[name]
		if r.Kind == protocol.Work {
			add(name, ".plist", EncodeReply(nil, r), commandOf(&r.Command), command)
		} else {
			add(name, ".plist", EncodeReply(nil, r), r.Escrow, func(b []byte) (any, error) {
				if len(b) == 0 {
					return nil, protocol.ErrMalformed // no golden file, but no answer either: see TestAPL037Escrow
				}
				return DecodeBootstrapToken(b)
			})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(profiles)) {
		add(name, ".mobileconfig", EncodeProfile(profiles[name]), profiles[name], func(b []byte) (any, error) { return DecodeProfile(b) })
	}
	add("machineinfo", ".plist", EncodeMachineInfo(machine), machine, func(b []byte) (any, error) { return DecodeMachineInfo(b) })
	for _, name := range slices.Sorted(maps.Keys(forbidden)) {
		add("forbidden-"+name, ".plist", forbidden[name].Plist(), forbidden[name], func(b []byte) (any, error) { return DecodeForbidden("application/xml", b) })
		add("forbidden-"+name, ".json", forbidden[name].JSON(), forbidden[name], func(b []byte) (any, error) {
			return DecodeForbidden("application/json; charset=utf-8", b)
		})
	}
	add("push", ".json", EncodePush(nil, `4C1E"9A2F\`), `4C1E"9A2F\`, func(b []byte) (any, error) { return DecodePush(b) })
	return all
}

func TestGolden(t *testing.T) {
	for _, g := range goldens() {
		t.Run(g.name, func(t *testing.T) {
			path := filepath.Join("testdata", g.name)
			if *update {
				if err := os.WriteFile(path, g.body, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(g.body, want) {
				t.Errorf("encoding changed; got:\n%s\nwant:\n%s", g.body, want)
			}
			got, err := g.decode(want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(g.want, got, equal); diff != "" {
				t.Errorf("decoding the golden file gives another value (-want +got):\n%s", diff)
			}
		})
	}
}
