package api

import (
	"strings"
	"testing"

	"rollcall/protocol"
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
