package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// line appends one line to the journal.
func line(t testing.TB, s *Store, d protocol.Device, detail string) {
	t.Helper()
	tx, err := s.Begin(context.Background(), d)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.End()
	out := delivery.Outcome{State: *tx.State(), Effects: []delivery.Effect{{
		Kind: delivery.Journal, Device: d, Rule: "AUTH-22", What: delivery.WhatQueued, Detail: detail, Actor: "device",
	}}}
	if err := tx.Commit(epoch, &out); err != nil {
		t.Fatal(err)
	}
}

// verified wants the journal to be sound, with this many lines.
func verified(t *testing.T, s *Store, when string, lines uint64) store.Head {
	t.Helper()
	head, err := s.VerifyJournal(context.Background())
	if err != nil || head.Seq != lines {
		t.Errorf("%s: VerifyJournal = %d, %v, want %d lines", when, head.Seq, err, lines)
	}
	return head
}

// edit changes the database of a closed data folder behind the server's back.
func edit(t *testing.T, dir string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, dbName))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestHST074Journal edits the journal of a closed folder in every way: each is named at the first line that it touches, and
// still is after the server went on writing.
func TestHST074Journal(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir)
	verified(t, s, "new", 0)
	d := enrol(t, s, "A")
	for i := range 6 {
		line(t, s, d, strings.Repeat("x", i))
	}
	before := verified(t, s, "written", 6)
	s.Close()
	s = openDir(t, dir) // the chain goes on
	if again := verified(t, s, "after a restart", 6); again != before {
		t.Errorf("a restart changed the head")
	}
	line(t, s, d, "after")
	verified(t, s, "after a restart and a line", 7)
	if err := s.Apply(context.Background(), epoch, &store.Change{Secrets: map[string][]byte{"another": {1}}}); err != nil { // as every server has
		t.Fatal(err)
	}
	s.Close()

	const columns = "at, device, rule, what, detail, chain, actor"
	for _, tt := range []struct {
		change, found string
		later         string // what it is called after one more line; empty: the same
	}{
		{"UPDATE journal SET detail='y' WHERE seq=3", "line 3 is not as it was written", ""},
		{"UPDATE journal SET actor='token:x' WHERE seq=3", "line 3 is not as it was written", ""},
		{"UPDATE journal SET actor='' WHERE seq=7", "line 7 is not as it was written", ""},
		{"UPDATE journal SET device=9 WHERE seq=1", "line 1 is not as it was written", ""},
		{"UPDATE journal SET at=at+1 WHERE seq=7", "line 7 is not as it was written", ""},
		{"UPDATE journal SET rule='x', what=substr(what,2) WHERE seq=2", "line 2 is not as it was written", ""},
		{"UPDATE journal SET what=what||substr(detail,1,1), detail=substr(detail,2) WHERE seq=4", "line 4 is not as it was written", ""},
		{"UPDATE journal SET chain=zeroblob(32) WHERE seq=5", "line 5 is not as it was written", ""},
		{"UPDATE journal SET seq=CASE seq WHEN 2 THEN -3 WHEN 3 THEN -2 ELSE seq END; UPDATE journal SET seq=abs(seq)", "line 2 is not as it was written", ""},
		{"DELETE FROM journal WHERE seq=4", "line 4 is missing", ""},
		{"DELETE FROM journal WHERE seq=1", "line 1 is missing", ""},
		{"UPDATE journal SET seq=seq+100 WHERE seq>5", "line 6 is missing", ""},
		{"DELETE FROM journal WHERE seq>5", "line 6 and all after it are missing, up to line 7", "line 6 is missing"},
		{"DELETE FROM journal", "line 1 and all after it are missing, up to line 7", "line 1 is missing"},
		{"INSERT INTO journal (seq, " + columns + ") SELECT 8, " + columns + " FROM journal WHERE seq=7", "line 8 is not as it was written", ""},
		{"UPDATE journal_head SET mac=zeroblob(32)", "line 8 may be missing: the journal's end is not signed", "line 8 is not as it was written"},
		{"UPDATE journal_head SET seq=8", "line 8 may be missing: the journal's end is not signed", "line 8 is not as it was written"},
		{"DELETE FROM journal_head", "line 8 may be missing: the journal's end is not signed", "line 8 is not as it was written"},
		// The secret that the end is signed with is gone: a new one must not heal anything.
		{"DELETE FROM secrets WHERE name='journal'", "line 8 may be missing: the journal's end is not signed", "line 8 is not as it was written"},
		{"DELETE FROM secrets WHERE name='journal'; DELETE FROM journal WHERE seq>5", "line 6 may be missing: the journal's end is not signed", "line 6 is not as it was written"},
		{"DELETE FROM secrets WHERE name='journal'; DELETE FROM journal_head; DELETE FROM journal WHERE seq>5", "line 6 may be missing: the journal's end is not signed", "line 6 is not as it was written"},
		{"DELETE FROM secrets WHERE name='journal'; DELETE FROM journal_head; DELETE FROM journal", "line 1 may be missing: the journal's end is not signed", "line 1 is not as it was written"},
		{"DELETE FROM journal_head; DELETE FROM journal", "line 1 may be missing: the journal's end is not signed", "line 1 is not as it was written"},
		{ // cut off with care, but for what only the server can sign
			"DELETE FROM journal WHERE seq>5; UPDATE journal_head SET seq=5, chain=(SELECT chain FROM journal WHERE seq=5)",
			"line 6 may be missing: the journal's end is not signed", "line 6 is not as it was written",
		},
	} {
		copied := t.TempDir()
		b, _ := os.ReadFile(filepath.Join(dir, dbName))
		os.WriteFile(filepath.Join(copied, dbName), b, 0o600)
		edit(t, copied, tt.change)
		s := openDir(t, copied)
		if unsigned := strings.Contains(tt.found, "not signed"); (s.EndUnsigned() != nil) != unsigned {
			t.Errorf("%s: the start says %v", tt.change, s.EndUnsigned())
		}
		check := func(when, want string) {
			t.Helper()
			_, err := s.VerifyJournal(context.Background())
			if err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, protocol.RuleJournal) {
				t.Errorf("%s%s: VerifyJournal = %v, want %q and HST-074", tt.change, when, err, want)
			}
		}
		check("", tt.found)
		if tt.later == "" {
			tt.later = tt.found
		}
		line(t, s, d, "later")
		check(", and a line later", tt.later)
		s.Close()
		s = openDir(t, copied)
		check(", and a restart later", tt.later)
		s.Close()
	}

	// A well-made chain behind the end, by somebody who knows how it is made but not the secret.
	forged := store.Line{Seq: 8, At: epoch, Device: d, Rule: "AUTH-22", What: "queued", Detail: "forged", Actor: "server"}
	s = openDir(t, dir)
	next := s.w.head.Next(&forged)
	s.Close()
	db, _ := sql.Open("sqlite", filepath.Join(dir, dbName))
	if _, err := db.Exec("INSERT INTO journal (seq, "+columns+") VALUES (8, ?, ?, ?, ?, ?, ?, ?)", int64(epoch), int64(d), "AUTH-22", "queued", "forged", next.Hash[:], "server"); err != nil {
		t.Fatal(err)
	}
	db.Close()
	s = openDir(t, dir)
	if _, err := s.VerifyJournal(context.Background()); err == nil || !strings.Contains(err.Error(), "line 8 was not written by this server") {
		t.Errorf("a forged end: VerifyJournal = %v", err)
	}
	line(t, s, d, "later")
	if _, err := s.VerifyJournal(context.Background()); err == nil || !strings.Contains(err.Error(), "line 9 is not as it was written") {
		t.Errorf("a forged end, and a line later: VerifyJournal = %v", err)
	}
	s.Close()
}

// TestHST074Names renames devices behind the journal's back: its readers would be told of others than it happened to.
func TestHST074Names(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir)
	for _, id := range []string{"A", "B"} {
		tx, err := s.Begin(context.Background(), enrol(t, s, id))
		if err != nil {
			t.Fatal(err)
		}
		out := delivery.Outcome{State: *tx.State(), Effects: []delivery.Effect{
			{Kind: delivery.Journal, Device: tx.State().Device, What: delivery.WhatEnrolled, Detail: id, Actor: "device"},
			{Kind: delivery.Journal, Device: tx.State().Device, What: delivery.WhatMoved, Actor: "device"},
		}}
		if id == "B" {
			out.Changed = delivery.Gone
		}
		if err := tx.Commit(epoch, &out); err != nil {
			t.Fatal(err)
		}
		tx.End()
	}
	verified(t, s, "as they enrolled", 4)
	s.Close()
	for _, tt := range []struct{ change, back, found string }{
		{"UPDATE devices SET id='EVE'", "UPDATE devices SET id='A'", `line 1 is about A, whose record now says "EVE"`},
		{"UPDATE removed SET id='EVE'", "UPDATE removed SET id='B'", `line 3 is about B, whose record now says "EVE"`},
		{"DELETE FROM removed", "INSERT INTO removed VALUES (2, 'B')", `line 3 is about B, whose record now says ""`},
	} {
		edit(t, dir, tt.change)
		s := openDir(t, dir)
		if _, err := s.VerifyJournal(context.Background()); err == nil || !strings.Contains(err.Error(), tt.found) {
			t.Errorf("%s: VerifyJournal = %v, want %q", tt.change, err, tt.found)
		}
		s.Close()
		edit(t, dir, tt.back)
	}
}

// TestHST096JournalOfVersion1 upgrades a journal that was written before actors and the head were kept.
func TestHST096JournalOfVersion1(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, dbName)
	os.WriteFile(name, nil, 0o600)
	migrations, err := fs.Sub(sqliteMigrations, "migrations/sqlite")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := migrate(context.Background(), name, migrations, 1); err != nil {
		t.Fatal(err)
	}
	var head store.Head
	db, err := sql.Open("sqlite", name)
	if err != nil {
		t.Fatal(err)
	}
	for seq := range uint64(3) {
		l := store.Line{Seq: seq + 1, At: epoch, Device: 1, Rule: "AUTH-11", What: "registered", Detail: "intune"}
		head = head.Next(&l)
		if _, err := db.Exec("INSERT INTO journal VALUES (?,?,?,?,?,?,?)", l.Seq, int64(l.At), 1, "AUTH-11", "registered", "intune", head.Hash[:]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.Exec("INSERT INTO tokens VALUES ('old', zeroblob(32), 1, 0, 0)"); err != nil {
		t.Fatal(err)
	}
	db.Close()

	s := openDir(t, dir)
	if got := verified(t, s, "upgraded", 3); got != head {
		t.Error("the upgrade changed the head")
	}
	content, err := s.Load(context.Background())
	if err != nil || len(content.Tokens) != 1 || content.Tokens[0].Role != store.GlobalAdministrator {
		t.Errorf("tokens %+v, %v: one of version 1 could do everything", content.Tokens, err)
	}
	if len(content.Secrets) != 0 {
		t.Error("the journal's secret is handed around")
	}
	line(t, s, enrol(t, s, "A"), "after")
	verified(t, s, "upgraded, and one line", 4)
	s.Close()
	edit(t, dir, "DELETE FROM journal WHERE seq=4")
	s = openDir(t, dir)
	if _, err := s.VerifyJournal(context.Background()); err == nil {
		t.Error("after the upgrade the end can be cut off")
	}
	s.Close()
}
