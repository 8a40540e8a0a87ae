//go:build !agentonly

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The life of a Debian package: its first installation, an upgrade beneath a running agent, its removal and installation again as the same
// device, and a purge, after which nobody manages the machine until it enrols.
func TestServiceOfADebianPackage(t *testing.T) { onSystemd(t, "dpkg-deb", tellPackage) }

// debian makes a version of the package in the machine's /root: this program, and all else as the real one has it.
func (m *systemdMachine) debian(version string) {
	m.t.Helper()
	dir := m.t.TempDir()
	for name, from := range map[string]string{
		"DEBIAN/postinst": "../../.ci/package/postinstall.sh", "DEBIAN/prerm": "../../.ci/package/preremove.sh", "DEBIAN/postrm": "../../.ci/package/postremove.sh",
		"usr/lib/systemd/system/rollcall-agent.service": "../../.ci/package/rollcall-agent.service", "usr/bin/rollcall": m.rollcall,
	} {
		b, err := os.ReadFile(from)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755)
		}
		mode := os.FileMode(0o755)
		if strings.HasSuffix(name, ".service") {
			mode = 0o644
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), b, mode)
		}
		if err != nil {
			m.t.Fatal(err)
		}
	}
	control := fmt.Sprintf("Package: rollcall-agent\nVersion: %s\nArchitecture: all\nMaintainer: rollcall <rollcall@localhost>\nDescription: agent\n", version)
	if err := os.WriteFile(filepath.Join(dir, "DEBIAN/control"), []byte(control), 0o644); err != nil {
		m.t.Fatal(err)
	}
	if out, err := exec.Command("dpkg-deb", "-Znone", "--build", dir, filepath.Join(m.tree, "root", version+".deb")).CombinedOutput(); err != nil {
		m.t.Fatalf("%v: %s", err, out)
	}
}

// findPackage lists what a machine has of the package, and its agent.
const findPackage = "find / -xdev -name '*rollcall*'"

func tellPackage(m *systemdMachine) {
	t := m.t
	m.debian("1.0.0")
	m.debian("1.0.1")
	m.boot()
	m.must("umount /usr/local/bin/rollcall; rm /usr/local/bin/rollcall; cd /var/lib/dpkg; mkdir info updates triggers; : >status")

	m.act("it is installed, and the machine enrols")
	m.must("dpkg -i /root/1.0.0.deb")
	if is := m.shows("ActiveState") + " " + m.shows("UnitFileState"); is != "inactive enabled" {
		t.Errorf("before the machine enrols its agent is %s", is)
	}
	m.enrols()
	m.locked()
	udid, pid := m.udid(), m.shows("MainPID")

	m.act("a newer one comes while it runs")
	m.must("dpkg -i /root/1.0.1.deb")
	m.locked()
	if is := m.udid(); is != udid || m.shows("MainPID") == pid {
		t.Errorf("it was %s (process %s) and is %s (%s)", udid, pid, is, m.shows("MainPID"))
	}
	if says, err := m.run("rollcall agent doctor"); err != nil {
		t.Errorf("doctor: %v: %s", err, says)
	}

	m.act("it is removed, and installed again")
	m.must("dpkg -r rollcall-agent")
	if left := m.must("ps ax -o args= | grep '[a]gent run' || :"); left != "" {
		t.Errorf("it is removed and runs: %s", left)
	}
	m.must("test -s /var/lib/rollcall-agent/agent.json")
	m.must("dpkg -i /root/1.0.1.deb")
	m.locked()
	if is := m.udid(); is != udid {
		t.Errorf("it was %s and is %s", udid, is)
	}

	m.act("it is removed, the machine starts without it, and it is purged and installed again")
	m.must("dpkg -r rollcall-agent")
	m.halt()
	m.boot()
	if says := m.must("dpkg -P rollcall-agent"); !strings.Contains(says, "was not told that this machine has left") || !strings.Contains(says, "rollcall devices delete "+udid[len(`"udid":"`):]+" ") {
		t.Errorf("a purge says %s", says)
	}
	if left := m.must(findPackage + "; systemctl list-units --all --plain --no-legend 'rollcall*'"); left != "" {
		t.Errorf("left of it: %s", left)
	}
	m.must("dpkg -i /root/1.0.0.deb")
	if says := m.must("rollcall agent status"); !strings.Contains(says, "nobody") {
		t.Errorf("after a purge it says %s", says)
	}
	m.enrols()
	m.locked()

	m.act("a service of its own goes before the package's, which is not started once it was taken away")
	if says := m.must("rollcall agent install --as-root"); !strings.Contains(says, "/etc/systemd/system/rollcall-agent.service") || m.shows("DynamicUser") != "no" {
		t.Errorf("install --as-root says %s, of %s", says, m.shows("FragmentPath"))
	}
	m.locked()
	m.must("rollcall agent uninstall")
	m.must("rollcall agent unenroll")
	if says := m.must(m.ask("users", "invite", "ada@example.org", "--for", "agent")); strings.Contains(says, "the system keeps it so") || m.shows("ActiveState") != "inactive" {
		t.Errorf("its service was taken away, and is %s: enroll says %s", m.shows("ActiveState"), says)
	}
	if says := m.must("rollcall agent install"); !strings.Contains(says, "/usr/lib/systemd/system/rollcall-agent.service") || m.shows("DynamicUser") != "yes" {
		t.Errorf("install says %s, of %s", says, m.shows("FragmentPath"))
	}
	m.locked()

	m.act("it leaves, and is purged as it runs")
	m.must("rollcall agent unenroll")
	if says := m.must("dpkg -P rollcall-agent"); strings.Contains(says, "was not told") {
		t.Errorf("a purge says %s", says)
	}
	if left := m.must(findPackage); left != "" {
		t.Errorf("left of it: %s", left)
	}
	m.halt()
}
