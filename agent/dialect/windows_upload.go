package dialect

import (
	"cmp"

	"rollcall/protocol/windows"
)

// An upload is a result that is still to be sent, or the rest of one.
type upload struct {
	result windows.Command
	sent   int // bytes of its data that went out in chunks
}

// What a message's head takes at most, and what less than a chunk is not worth sending for, in bytes.
const (
	messageHead = 2 << 10
	leastChunk  = 256
)

// upload returns commands with as many results as a message has room for whose receiver takes so many bytes; a result that is larger
// than that goes out in chunks (windows.md section 6). Size is said with the first.
func (t *winTask) upload(commands []windows.Command, most int) []windows.Command {
	room := most - messageHead
	for i := range commands {
		room -= commands[i].EncodedSize()
	}
	first := true
	for len(t.uploads) > 0 {
		u := &t.uploads[0]
		c := u.result
		data := c.Items[0].Data
		item := c.Items[0]
		if u.sent == 0 && c.EncodedSize() <= room {
			commands, room, first = append(commands, c), room-c.EncodedSize(), false
			t.uploads = t.uploads[1:]
			continue
		}
		if u.sent == 0 && !first { // it begins with a message of its own
			break
		}
		if item.Data = ""; u.sent == 0 {
			item.Meta.Size = uint32(len(data))
		}
		c.Items = []windows.Item{item}
		n := windows.Fit(data[u.sent:], max(room-c.EncodedSize()-leastChunk, leastChunk))
		c.Items[0].Data, c.Items[0].MoreData = data[u.sent:u.sent+n], u.sent+n < len(data)
		commands, room, first = append(commands, c), room-c.EncodedSize(), false
		if u.sent += n; u.sent < len(data) {
			break
		}
		t.uploads = t.uploads[1:]
	}
	return commands
}

// refused has the device give up an object of which the server does not want the rest.
func (t *winTask) refused(c *windows.Command) {
	no := c.Verb == windows.Status && c.Cmd == windows.Results && c.Code >= windows.BadRequest || c.Verb == windows.Alert && c.Code == windows.NoEndOfData
	if no && len(t.uploads) > 0 && t.uploads[0].sent > 0 {
		t.uploads = t.uploads[1:]
	}
}

// takes is how much the server takes in a message, and whether a device that has more for it aborts the session, as Windows 11 does
// where it is told how much that is.
func (d *Windows) takes(m *windows.Message) (most int, aborts bool) {
	said := m.Header.MaxMsgSize
	return int(cmp.Or(said, windows.DefaultMaxMsgSize)), said != 0 && !d.habits.Doubts.Uploads
}
