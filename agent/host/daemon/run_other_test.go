//go:build !windows

package daemon

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// The log of macOS is bounded, whatever is written to it, and the newest lines are all there.
func TestTheLogOfMacOSIsBounded(t *testing.T) {
	name := filepath.Join(t.TempDir(), "agent.log")
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600) // as launchd does
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	log := bounded{f, name}
	var all bytes.Buffer
	for n := range 50 {
		line := fmt.Appendf(nil, "%099999d\n", n)
		all.Write(line)
		if _, err := log.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	now, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(name + ".0")
	if err != nil {
		t.Fatal(err)
	}
	if len(now) == 0 || len(now) > mostLog || len(before) > mostLog || len(before) < mostLog/2 || !bytes.HasSuffix(all.Bytes(), append(before, now...)) {
		t.Errorf("%d bytes after %d, of %d in all", len(now), len(before), all.Len())
	}
	if _, err := f.Write(all.Bytes()); err != nil { // a command's, past the bound
		t.Fatal(err)
	}
	if _, err := log.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	if before, err := os.ReadFile(name + ".0"); err != nil || len(before) != mostLog || !bytes.HasSuffix(all.Bytes(), before) {
		t.Errorf("of more there are %d bytes, %v", len(before), err)
	}
	if err := os.Remove(name + ".0"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(name+".0", 0o700); err != nil { // nothing can be kept
		t.Fatal(err)
	}
	for range 50 {
		log.Write(all.Bytes()[:100_000])
	}
	if st, err := os.Stat(name); err != nil || st.Size() == 0 || st.Size() > mostLog {
		t.Errorf("without a copy: %+v, %v", st, err)
	}
}
