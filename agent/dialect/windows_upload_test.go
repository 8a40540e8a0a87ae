package dialect

import (
	"fmt"
	"strings"
	"testing"

	"rollcall/protocol/windows"
)

// TestWIN052Uploads: results that are larger than the server takes go out in chunks, the size with the first, no message larger than
// said, nothing beside an object that is under way, and all of them come whole. What the server refuses is not sent on.
func TestWIN052Uploads(t *testing.T) {
	const most = 4000
	uri := csps + "Policy/Config/A/B"
	big := strings.Repeat("<&ü\n0123456789", 1500)
	begin := func(t *testing.T) *winScene {
		s := managed(t, &WindowsHabits{Doubts: WindowsDoubts{Uploads: true}})
		if codes, _ := s.tell(on(windows.Replace, uri, big, windows.FormatChr)); codes != "200" {
			t.Fatal(codes)
		}
		return s
	}
	asks := func(s *winScene, commands ...windows.Command) {
		for i := range commands {
			if commands[i].CmdID == 0 {
				commands[i].CmdID = int32(5 + i)
			}
		}
		h := windows.SyncHdr{SessionID: s.hears().Header.SessionID, MsgID: s.hears().Header.MsgID, Target: winID, Source: winServer, MaxMsgSize: most}
		s.answer(200, windows.EncodeMessage(nil, &windows.Message{Header: h, Final: true, Commands: commands}))
	}
	next := windows.Command{Verb: windows.Alert, Code: windows.NextMessage}
	chunk := func(s *winScene) (item *windows.Item, id int32) {
		m := s.hears()
		if size := len(s.act.Request.Body); size > most {
			s.Errorf("a message of %d bytes", size)
		}
		for i := range m.Commands {
			if c := &m.Commands[i]; c.Verb == windows.Results && c.Items[0].Source == uri {
				item, id = &c.Items[0], c.CmdID
			}
		}
		if item == nil || item.MoreData == m.Final {
			s.Fatalf("said %+v", m)
		}
		return item, id
	}
	t.Run("whole", func(t *testing.T) {
		s := begin(t)
		asks(s, on(windows.Get, "./DevInfo/Man"), on(windows.Get, uri), on(windows.Get, "./DevInfo/Mod"))
		if codes, results := s.codes(); codes != "200 200 200" || len(results) != 1 || results[0].Data != "rollcall" {
			t.Fatalf("%s, %+v: an object begins with a message of its own", codes, results)
		}
		got, size := "", uint32(0)
		for n := 1; ; n++ {
			asks(s, next)
			item, _ := chunk(s)
			if (item.Meta.Size != 0) != (n == 1) {
				t.Errorf("chunk %d says size %d", n, item.Meta.Size)
			}
			size += item.Meta.Size
			if got += item.Data; !item.MoreData {
				break
			}
			if n > 100 {
				t.Fatal("it does not end")
			}
		}
		if got != big || int(size) != len(big) {
			t.Errorf("%d bytes of %d came, size %d", len(got), len(big), size)
		}
		if _, results := s.codes(); len(results) != 2 || results[1].Data != "simulated" {
			t.Errorf("what came after the object: %+v", results)
		}
		asks(s)
		s.rests()
	})
	t.Run("refused before it begins", func(t *testing.T) { // another result is, and this one has nothing to do with it
		s := begin(t)
		asks(s, on(windows.Get, "./DevInfo/Man"), on(windows.Get, uri))
		no := windows.Command{Verb: windows.Status, Cmd: windows.Results, Code: windows.ObjectTooLarge, MsgRef: s.hears().Header.MsgID}
		for _, c := range s.hears().Commands {
			if c.Verb == windows.Results {
				no.CmdRef = c.CmdID
			}
		}
		asks(s, no, next)
		if item, _ := chunk(s); item.Meta.Size == 0 {
			t.Errorf("it begins with %+v", item.Meta)
		}
	})
	for _, no := range []windows.Command{
		{Verb: windows.Status, Cmd: windows.Results, Code: windows.ObjectTooLarge}, {Verb: windows.Alert, Code: windows.NoEndOfData},
	} {
		t.Run(fmt.Sprintf("refused by %s %d", no.Verb, no.Code), func(t *testing.T) {
			s := begin(t)
			asks(s, on(windows.Get, uri))
			item, id := chunk(s)
			cut := item.MoreData
			no.CmdRef, no.MsgRef = id, s.hears().Header.MsgID
			asks(s, no, on(windows.Get, "./DevInfo/Man"))
			if _, results := s.codes(); !cut || len(results) != 1 || results[0].Data != "rollcall" {
				t.Errorf("said %+v", results)
			}
		})
	}
}
