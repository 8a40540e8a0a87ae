package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A scripted stands for one that runs the scripts of a package: a folder for its root, and a systemctl that writes down what it is told.
type scripted struct {
	t    *testing.T
	root string
	said string // by the last script, to people
}

const fakeSystemctl = `#!/bin/sh
echo "$*" >>"$ROOT/told"
case "$1" in
is-enabled) [ -e "$ROOT/enabled" ] ;;
enable) [ ! -e "$ROOT/masked" ] && : >"$ROOT/enabled" ;;
disable) rm -f "$ROOT/enabled" ;;
restart | try-restart) [ ! -e "$ROOT/masked" ] ;;
esac
`

func newScripted(t *testing.T) *scripted {
	t.Helper()
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("no shell runs scripts of packages here")
	}
	m := &scripted{t: t, root: t.TempDir()}
	m.put("run/systemd/system/x", "")
	m.put("bin/systemctl", fakeSystemctl)
	if err := os.Chmod(m.path("bin/systemctl"), 0o755); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *scripted) path(name string) string { return filepath.Join(m.root, name) }

func (m *scripted) put(name, text string) {
	m.t.Helper()
	if err := os.MkdirAll(filepath.Dir(m.path(name)), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(m.path(name), []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

func (m *scripted) there(name string) bool {
	_, err := os.Lstat(m.path(name))
	return err == nil
}

// run runs a script below the root, and returns what systemctl was told.
func (m *scripted) run(script string, args ...string) (told string) {
	m.t.Helper()
	b, err := os.ReadFile(script)
	if err != nil {
		m.t.Fatal(err)
	}
	text := strings.NewReplacer("/var/lib/", m.root+"/var/lib/", "/etc/", m.root+"/etc/", "/run/systemd", m.root+"/run/systemd").Replace(string(b))
	os.Remove(m.path("told"))
	cmd := exec.Command("sh", append([]string{"-c", text, script}, args...)...)
	cmd.Env = append(os.Environ(), "ROOT="+m.root, "PATH="+m.path("bin")+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.t.Errorf("%s %q: %v: %s", script, args, err, out)
	}
	m.said = string(out)
	list, _ := os.ReadFile(m.path("told"))
	return string(list)
}

// The first installation has the agent started at each boot. A newer one leaves that as its owner has it, and nothing of it fails where the
// unit is masked.
func TestAnUpgradeKeepsWhatItsOwnerChose(t *testing.T) {
	t.Parallel()
	for _, args := range []struct{ first, newer []string }{
		{[]string{"configure", ""}, []string{"configure", "1.0.0"}}, // dpkg
		{[]string{"1"}, []string{"2"}},                              // rpm
	} {
		m := newScripted(t)
		if told := m.run("postinstall.sh", args.first...); !m.there("enabled") || !strings.Contains(told, "\nrestart ") {
			t.Errorf("%q: %s", args.first, told)
		}
		if told := m.run("postinstall.sh", args.newer...); !m.there("enabled") || !strings.Contains(told, "\nrestart ") {
			t.Errorf("%q: %s", args.newer, told)
		}
		os.Remove(m.path("enabled")) // rollcall agent uninstall
		if told := m.run("postinstall.sh", args.newer...); m.there("enabled") || strings.Contains(told, "\nrestart ") {
			t.Errorf("%q after rollcall agent uninstall: %s", args.newer, told)
		}
		m.put("masked", "")
		m.run("postinstall.sh", args.first...)
		m.run("postinstall.sh", args.newer...)
	}
}

// What dpkg removes and installs again starts at boot as before; an upgrade stops nothing.
func TestInstalledAgainAfterRemove(t *testing.T) {
	t.Parallel()
	m := newScripted(t)
	m.run("postinstall.sh", "configure", "")
	if told := m.run("preremove.sh", "upgrade", "2.0.0") + m.run("preremove.sh", "1"); told != "" {
		t.Errorf("an upgrade: %s", told)
	}
	if told := m.run("preremove.sh", "remove"); !strings.HasPrefix(told, "stop ") {
		t.Errorf("remove: %s", told)
	}
	if m.run("postinstall.sh", "configure", "1.0.0"); !m.there("enabled") {
		t.Error("it does not start any more")
	}
	if m.run("preremove.sh", "0"); m.there("enabled") {
		t.Error("rpm leaves what it removes enabled")
	}
}

// A purge of a machine that is managed says which server has not heard of it, and what to do there; of any other nothing.
func TestPurgeSaysWhoWasNotTold(t *testing.T) {
	t.Parallel()
	const managed = `{"version":1,"sha256":"ab","state":{"udid":"98E1-B003","kind":"ipados","link":{"url":"","host":"lab.example.org:8443","pin":"sha256:ab"},"device":"AQID","asked":{"what":"x","note":"say \"hi\""}}}`
	const pc = `{"version":1,"sha256":"ab","state":{"udid":"98E1-B003","listed":"98E1B003","kind":"windows","link":{"url":"","host":"lab.example.org:8443","pin":"sha256:ab"},"device":"AQID"}}`
	const replaced = `{"version":1,"sha256":"ab","state":{"udid":"98E1-B003","kind":"ipados","link":{"url":"","host":"lab.example.org:8443"},"device":"AQID","why":"it has a newer identity (HST-032)"}}`
	const left = `{"version":1,"sha256":"ab","state":{"udid":"98E1-B003","kind":"ipados","ended":"2026-03-02T09:00:00Z","ended_by":"it was taken out of management here"}}`
	const state = "var/lib/rollcall-agent/"
	for name, tt := range map[string]struct {
		files map[string]string
		tells string // by what the server finds the machine; empty: it says nothing
	}{
		"managed":                  {map[string]string{state + "agent.json": managed, state + "agent.json.previous": left}, "98E1-B003"},
		"a PC":                     {map[string]string{state + "agent.json": pc}, "98E1B003"},
		"killed between renames":   {map[string]string{state + "agent.json.previous": managed}, "98E1-B003"},
		"left":                     {map[string]string{state + "agent.json": left}, ""},
		"another took its place":   {map[string]string{state + "agent.json": replaced}, ""},
		"no state":                 {nil, ""},
		"a state that nobody read": {map[string]string{state + "agent.json": ""}, ""},
	} {
		m := newScripted(t)
		for file, text := range tt.files {
			m.put(file, text)
		}
		m.run("postremove.sh", "remove")
		if m.said != "" {
			t.Errorf("%s: on removal it says %q", name, m.said)
		}
		m.run("postremove.sh", "purge")
		if want := "the server lab.example.org:8443 was not told"; tt.tells == "" && m.said != "" || tt.tells != "" && !(strings.Contains(m.said, want) && strings.Contains(m.said, "devices delete "+tt.tells+" ")) || m.there(state) {
			t.Errorf("%s: it says %q", name, m.said)
		}
	}
}

// A purge takes the state, but for what was there before profiles: by the ledger, its copy, or one that was cut short.
func TestPurgeKeepsWhatWasThereBefore(t *testing.T) {
	t.Parallel()
	const whole, none = `{"root":"/","files":{"etc/x":{"mode":420}}}`, `{"root":"/","profiles":[{"identifier":"a"}]}`
	const ledger, state = "var/lib/rollcall-agent/profiles/files.json", "var/lib/rollcall-agent"
	for name, tt := range map[string]struct {
		files map[string]string
		keeps bool
	}{
		"none":                     {map[string]string{state + "/agent.json": "{}"}, false},
		"nothing touched":          {map[string]string{ledger: none, ledger + ".copy": none}, false},
		"the ledger":               {map[string]string{ledger: whole}, true},
		"the copy of a cut one":    {map[string]string{ledger: `{"root":"/","fi`, ledger + ".copy": whole}, true},
		"the copy alone":           {map[string]string{ledger + ".copy": whole}, true},
		"both cut short":           {map[string]string{ledger: `{"ro`, ledger + ".copy": ""}, true},
		"what was before, no list": {map[string]string{state + "/profiles/before/a1": "own"}, true},
	} {
		m := newScripted(t)
		for file, text := range tt.files {
			m.put(file, text)
		}
		m.put("etc/systemd/system/multi-user.target.wants/rollcall-agent.service", "")
		m.run("postremove.sh", "remove")
		if !m.there(state) {
			t.Errorf("%s: removed without a purge", name)
		}
		m.run("postremove.sh", "purge")
		if m.there(state) != tt.keeps || !tt.keeps && m.there("etc/systemd/system/multi-user.target.wants/rollcall-agent.service") {
			t.Errorf("%s: the state is there: %v", name, m.there(state))
		}
	}
}

// A purge takes the unit that rollcall agent install wrote for this package's program, and leaves another's.
func TestPurgeTakesItsOwnUnit(t *testing.T) {
	t.Parallel()
	const unit = "etc/systemd/system/rollcall-agent.service"
	for program, keeps := range map[string]bool{"/usr/bin/rollcall": false, "/usr/local/bin/rollcall": true} {
		m := newScripted(t)
		m.put(unit, "[Service]\nExecStart=\""+program+"\" agent run\n")
		m.put("var/lib/private/rollcall-agent/agent.json", "{}")
		if told := m.run("postremove.sh", "purge"); m.there(unit) != keeps || m.there("var/lib/private/rollcall-agent") || told != "daemon-reload\n" {
			t.Errorf("%s: the unit is there: %v; systemd is told %q", program, m.there(unit), told)
		}
	}
}

// systemd reads a unit before it starts it, an RPM's removal stops the agent, and where no systemd runs, as in a container, nobody is told.
func TestWhatSystemdIsTold(t *testing.T) {
	t.Parallel()
	m := newScripted(t)
	if told := m.run("postinstall.sh", "configure", ""); !strings.HasPrefix(told, "daemon-reload\n") {
		t.Errorf("installing: %q", told)
	}
	if told := m.run("preremove.sh", "0"); told != "disable --now --quiet rollcall-agent.service\n" {
		t.Errorf("removing: %q", told)
	}
	if err := os.RemoveAll(m.path("run")); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"postinstall.sh", "configure", ""}, {"preremove.sh", "remove"}, {"postremove.sh", "purge"}} {
		if told := m.run(args[0], args[1:]...); told != "" {
			t.Errorf("%q without systemd: %q", args, told)
		}
	}
}
