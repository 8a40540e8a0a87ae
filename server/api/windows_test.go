package api

import (
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// TestWIN039Upload: a document for Windows is read at upload, one that does not parse is refused with the reason, and one that is
// taken concerns Windows devices alone.
func TestWIN039Upload(t *testing.T) {
	o := newOffice(t)
	const body = `<SyncBody xmlns="SYNCML:SYNCML1.2"><Replace><Item><Target><LocURI>./Device/Vendor/MSFT/WiFi/Profile/a/WlanXml</LocURI></Target><Data>DATA</Data></Item></Replace></SyncBody>`
	put := func(data string, status int) map[string]any {
		return o.call("POST", "/rollcall/v1/profiles", map[string]any{
			"name": "office", "document": []byte(strings.ReplaceAll(body, "DATA", data)), "groups": []string{"field"},
		}, status)
	}
	for _, broken := range []string{"&lt;WLANProfile&gt;", "<WLANProfile/>", "</Data>"} {
		if got := put(broken, 400); got["error"].(map[string]any)["field"] != "document" {
			t.Errorf("%s: %v", broken, got)
		}
	}
	if got := put("&lt;WLANProfile/&gt;", 200); got["family"] != "wifi" || got["identifier"] != "windows.office" {
		t.Errorf("profile: %v", got)
	}
	if reply := o.round(protocol.CheckIn{Verb: protocol.Ask}); reply.Command.Kind == protocol.InstallProfile {
		t.Error("an iPhone is given a document for Windows")
	}
}

// TestWIN041Shown: why a PC cannot be woken, and what of it is to be looked at (516), is in its record as administrators have it; of a PC that is
// well there is nothing.
func TestWIN041Shown(t *testing.T) {
	o := newOffice(t)
	said := server.KeepTorn(server.KeepPushStatus(`{"MAC":["A2-19"]}`, "5"), "windows.office", true)
	d := o.h.device(&store.Record{Facts: delivery.Facts{Said: said}, State: delivery.State{Platform: protocol.Windows, Rare: new(delivery.Rare)}})
	if d.Windows == nil || d.Windows.PushFault != "its channel has expired" || !slices.Equal(d.Windows.Torn, []string{"windows.office"}) {
		t.Errorf("%s is shown as %+v", said, d.Windows)
	}
	said = server.KeepTorn(server.KeepPushStatus(said, "0"), "windows.office", false)
	if d = o.h.device(&store.Record{Facts: delivery.Facts{Said: said}, State: delivery.State{Platform: protocol.Windows, Rare: new(delivery.Rare)}}); d.Windows != nil {
		t.Errorf("%s is shown as %+v", said, d.Windows)
	}
}

// TestWIN040Leaving: a PC that has said that it leaves is shown as enrolled, and until when it may yet come (windows.md, section 7).
func TestWIN040Leaving(t *testing.T) {
	o := newOffice(t)
	seen := o.now()
	for name, tt := range map[string]struct {
		queue []delivery.Queued
		want  protocol.Time
	}{
		"it stays":              {nil, 0},
		"by its own word":       {[]delivery.Queued{{Command: protocol.Command{Kind: protocol.Retire, Text: delivery.Farewell}}}, seen.Add(16 * time.Hour)},
		"told to, and silent":   {[]delivery.Queued{{Command: protocol.Command{Kind: protocol.Retire}, At: seen - 1}}, seen.Add(24 * time.Hour)},
		"ordered, not told yet": {[]delivery.Queued{{Command: protocol.Command{Kind: protocol.Retire}, At: seen + 1}}, 0},
	} {
		d := o.h.device(&store.Record{State: delivery.State{Platform: protocol.Windows, Life: delivery.Enrolled, LastSeen: seen, Queue: tt.queue, Rare: new(delivery.Rare)}})
		if d.Life != "enrolled" || d.LeavesAt != tt.want {
			t.Errorf("%s: %s, leaves at %s, want %s", name, d.Life, d.LeavesAt, tt.want)
		}
	}
}
