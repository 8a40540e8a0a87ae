// Command package makes the agent's packages: Debian and RPM for Linux, an archive for every system that it runs on, and their sums. What is
// packed is the program for devices alone.
//
//	go run -C .ci/package . -version 0.1.0 -out DIST
//
// Nothing in them depends on the machine or on the time: the same tree gives the same bytes.
package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // registers itself
	_ "github.com/goreleaser/nfpm/v2/rpm" // registers itself
)

// targets are the systems and processors that the agent is packed for.
var targets = []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64", "windows/amd64", "windows/arm64"}

// most is the size of the program, in bytes, that is promised on every system.
const most = 10_000_000

// buildArgs are how the program is built, one argument a line.
//
//go:embed build.args
var buildArgs string

// notInlined are the packages of others whose functions are compiled once each too where programs are larger by themselves, as for Windows:
// their time is spent elsewhere.
var notInlined = []string{"golang.org/...", "github.com/...", "net/...", "encoding/...", "text/...", "crypto/tls", "crypto/x509"}

// packedAt is how old everything in a package says that it is.
var packedAt = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func main() {
	version := flag.String("version", "0.0.0", "version of the packages, as in 0.1.0")
	out := flag.String("out", "dist", "folder that they are written to")
	flag.Parse()
	if err := pack(*out, *version, targets); err != nil {
		fmt.Fprintln(os.Stderr, "package:", err)
		os.Exit(1)
	}
}

// pack makes everything for some targets in the folder out.
func pack(out, version string, targets []string) error {
	out, err := filepath.Abs(out)
	if err == nil {
		err = os.MkdirAll(out, 0o755)
	}
	if err != nil {
		return err
	}
	var made []string
	for _, target := range targets {
		names, err := packFor(out, version, target)
		if err != nil {
			return fmt.Errorf("%s: %w", target, err)
		}
		made = append(made, names...)
	}
	slices.Sort(made)
	var sums strings.Builder
	for _, name := range made {
		b, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(b), name)
	}
	return os.WriteFile(filepath.Join(out, "SHA256SUMS"), []byte(sums.String()), 0o644)
}

func packFor(out, version, target string) (made []string, err error) {
	system, arch, _ := strings.Cut(target, "/")
	dir, err := os.MkdirTemp("", "rollcall-package-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	name := "rollcall"
	if system == "windows" {
		name += ".exe"
	}
	program := filepath.Join(dir, name)
	args := []string{"build", "-ldflags", "-s -w -X main.packaged=" + version, "-o", program}
	for line := range strings.Lines(buildArgs) {
		if strings.HasPrefix(line, "-") {
			args = append(args, strings.TrimSpace(line))
		}
	}
	if system != "linux" {
		for _, packages := range notInlined {
			args = append(args, "-gcflags", packages+"=-l")
		}
	}
	build := exec.Command("go", append(args, "./cmd/rollcall")...)
	build.Dir = filepath.Join("..", "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+arch)
	if text, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build: %w\n%s", err, text)
	}
	if st, err := os.Stat(program); err != nil || st.Size() > most {
		return nil, errors.Join(err, fmt.Errorf("the program has more than %d bytes", most))
	}
	files := []string{program, filepath.Join("..", "..", "LICENSE")}
	archive := fmt.Sprintf("rollcall-agent_%s_%s_%s", version, system, arch)
	if system == "windows" {
		archive += ".zip"
		err = write(filepath.Join(out, archive), func(w io.Writer) error { return zipped(w, files) })
	} else {
		archive += ".tar.gz"
		err = write(filepath.Join(out, archive), func(w io.Writer) error { return tarred(w, files) })
	}
	if err != nil {
		return nil, err
	}
	made = append(made, archive)
	if system != "linux" {
		return made, nil
	}
	for _, format := range []string{"deb", "rpm"} {
		name, err := linuxPackage(out, version, arch, program, format)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", format, err)
		}
		made = append(made, name)
	}
	return made, nil
}

// linuxPackage makes one package as nfpm.yaml says.
func linuxPackage(out, version, arch, program, format string) (name string, err error) {
	config, err := nfpm.ParseFileWithEnvMapping("nfpm.yaml", func(key string) string {
		return map[string]string{"ARCH": arch, "VERSION": version, "PROGRAM": program}[key]
	})
	if err != nil {
		return "", err
	}
	info, err := config.Get(format)
	if err != nil {
		return "", err
	}
	info = nfpm.WithDefaults(info)
	info.MTime = packedAt
	info.RPM.BuildHost = "localhost"
	if err := nfpm.PrepareForPackager(info, format); err != nil {
		return "", err
	}
	packager, err := nfpm.Get(format)
	if err != nil {
		return "", err
	}
	name = packager.ConventionalFileName(info)
	return name, write(filepath.Join(out, name), func(w io.Writer) error { return packager.Package(info, w) })
}

// write makes a file of what fill writes.
func write(name string, fill func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(fill(f), f.Close())
}

func tarred(w io.Writer, files []string) error {
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err == nil {
			err = t.WriteHeader(&tar.Header{Name: filepath.Base(name), Mode: int64(modeOf(name)), Size: int64(len(b)), ModTime: packedAt, Format: tar.FormatPAX})
		}
		if err == nil {
			_, err = t.Write(b)
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), z.Close())
}

func zipped(w io.Writer, files []string) error {
	z := zip.NewWriter(w)
	for _, name := range files {
		h := &zip.FileHeader{Name: filepath.Base(name), Method: zip.Deflate, Modified: packedAt}
		h.SetMode(modeOf(name))
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		f, err := z.CreateHeader(h)
		if err == nil {
			_, err = f.Write(b)
		}
		if err != nil {
			return err
		}
	}
	return z.Close()
}

// modeOf is what a file may do once it is unpacked.
func modeOf(name string) fs.FileMode {
	if filepath.Base(name) == "LICENSE" {
		return 0o644
	}
	return 0o755
}
