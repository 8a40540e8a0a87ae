package server_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
)

// TestAUTH27AndroidParts: what is of the authority before has to go seven days after the change and sets its values until then; what is
// being removed has to go now and sets none; a namesake is in the place of what is of the authority before (AUTH-26), and what failed is
// nowhere.
func TestAUTH27AndroidParts(t *testing.T) {
	const changed = protocol.Time(1_000_000_000_000)
	end := changed.Add(7 * 24 * time.Hour)
	w := &delivery.World{
		Tenant: authority.Tenant{Authority: protocol.Intune, Epoch: 2, ChangedAt: changed},
		Users:  make([]delivery.User, 1), Sets: make([]delivery.Set, 1),
		Profiles: []delivery.Profile{
			{},
			{Identifier: "new", Family: protocol.WiFi, Authority: protocol.Intune},
			{Identifier: "old", Family: protocol.WiFi, Authority: protocol.Office365},
			{Identifier: "new", Family: protocol.WiFi, Authority: protocol.Office365},
			{Identifier: "going", Family: protocol.WiFi, Authority: protocol.Intune},
			{Identifier: "failed", Family: protocol.WiFi, Authority: protocol.Intune},
		},
	}
	st := &delivery.State{Life: delivery.Enrolled, Platform: protocol.Android, Profiles: []delivery.Assigned{
		{Profile: 1, State: delivery.Installed},
		{Profile: 2, State: delivery.Installed},
		{Profile: 3, State: delivery.Installed},
		{Profile: 4, State: delivery.Removing},
		{Profile: 5, State: delivery.InstallFailed},
	}}
	read := func(p protocol.Profile) android.Part {
		return android.Part{ManifestEntry: android.ManifestEntry{ID: w.Profiles[p].Identifier, Version: uint32(p)}, Settings: android.Policy{CameraAccess: "CAMERA_ACCESS_DISABLED"}}
	}
	for _, tt := range []struct {
		now  protocol.Time
		want []string
	}{
		{end - 1, []string{"here new 1 never true", fmt.Sprintf("old old 2 %s true", end), fmt.Sprintf("old going 4 %s false", end-1)}},
		{end, []string{"here new 1 never true", fmt.Sprintf("old old 2 %s false", end), fmt.Sprintf("old going 4 %s false", end)}},
	} {
		here, old := server.AndroidParts(w, tt.now, st, read)
		var got []string
		for list, parts := range map[string][]android.Part{"here": here, "old": old} {
			for _, p := range parts {
				when := "never"
				if p.RemoveAfter != 0 {
					when = p.RemoveAfter.String()
				}
				got = append(got, fmt.Sprintf("%s %s %d %s %t", list, p.ID, p.Version, when, p.Settings.CameraAccess != ""))
			}
		}
		slices.Sort(got)
		slices.Sort(tt.want)
		if !slices.Equal(got, tt.want) {
			t.Errorf("at %s:\n%q, want\n%q", tt.now, got, tt.want)
		}
	}
}
