package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"rollcall/protocol"
)

const (
	journalFile = "journal.jsonl"
	olderFile   = "journal.jsonl.older"
	maxJournal  = 1 << 20 // bytes, of each of the two (HST-120)
	maxField    = 500     // bytes of what a server or a command says
)

// An Entry is one thing that was asked of the machine, or that became of it.
type Entry struct {
	At     protocol.Time `json:"at"`
	What   string        `json:"what"`             // RequestType of a command, or an event: enrolled, renewed, moved, ended
	UUID   string        `json:"uuid,omitempty"`   // CommandUUID; of a Windows command its SyncML session, message and CmdID
	Status string        `json:"status,omitempty"` // as it was reported
	Note   string        `json:"note,omitempty"`   // what was done, or not
	Shown  string        `json:"shown,omitempty"`  // message and telephone number of a lock
}

// cap bounds what a server or a command says.
func (e *Entry) cap() {
	for _, s := range []*string{&e.What, &e.UUID, &e.Status, &e.Note, &e.Shown} {
		*s = bounded(*s)
	}
}

// bounded is what is kept of what a server or a command says: one line, as people read it.
func bounded(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s[:min(len(s), maxField)], "\n", "; "), "")
}

// note appends e to the journal, on disk when it returns.
func (f *folder) note(e Entry) error {
	if err := f.ours(); err != nil {
		return err
	}
	e.cap()
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	name := filepath.Join(f.dir, journalFile)
	if st, err := os.Stat(name); err == nil && st.Size() > maxJournal {
		if err := f.disk.rename(name, filepath.Join(f.dir, olderFile)); err != nil {
			return f.trouble(err)
		}
	}
	w, err := openFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND|noFollow)
	if err != nil {
		return f.trouble(err)
	}
	_, err = w.Write(append(line, '\n'))
	if err == nil {
		err = f.disk.sync(w)
	}
	if err = errors.Join(err, w.Close(), f.giveBack()); err != nil {
		return f.trouble(err)
	}
	return nil
}

// Journal reads what was asked of the machine, oldest first, as far back as it is kept. A line that a crash cut short is left out.
func Journal(dir string) ([]Entry, error) {
	var list []Entry
	for _, name := range []string{olderFile, journalFile} {
		f, err := openFile(filepath.Join(dir, name), os.O_RDONLY)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		b, err := io.ReadAll(f)
		f.Close()
		if err != nil {
			return nil, err
		}
		for line := range bytes.Lines(b) {
			var e Entry
			if json.Unmarshal(line, &e) == nil {
				list = append(list, e)
			}
		}
	}
	return list, nil
}
