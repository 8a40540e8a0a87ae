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

// What the packages of the agent are made of is there, is what CI builds, and starts the agent as rollcall agent install does.
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
		Builds []struct {
			Main, Binary       string
			Env, Tags, Targets []string
		}
		Archives []struct{ Files, Formats []string }
		NFPMs    []struct {
			Formats  []string
			BinDir   string
			Contents []content
			Scripts  map[string]string
		}
	}
	if err := yaml.Unmarshal([]byte(read(".ci/package/goreleaser.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	if len(c.Builds) != 1 || len(c.Archives) != 1 || len(c.NFPMs) != 1 {
		t.Fatalf("%+v", c)
	}
	build, packages := c.Builds[0], c.NFPMs[0]
	if !slices.Equal(build.Tags, []string{"agentonly"}) || !slices.Contains(build.Env, "CGO_ENABLED=0") {
		t.Errorf("the packages hold another program: %+v", build)
	}
	if !slices.Equal(packages.Formats, []string{"deb", "rpm"}) || !slices.Equal(c.Archives[0].Formats, []string{"tar.gz"}) {
		t.Errorf("formats %v and %v", packages.Formats, c.Archives[0].Formats)
	}
	want := []string{"linux_amd64"}
	for _, target := range strings.Fields(regexp.MustCompile(`long && targets="([^"]*)"`).FindStringSubmatch(read(".ci/run"))[1]) {
		want = append(want, strings.ReplaceAll(target, "/", "_"))
	}
	slices.Sort(want)
	if got := slices.Sorted(slices.Values(build.Targets)); !slices.Equal(got, want) {
		t.Errorf("the packages are for %v, and CI builds %v", got, want)
	}
	named := append(c.Archives[0].Files, build.Main)
	for _, x := range packages.Contents {
		named = append(named, x.Src)
	}
	for _, name := range named {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Error(err)
		}
	}
	if len(packages.Scripts) != 3 {
		t.Errorf("scripts %v", packages.Scripts)
	}
	for when, name := range packages.Scripts {
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
	s := daemon.Service{Program: packages.BinDir + "/" + build.Binary, State: "/var/lib/rollcall-agent"}
	if _, text, err := s.Definition("linux"); err != nil || read(".ci/package/"+unit) != text {
		t.Errorf(".ci/package/%s is not what rollcall agent install writes (%v):\n%s", unit, err, text)
	}
	if !slices.Contains(packages.Contents, content{".ci/package/" + unit, "/usr/lib/systemd/system/" + unit}) {
		t.Errorf("the unit is not where systemd looks: %+v", packages.Contents)
	}
}
