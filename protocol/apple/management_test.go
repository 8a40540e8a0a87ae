package apple

import (
	"errors"
	"strings"
	"testing"

	"rollcall/protocol"
)

var managements = []protocol.Management{
	{},
	{Authority: protocol.Intune, Since: 1_767_603_600_000_000, Rule: "AUTH-14"},
	{Authority: protocol.Office365, Since: 1_767_603_600_000_001},
	{Authority: protocol.Office365, Since: 1_767_603_600_000_001, Rule: "AUTH-14", Replaced: 1_767_603_600_000_001},
	{Replaced: 1_767_603_600_000_000},
}

func TestManagement(t *testing.T) {
	const want = `authority="intune", since="2026-01-05T09:00:00Z", rule="AUTH-14"`
	if got := ManagementValue(managements[1]); got != want {
		t.Errorf("ManagementValue = %s, want %s", got, want)
	}
	const enrols = `authority="unknown", since="", rule="", replaced="2026-01-05T09:00:00Z"`
	if got := ManagementValue(managements[4]); got != enrols {
		t.Errorf("ManagementValue = %s, want %s", got, enrols)
	}
	for _, m := range managements {
		if got, err := DecodeManagement(ManagementValue(m)); err != nil || got != m {
			t.Errorf("DecodeManagement of %+v = %+v, %v", m, got, err)
		}
	}
}

func TestManagementHasOneForm(t *testing.T) {
	good := ManagementValue(managements[1])
	for _, bad := range []string{
		"", "?1", good + " ", " " + good, good[1:], good[:len(good)-1], good + ", more", strings.Replace(good, ", ", ",", 1),
		strings.Replace(good, "intune", "us", 1), strings.Replace(good, "09:00:00Z", "10:00:00+01:00", 1), strings.Replace(good, "2026-01-05T09:00:00Z", "yesterday", 1),
		strings.Replace(good, "AUTH-14", "AUTH\x1b[2J14", 1), strings.Replace(good, "AUTH-14", strings.Repeat("A", 600), 1),
		good + `, replaced=""`, good + `, replaced="2026-01-05"`, good + `, replaced="2026-01-05T10:00:00+01:00"`, good + `, replaced="2026-01-05T09:00:00Z`,
		`replaced="2026-01-05T09:00:00Z", ` + good, good + `, replaced="2026-01-05T09:00:00Z", replaced="2026-01-05T09:00:00Z"`,
	} {
		if m, err := DecodeManagement(bad); !errors.Is(err, protocol.ErrMalformed) || m != (protocol.Management{}) {
			t.Errorf("DecodeManagement(%q) = %+v, %v; want nothing and ErrMalformed", bad, m, err)
		}
	}
}

func FuzzDecodeManagement(f *testing.F) {
	for _, m := range managements {
		f.Add(ManagementValue(m))
	}
	f.Fuzz(func(t *testing.T, value string) {
		if m, err := DecodeManagement(value); err == nil && ManagementValue(m) != value {
			t.Errorf("%q was read as %+v, which is %q", value, m, ManagementValue(m))
		}
	})
}
