//go:build !agentonly

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"rollcall/agent/host/daemon"
)

// What the packages of the agent are made of is there, is what CI builds, and starts the agent as rollcall agent install does. That they
// are made of it is the test of the module in .ci/package.
func TestPackages(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(string(b), "\r\n", "\n")
	}
	type content struct{ Src, Dst string }
	var c struct {
		Contents []content
		Scripts  map[string]string
	}
	if err := yaml.Unmarshal([]byte(read(".ci/package/nfpm.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	want := []string{"linux/amd64"}
	want = append(want, strings.Fields(regexp.MustCompile(`for target in ([^;]*);`).FindStringSubmatch(read(".ci/run"))[1])...)
	slices.Sort(want)
	packs := read(".ci/package/main.go")
	var got []string
	for _, quoted := range regexp.MustCompile(`"[a-z]+/[a-z0-9]+"`).FindAllString(regexp.MustCompile(`targets = .*`).FindString(packs), -1) {
		got = append(got, strings.Trim(quoted, `"`))
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("the packages are for %v, and CI builds %v", got, want)
	}
	for _, x := range c.Contents {
		if _, err := os.Stat(filepath.Join(root, ".ci", "package", x.Src)); err != nil && x.Src != "${PROGRAM}" {
			t.Error(err)
		}
	}
	if len(c.Scripts) != 3 {
		t.Errorf("scripts %v", c.Scripts)
	}
	for when, name := range c.Scripts {
		name = ".ci/package/" + name
		text := read(name)
		if sh, err := exec.LookPath("sh"); err == nil {
			if out, err := exec.Command(sh, "-n", filepath.Join(root, name)).CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s", when, err, out)
			}
		}
		if !strings.HasPrefix(text, "#!/bin/sh\n") || !strings.Contains(text, "[ -d /run/systemd/system ]") {
			t.Errorf("%s fails where systemd does not run: %s", when, text)
		}
	}
	const unit = daemon.Name + ".service"
	s := daemon.Service{Program: "/usr/bin/rollcall", State: "/var/lib/rollcall-agent"}
	if _, text, err := s.Definition("linux"); err != nil || read(".ci/package/"+unit) != text {
		t.Errorf(".ci/package/%s is not what rollcall agent install writes (%v):\n%s", unit, err, text)
	}
	for _, want := range []content{{unit, daemon.PackagedUnit}, {"${PROGRAM}", s.Program}} {
		if !slices.Contains(c.Contents, want) {
			t.Errorf("%+v is not among %+v", want, c.Contents)
		}
	}
}
