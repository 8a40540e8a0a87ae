package report

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files; then read the diff")

// golden compares got with testdata/name.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		t.Errorf("%s changed at byte %d; got:\n%.300s\nwant:\n%.300s", path, at, got[max(0, at-100):], want[max(0, at-100):])
	}
}

func TestGolden(t *testing.T) {
	r, s := sample(t)
	for name, write := range map[string]func(*bytes.Buffer) error{
		"sample.html": func(b *bytes.Buffer) error { return Page(b, r, s) },
		"sample.json": func(b *bytes.Buffer) error { return WriteJSON(b, r) },
		"sample.txt":  func(b *bytes.Buffer) error { return Summary(b, r, s, false) },
		"sample.ansi": func(b *bytes.Buffer) error { return Summary(b, r, s, true) },
		"empty.html": func(b *bytes.Buffer) error {
			return Page(b, &Result{Version: 1, Command: "lab", Verdict: Partial}, &Story{})
		},
		"empty.json": func(b *bytes.Buffer) error {
			return WriteJSON(b, &Result{Version: 1, Command: "lab", Verdict: Partial})
		},
		"empty.txt": func(b *bytes.Buffer) error {
			return Summary(b, &Result{Version: 1, Command: "lab", Verdict: Partial}, &Story{}, false)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := write(&b); err != nil {
				t.Fatal(err)
			}
			golden(t, name, b.Bytes())
		})
	}
}
