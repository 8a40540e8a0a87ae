package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/blakesmith/ar"
	"github.com/sassoftware/go-rpmutils"
)

// Packages for this machine and for Windows are what they should be: the program, the unit, the licence and what is run at installing
// and removing; the program in them starts; the sums are theirs, and the same tree gives the same bytes.
func TestPackages(t *testing.T) {
	out := t.TempDir()
	ours := "linux/" + runtime.GOARCH
	if err := pack(out, "1.2.3", []string{ours, "windows/amd64"}); err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadDir(out)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, e := range list {
		if files[e.Name()], err = os.ReadFile(filepath.Join(out, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	find := func(suffix string) []byte {
		t.Helper()
		for name, b := range files {
			if strings.HasSuffix(name, suffix) {
				return b
			}
		}
		t.Fatalf("no %s in %v", suffix, slices.Sorted(maps.Keys(files)))
		return nil
	}
	want := map[string]string{
		"/usr/bin/rollcall": "755", "/usr/lib/systemd/system/rollcall-agent.service": "644", "/usr/share/doc/rollcall-agent/copyright": "644",
	}
	program := debian(t, find(".deb"), want)
	redHat(t, find(".rpm"), want)
	for archive, got := range map[string]map[string]string{"tar.gz": untar(t, gunzip(t, find(".tar.gz"))), "zip": unzip(t, find(".zip"))} {
		exe := map[string]string{"tar.gz": "rollcall", "zip": "rollcall.exe"}[archive]
		if len(got) != 2 || got[exe] != "755" || got["LICENSE"] != "644" {
			t.Errorf("%s has %v", archive, got)
		}
	}
	name := filepath.Join(t.TempDir(), "rollcall")
	if err := os.WriteFile(name, program, 0o755); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.Command(name, "agent", "status", "--state", filepath.Join(t.TempDir(), "none")).CombinedOutput(); err != nil || !strings.Contains(string(text), "nobody") {
		t.Errorf("the packed program: %v: %s", err, text)
	}
	if text, err := exec.Command(name, "version").Output(); err != nil || !strings.HasPrefix(string(text), "rollcall 1.2.3 ") {
		t.Errorf("the packed program is, by its own word, %s (%v)", text, err)
	}
	if len(program) > 10_000_000 {
		t.Errorf("it has %d bytes, over 10 MB", len(program))
	}
	for line := range strings.Lines(string(files["SHA256SUMS"])) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		if b := files[name]; fmt.Sprintf("%x", sha256.Sum256(b)) != sum || len(b) == 0 {
			t.Errorf("%s is not of this sum", name)
		}
		delete(files, name)
	}
	if len(files) != 1 {
		t.Errorf("files without a sum: %v", slices.Sorted(maps.Keys(files)))
	}
	again := t.TempDir()
	if err := pack(again, "1.2.3", []string{ours, "windows/amd64"}); err != nil {
		t.Fatal(err)
	}
	first, _ := os.ReadFile(filepath.Join(out, "SHA256SUMS"))
	if second, err := os.ReadFile(filepath.Join(again, "SHA256SUMS")); err != nil || !bytes.Equal(first, second) {
		t.Errorf("made again they are others:\n%s\n%s\n%v", first, second, err)
	}
}

// debian checks a Debian package, and returns its program.
func debian(t *testing.T, b []byte, want map[string]string) (program []byte) {
	t.Helper()
	members := map[string][]byte{}
	for r := ar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if members[strings.TrimSuffix(h.Name, "/")], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	data := gunzip(t, members["data.tar.gz"])
	got := untar(t, data)
	for name, mode := range want {
		if got["."+name] != mode {
			t.Errorf("deb: %s has mode %q in %v", name, got["."+name], got)
		}
	}
	control := gunzip(t, members["control.tar.gz"])
	for _, script := range []string{"./postinst", "./prerm", "./postrm"} {
		if untar(t, control)[script] != "755" {
			t.Errorf("deb: no %s to run: %v", script, untar(t, control))
		}
	}
	text := string(member(t, control, "./control"))
	for _, line := range []string{"Package: rollcall-agent\n", "Version: 1.2.3\n", "Architecture: " + runtime.GOARCH + "\n"} {
		if !strings.Contains(text, line) {
			t.Errorf("deb: no %q in\n%s", line, text)
		}
	}
	return member(t, data, "./usr/bin/rollcall")
}

// redHat checks an RPM.
func redHat(t *testing.T, b []byte, want map[string]string) {
	t.Helper()
	r, err := rpmutils.ReadRpm(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	nevra, err := r.Header.GetNEVRA()
	if err != nil || nevra.Name != "rollcall-agent" || nevra.Version != "1.2.3" {
		t.Errorf("rpm: %+v, %v", nevra, err)
	}
	files, err := r.Header.GetFiles()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range files {
		got[f.Name()] = fmt.Sprintf("%o", f.Mode()&0o777)
	}
	for name, mode := range want {
		if got[name] != mode {
			t.Errorf("rpm: %s has mode %q in %v", name, got[name], got)
		}
	}
	for _, tag := range []int{rpmutils.POSTIN, rpmutils.PREUN, rpmutils.POSTUN} {
		if text, err := r.Header.GetString(tag); err != nil || !strings.Contains(text, "systemctl") {
			t.Errorf("rpm: script %d: %q, %v", tag, text, err)
		}
	}
}

func gunzip(t *testing.T, b []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// untar lists the files of an archive with their modes.
func untar(t *testing.T, b []byte) map[string]string {
	t.Helper()
	out := map[string]string{}
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out[h.Name] = fmt.Sprintf("%o", h.Mode&0o777)
	}
}

// member returns one file of an archive.
func member(t *testing.T, b []byte, name string) []byte {
	t.Helper()
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if h.Name == name {
			out, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
	}
}

func unzip(t *testing.T, b []byte) map[string]string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, f := range z.File {
		out[f.Name] = fmt.Sprintf("%o", f.Mode()&0o777)
	}
	return out
}
