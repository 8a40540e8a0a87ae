package conformance

import (
	"slices"
	"strings"

	"rollcall/protocol/windows"
)

// What Windows devices do with commands.

var windowsDeviceCommandStatements = []Statement{
	{
		ID: "WIN-047", Suite: WindowsDevice, Class: OfWindows, Must: true, try: tryWIN047,
		Says:   "Status for the header comes first, then one for each command in its order, and Results after theirs.",
		Source: "windows.md 6, 14",
		Why:    "Servers close commands by it; one that is missing is one that is sent again.",
		How:    "Four commands, two of them Get, and the order of what is said to them.",
		Fix:    "Answer in the order in which you were told, Results behind.",
	},
	{
		ID: "WIN-048", Suite: WindowsDevice, Class: OfWindows, Must: true, try: tryWIN048,
		Says:   "Add of a leaf that is there is 418, Delete and Get of one that is not 404, a verb that a node does not have 405.",
		Source: "windows.md 6, 14",
		Why:    "A server that was tried with a device that says 200 to everything has never replaced anything.",
		How:    "A Wi-Fi profile is added twice and deleted twice; what is not there is read, and what cannot be written is replaced.",
		Fix:    "Keep a tree, and the verbs of each node.",
	},
	{
		ID: "WIN-049", Suite: WindowsDevice, Class: OfWindows, Must: true, try: tryWIN049,
		Says:   "Of an Atomic that fails nothing stays: 507 for it, 216 for what was done, its own code for what failed, 215 for the rest.",
		Source: "windows.md 6, 14",
		Why:    "Half of a certificate's profile is worse than none.",
		How:    "An Atomic of an Add, a Delete of nothing and another Add; then the first one's node is read.",
		Fix:    "Roll back, and say so for each.",
	},
	{
		ID: "WIN-050", Suite: WindowsDevice, Class: OfWindows, Must: true, try: tryWIN050,
		Says:   "Atomic in Atomic is 500 inside 507, Get in Atomic 500, a command without CmdID and an element that is none 400.",
		Source: "windows.md 6, 14",
		Why:    "A server finds out by it what it may not send.",
		How:    "A message with each of them.",
		Fix:    "Answer each by its code, and go on.",
	},
	{
		ID: "WIN-051", Suite: WindowsDevice, Class: OfWindows, Must: true, try: tryWIN051,
		Says:   "Get of an interior node brings its children's names, each URI-encoded, by Format node.",
		Source: "windows.md 6, 14",
		Why:    "Servers find by it what is on a device that they did not put there.",
		How:    "A Wi-Fi profile whose name has a blank is added, and the list is read.",
		Fix:    "Join the encoded names by slashes.",
	},
	{
		ID: "WIN-052", Suite: WindowsDevice, Class: OfWindows, Must: true, try: tryWIN052,
		Says:   "A large object is put together, 213 and Alert 1222 for each piece; one whose pieces are not what was announced is 424.",
		Source: "windows.md 6, 14",
		Why:    "What is larger than a message comes in no other way.",
		How:    "A Wi-Fi profile in three pieces, which is then deleted; and one that announces more than it has.",
		Fix:    "Keep pieces until the last, and count.",
	},
	{
		ID: "WIN-053", Suite: WindowsDevice, Class: OfWindows, Must: true, try: tryWIN053,
		Says:   "While nobody is signed in, nodes of ./User are refused.",
		Source: "windows.md 6, 14",
		Why:    "A simulator that takes them hides that mail waits for its user.",
		How:    "A device that says LoginStatus none is told to replace a policy of ./User.",
		Fix:    "Refuse by 405 or 500.",
	},
	{
		ID: "WIN-069", Suite: WindowsDevice, Class: OfWindows, Must: true, try: tryWIN069,
		Says:   "ConfigInfo of WMI_Bridge_Server is the decimal flags of co-management, or 404.",
		Source: "windows.md 9, 14",
		Why:    "By it a server knows what is Configuration Manager's.",
		How:    "The node is read.",
		Fix:    "Answer the number, or that there is none.",
	},
}

// on is a command about one node; data and its format, where there are some.
func on(verb windows.Verb, node string, data ...string) windows.Command {
	item := windows.Item{Target: node}
	if len(data) > 0 {
		item.Data, item.Meta.Format = data[0], windows.FormatChr
	}
	if len(data) > 1 {
		item.Meta.Format = data[1]
	}
	return windows.Command{Verb: verb, Items: []windows.Item{item}}
}

const wifiNodes = "./Device/Vendor/MSFT/WiFi/Profile"

func wifiNode(name string) string {
	return wifiNodes + "/" + windows.EscapeNode(name) + "/WlanXml"
}

// codes wants these statuses for commands.
func (t *trial) codes(s *remark, commands []windows.Command, want ...windows.Code) {
	t.last = s.Exchange
	for i := range commands {
		if got := s.code(&commands[i]); want[i] != 0 && got != want[i] {
			node := ""
			if len(commands[i].Items) > 0 {
				node = " of " + commands[i].Items[0].Target
			}
			t.fail("%s%s is answered by status %d, want %d", commands[i].Verb, node, got, want[i])
		}
	}
}

func tryWIN047(t *trial) {
	d := t.managedAt(nil)
	commands := []windows.Command{on(windows.Get, "./DevInfo/Man"), on(windows.Add, wifiNode("order"), wlan), on(windows.Get, "./DevInfo/Mod"), on(windows.Delete, wifiNodes+"/order")}
	s := t.tell(d, commands...)
	t.last = s.Exchange
	var got []int32
	statuses, results := true, map[int32]bool{}
	for i := range s.Commands {
		c := &s.Commands[i]
		switch c.Verb {
		case windows.Status:
			if got = append(got, c.CmdRef); results[c.CmdRef] {
				statuses = false
			}
		case windows.Results:
			statuses = statuses && slices.Contains(got, c.CmdRef)
			results[c.CmdRef] = true
		}
	}
	want := []int32{0}
	for i := range commands {
		want = append(want, commands[i].CmdID)
	}
	if !slices.Equal(got, want) || !statuses || len(results) != 2 {
		t.fail("Status comes for commands %d, want %d; Results of %d Get after theirs: %t", got, want, len(results), statuses)
	}
}

func tryWIN048(t *trial) {
	d := t.managedAt(nil)
	add := []windows.Command{on(windows.Add, wifiNode("twice"), wlan), on(windows.Add, wifiNode("twice"), wlan)}
	t.codes(t.tell(d, add...), add, windows.OK, windows.AlreadyExists)
	rest := []windows.Command{
		on(windows.Delete, wifiNodes+"/twice"), on(windows.Delete, wifiNodes+"/twice"), on(windows.Get, wifiNode("twice")),
		on(windows.Get, "./Device/Vendor/MSFT/Conform/Nothing"), on(windows.Replace, "./DevDetail/SwV", "1.0"), on(windows.Exec, "./DevInfo/Man"),
	}
	t.codes(t.tell(d, rest...), rest, windows.OK, windows.NotFound, windows.NotFound, windows.NotFound, windows.NotAllowed, windows.NotAllowed)
}

func tryWIN049(t *trial) {
	d := t.managedAt(nil)
	all := []windows.Command{{Verb: windows.Atomic, Commands: []windows.Command{
		on(windows.Add, wifiNode("half"), wlan), on(windows.Delete, wifiNodes+"/nothing"), on(windows.Add, wifiNode("other"), wlan),
	}}}
	s := t.tell(d, all...)
	t.codes(s, all, windows.AtomicFailed)
	t.codes(s, all[0].Commands, windows.AtomicRolledBack, windows.NotFound, windows.NotExecuted)
	after := []windows.Command{on(windows.Get, wifiNodes), on(windows.Delete, wifiNodes+"/half")}
	s = t.tell(d, after...)
	if r := s.result(wifiNodes); r != nil && strings.Contains(r.Data, "half") || s.code(&after[1]) != windows.NotFound {
		t.last = s.Exchange
		t.fail("after an Atomic that failed, what it had added is there")
	}
}

func tryWIN050(t *trial) {
	d := t.managedAt(nil)
	all := []windows.Command{
		{Verb: windows.Atomic, Commands: []windows.Command{{Verb: windows.Atomic, Commands: []windows.Command{on(windows.Delete, wifiNodes+"/nothing")}}}},
		{Verb: windows.Atomic, Commands: []windows.Command{on(windows.Get, "./DevInfo/Man")}},
		{Verb: windows.Unknown, Name: "Conjure"},
		{Verb: windows.Get, CmdID: without, Items: []windows.Item{{Target: "./DevInfo/Man"}}},
	}
	s := t.tell(d, all...)
	t.codes(s, all, windows.AtomicFailed, windows.AtomicFailed, windows.BadRequest, windows.BadRequest)
	t.codes(s, all[0].Commands, windows.CommandFailed)
	t.codes(s, all[1].Commands, windows.CommandFailed)
}

func tryWIN051(t *trial) {
	d := t.managedAt(nil)
	add := []windows.Command{on(windows.Add, wifiNode("a name"), wlan), on(windows.Get, wifiNodes)}
	s := t.tell(d, add...)
	t.codes(s, add, windows.OK, windows.OK)
	r := s.result(wifiNodes)
	if r == nil || r.Meta.Format != windows.FormatNode || !slices.Contains(strings.Split(r.Data, "/"), "a%20name") {
		t.fail("the list of Wi-Fi profiles is %+v", r)
	}
}

func tryWIN052(t *trial) {
	d := t.managedAt(nil)
	node := wifiNode("large")
	piece := func(data string, size int, more bool) []windows.Command {
		c := on(windows.Add, node, data)
		c.Items[0].Meta.Size, c.Items[0].MoreData = uint32(size), more
		return []windows.Command{c}
	}
	third := len(wlan) / 3
	pieces := [][]windows.Command{piece(wlan[:third], len(wlan), true), piece(wlan[third:2*third], 0, true), piece(wlan[2*third:], 0, false)}
	said := t.tells(d, pieces...)
	for i, want := range []windows.Code{windows.ChunkBuffered, windows.ChunkBuffered, windows.OK} {
		t.codes(said[i], pieces[i], want)
		asks := slices.ContainsFunc(said[i].Commands, func(c windows.Command) bool { return c.Verb == windows.Alert && c.Code == windows.NextMessage })
		if asks != (want == windows.ChunkBuffered) {
			t.fail("after piece %d the device asks for the next one: %t", i+1, asks)
		}
	}
	drop := []windows.Command{on(windows.Delete, wifiNodes+"/large")}
	t.codes(t.tell(d, drop...), drop, windows.OK)
	wrong := [][]windows.Command{piece(wlan[:third], len(wlan), true), piece(wlan[third:2*third], 0, false)}
	t.codes(t.tells(d, wrong...)[1], wrong[1], windows.SizeMismatch)
}

func tryWIN053(t *trial) {
	d := t.managedAt(nil)
	command := []windows.Command{on(windows.Replace, "./User/Vendor/MSFT/Policy/Config/DeviceLock/MaxInactivityTimeDeviceLock", "15", windows.FormatInt)}
	s := t.tell(d, command...)
	before := t.says(d)
	for _, one := range before[max(0, len(before)-2):] {
		for i := range one.Commands {
			if c := &one.Commands[i]; c.Verb == windows.Alert && c.Code == windows.ClientEvent && len(c.Items) > 0 && strings.TrimSpace(c.Items[0].Data) == windows.LoginUser {
				t.skip("the device's user is signed in")
			}
		}
	}
	t.last = s.Exchange
	if code := s.code(&command[0]); code != windows.NotAllowed && code != windows.CommandFailed {
		t.fail("a node of ./User is answered by status %d while nobody is signed in", code)
	}
}

func tryWIN069(t *trial) {
	d := t.managedAt(nil)
	get := []windows.Command{on(windows.Get, configInfo)}
	s := t.tell(d, get...)
	t.last = s.Exchange
	switch code := s.code(&get[0]); {
	case code == windows.NotFound:
	case code != windows.OK:
		t.fail("ConfigInfo is answered by status %d", code)
	default:
		r := s.result(configInfo)
		if r == nil || r.Data == "" || strings.Trim(r.Data, "0123456789") != "" {
			t.fail("ConfigInfo is %+v", r)
		}
	}
}
