//go:build !agentonly

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollcall/agent/host/daemon"
)

// The real service on a real systemd: it is installed, starts, is locked, restarted, killed and started again, comes back after a reboot as
// the device that it was, and is taken away.
func TestServiceOnSystemd(t *testing.T) { onSystemd(t, "systemctl", tellService) }

// onSystemd tells a story of a machine whose first process is systemd, where there is this program and the system lets one be made.
func onSystemd(t *testing.T, program string, tell func(*systemdMachine)) {
	attr := &syscall.SysProcAttr{ // systemd makes users of its own
		UidMappings: []syscall.SysProcIDMap{{Size: 1 << 16}}, GidMappings: []syscall.SysProcIDMap{{Size: 1 << 16}}, GidMappingsEnableSetgroups: true,
	}
	if os.Getenv(onOwnNetwork) == "" {
		group, err := newControlGroup(t)
		if err != nil {
			t.Skipf("no systemd of its own: %v", err)
		}
		attr.UseCgroupFD, attr.CgroupFD = true, int(group.Fd())
	}
	if _, err := exec.LookPath(program); err != nil {
		t.Skip(err)
	}
	inNamespaces(t, "systemctl", attr, func(t *testing.T) { tell(newSystemdMachine(t)) })
}

// newControlGroup makes a control group (version 2) below this process's, which is to be the root of a machine's.
func newControlGroup(t *testing.T) (*os.File, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	own, no := os.ReadFile("/proc/self/cgroup")
	at := regexp.MustCompile(`(?m)^\S+ (\S+) cgroup2 `).FindSubmatch(mounts)
	below := regexp.MustCompile(`(?m)^0::(.*)$`).FindSubmatch(own)
	if at == nil || below == nil {
		return nil, errors.Join(err, no, errors.New("the system has no control groups of version 2"))
	}
	dir, err := os.MkdirTemp(filepath.Join(string(at[1]), string(below[1])), "rollcall-test-")
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { // its processes have ended, and groups go from the innermost
		if out, err := exec.Command("find", dir, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";").CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	f, err := os.Open(dir)
	if err == nil {
		t.Cleanup(func() { f.Close() })
	}
	return f, err
}

// furnish makes the tree of a machine at $1, whose programs are this machine's, as long as nothing is written over them, and rollcall at $2.
const furnish = `set -e
ip link set lo up
mount -t proc proc /proc
mount -t tmpfs -o mode=755 machine "$1"
cd "$1"
mkdir -p usr .usr/new .usr/work etc/systemd/system var/lib/dpkg var/log/journal var/tmp tmp dev proc sys run root mnt
chmod 1777 tmp var/tmp
for n in bin sbin lib lib64; do [ ! -L /$n ] || cp -a /$n $n; done
mount -t overlay -o "userxattr,lowerdir=/usr,upperdir=$1/.usr/new,workdir=$1/.usr/work" overlay usr
cp -L /etc/passwd /etc/group /etc/os-release /etc/nsswitch.conf /etc/ld.so.cache etc
echo 127.0.0.1 localhost >etc/hosts
echo 0f1e2d3c4b5a69788796a5b4c3d2e1f0 >etc/machine-id
mount -t tmpfs -o mode=755 dev dev
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
for n in null zero full random urandom tty; do : >dev/$n; mount --bind /dev/$n dev/$n; done
mkdir -p usr/local/bin
: >usr/local/bin/rollcall
mount --bind "$2" usr/local/bin/rollcall
`

// boot makes a process systemd, on the tree $1.
const boot = `set -e
mount -t proc proc "$1/proc"
mount -t sysfs -o ro sysfs "$1/sys"
mount -t cgroup2 cgroup2 "$1/sys/fs/cgroup"
mount -t tmpfs -o mode=755 run "$1/run"
cd "$1"
pivot_root . mnt
umount -l mnt
exec env -i container=test PATH=/usr/local/bin:/usr/sbin:/usr/bin /lib/systemd/systemd --unit=multi-user.target --show-status=0
`

// haltSignal has systemd stop everything and end (systemd(1), SIGRTMIN+3).
const haltSignal = syscall.Signal(34 + 3)

// A systemdMachine is a machine whose first process is systemd, and a server beside it.
type systemdMachine struct {
	t     *testing.T
	tree  string
	init  *exec.Cmd
	said  bytes.Buffer
	ended chan error

	rollcall string         // the server's program
	data     string         // and folder
	audited  *bufio.Scanner // what rollcall audit --follow tells
}

// newSystemdMachine makes a machine, as yet without power, and has a server serve.
func newSystemdMachine(t *testing.T) *systemdMachine {
	rollcall, err := exec.LookPath("rollcall")
	if err != nil {
		t.Fatal(err)
	}
	m := &systemdMachine{t: t, tree: t.TempDir(), rollcall: rollcall, data: t.TempDir()}
	t.Cleanup(func() { exec.Command("umount", "-R", "-l", m.tree).Run() }) // what is mounted is nowhere else
	if out, err := exec.Command("sh", "-c", furnish, "furnish", m.tree, rollcall).CombinedOutput(); err != nil {
		fmt.Printf("%s%.200q\n", noCampus, out)
		t.SkipNow()
	}
	ready := m.follow("serve", "--listen", besideAddress, "--courier", "127.0.0.1:8444", "--json")
	ready.Scan()
	go func() {
		for ready.Scan() {
		}
	}()
	m.audited = m.follow("audit", "--follow")
	m.ask("users", "add", "ada@example.org", "--intune")
	return m
}

// besideAddress is where the server beside the machine listens.
const besideAddress = "127.0.0.1:8443"

func (m *systemdMachine) server(args ...string) *exec.Cmd {
	cmd := exec.Command(m.rollcall, append(args, "--data", m.data)...)
	cmd.Env, cmd.Stderr = append(os.Environ(), "ROLLCALL_SERVER=https://"+besideAddress), os.Stderr
	return cmd
}

// follow runs a command of the server's until the test ends, and reads its lines.
func (m *systemdMachine) follow(args ...string) *bufio.Scanner {
	m.t.Helper()
	cmd := m.server(args...)
	lines, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { cmd.Process.Signal(os.Interrupt); cmd.Wait() })
	return bufio.NewScanner(lines)
}

func (m *systemdMachine) ask(args ...string) string {
	m.t.Helper()
	out, err := m.server(args...).Output()
	if err != nil {
		m.t.Fatalf("rollcall %q: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// enrols has the machine managed, and its service started.
func (m *systemdMachine) enrols() {
	m.t.Helper()
	line := m.ask("users", "invite", "ada@example.org", "--for", "agent")
	if says := m.must(line); !strings.Contains(says, "the system keeps it so") {
		m.t.Fatalf("enroll says %s\n%s", says, m.journal())
	}
}

// locked is that the machine's agent is awake, and acknowledges a lock.
func (m *systemdMachine) locked() {
	m.t.Helper()
	m.until("rollcall agent status | grep -q 'by a stream of .*, up for'")
	m.ask("devices", "lock", m.must("uname -n"))
	for m.audited.Scan() {
		if strings.Contains(m.audited.Text(), "DeviceLock: Acknowledged") {
			return
		}
	}
	m.t.Fatal("the journal ended, and no lock was acknowledged")
}

// udid is the device that the machine is.
func (m *systemdMachine) udid() string {
	m.t.Helper()
	return m.must("rollcall agent status --json | grep -o '\"udid\":\"[^\"]*'")
}

// act begins a part of the story.
func (m *systemdMachine) act(name string) { m.t.Logf("%s %s", time.Now().Format("05.000"), name) }

func (m *systemdMachine) boot() {
	m.t.Helper()
	m.init, m.ended = exec.Command("sh", "-c", boot, "boot", m.tree), make(chan error, 1)
	m.init.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWCGROUP,
	}
	m.said.Reset()
	m.init.Stdout, m.init.Stderr = &m.said, &m.said
	if err := m.init.Start(); err != nil {
		m.t.Fatal(err)
	}
	go func() { m.ended <- m.init.Wait() }()
	m.until("systemctl is-active --quiet multi-user.target")
}

func (m *systemdMachine) halt() {
	m.init.Process.Signal(haltSignal)
	<-m.ended // how, is the kernel's affair
}

// run runs a command in the machine.
func (m *systemdMachine) run(command string) (string, error) {
	out, err := exec.Command("nsenter", "-t", fmt.Sprint(m.init.Process.Pid), "-m", "-p", "-u", "-i", "-C", "-r", "-w", "sh", "-c", command).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (m *systemdMachine) must(command string) string {
	m.t.Helper()
	out, err := m.run(command)
	if err != nil {
		m.t.Fatalf("%s: %v: %s\n%s", command, err, out, m.journal())
	}
	return out
}

// journal is the end of the system's log.
func (m *systemdMachine) journal() string {
	out, _ := m.run("journalctl --no-pager -n 30 -o short-precise")
	return out
}

// refuses is that a command fails with these words.
func (m *systemdMachine) refuses(words, command string) {
	m.t.Helper()
	if out, err := m.run(command); err == nil || !strings.Contains(out, words) {
		m.t.Errorf("%s: %v, %s; want %q", command, err, out, words)
	}
}

func (m *systemdMachine) until(command string) {
	m.t.Helper()
	await(m.t, m.ended, &m.said, func() bool { _, err := m.run(command); return err == nil })
}

// shows is a property of the service.
func (m *systemdMachine) shows(property string) string {
	m.t.Helper()
	return m.must("systemctl show --value -p " + property + " rollcall-agent")
}

func tellService(m *systemdMachine) {
	t := m.t
	m.act("a machine boots")
	m.boot()

	m.act("what cannot be installed leaves nothing, and says why")
	const units = "/etc/systemd/system"
	for command, words := range map[string]string{
		"setpriv --reuid 1000 --clear-groups rollcall agent install":                                       "is for root (sudo)",
		"rollcall agent install --program /nowhere/rollcall":                                               "/nowhere/rollcall is no program",
		"rollcall agent install --program /etc":                                                            "/etc is no program",
		"rollcall agent install --program /etc/passwd":                                                     "/etc/passwd is no program",
		"cd /usr/bin; umask 077; printf x >own; chmod 700 own; rollcall agent install --program own":       "chmod a+rx /usr/bin/own",
		"unshare -m sh -c 'mount --bind /etc /etc; mount -o remount,bind,ro /etc; rollcall agent install'": "read-only file system: see what --print shows",
		"unshare -m sh -c 'mount -t tmpfs -o size=4k full " + units + "; yes >" + units + "/full; rollcall agent install; ls " + units + "' 2>&1 | tr '\n' ' '; false": "no space left on device: see what --print shows, and put it where this system has its units full",
		"unshare -m sh -c 'mount -t tmpfs no /run; rollcall agent install'":                                                                                            "systemctl daemon-reload: exit status 1",
		"ln -s /dev/null " + units + "/rollcall-agent.service; rollcall agent install; s=$?; rm " + units + "/rollcall-agent.service; exit $s":                         "is masked: systemctl unmask rollcall-agent.service",
		"systemctl mask --runtime rollcall-agent; rollcall agent install; s=$?; systemctl unmask --runtime rollcall-agent; exit $s":                                    "is masked: systemctl unmask --runtime rollcall-agent.service",
	} {
		m.refuses(words, command)
		if left := m.must("find /etc/systemd -name 'rollcall*'"); left != "" {
			t.Errorf("%s: it leaves %s", command, left)
			m.must("rm -f " + left)
		}
	}

	m.act("the agent is installed, enrols, and is locked")
	if says := m.must("rollcall agent install"); !strings.Contains(says, "once it is enrolled") {
		t.Errorf("install says %q", says)
	}
	m.refuses("is installed already: rollcall agent uninstall takes it away", "rollcall agent install")
	if is := m.shows("ActiveState"); is != "inactive" {
		t.Errorf("nobody manages the machine, and its agent is %s", is)
	}
	m.enrols()
	m.locked()
	udid := m.udid()
	pid := m.shows("MainPID")
	if user := m.must("ps -o uid= -p " + pid); strings.TrimSpace(user) == "0" {
		t.Error("the agent is root")
	}
	if says := m.must("stat -c '%a %u' /var/lib/private/rollcall-agent"); !strings.HasPrefix(says, "700 ") || strings.HasSuffix(says, " 0") {
		t.Errorf("its state is %s", says)
	}
	for property, want := range map[string]string{"NoNewPrivileges": "yes", "ProtectSystem": "strict", "CapabilityBoundingSet": "", "DynamicUser": "yes"} {
		if got := m.shows(property); got != want {
			t.Errorf("%s is %q, want %q", property, got, want)
		}
	}
	if says, err := m.run("rollcall agent doctor"); err != nil {
		t.Errorf("doctor: %v: %s", err, says)
	}

	m.act("it is restarted, and killed")
	m.must("mkdir -p /run/systemd/system/rollcall-agent.service.d && printf '[Service]\\nRestartSec=100ms\\n' >/run/systemd/system/rollcall-agent.service.d/soon.conf && systemctl daemon-reload")
	m.must("systemctl restart rollcall-agent")
	m.locked()
	pid = m.shows("MainPID")
	m.must("kill -9 " + pid)
	m.until("[ $(systemctl show --value -p NRestarts rollcall-agent) = 1 ] && systemctl is-active --quiet rollcall-agent")
	m.locked()
	if again := m.shows("MainPID"); again == pid {
		t.Errorf("the agent that was killed runs: %s", again)
	}

	m.act("the machine is started anew")
	m.halt()
	m.boot()
	m.locked()
	if is := m.udid(); is != udid {
		t.Errorf("it was %s and is %s", udid, is)
	}
	if log := m.must("journalctl --no-pager -u rollcall-agent"); !strings.Contains(log, "wake-ups come by a stream now") {
		t.Errorf("the system's log has\n%s", log)
	}

	m.act("its service fails too often, and starts when the machine enrols anew")
	m.must("mkdir -p /run/systemd/system/rollcall-agent.service.d && printf '[Service]\\nRestartSec=0\\n' >/run/systemd/system/rollcall-agent.service.d/soon.conf && systemctl daemon-reload")
	for m.shows("ActiveState") != "failed" {
		m.run("systemctl kill -s KILL rollcall-agent")
	}
	m.refuses("too quickly", "systemctl start rollcall-agent; systemctl status rollcall-agent")
	m.must("rollcall agent unenroll")
	m.enrols()
	m.locked()

	m.act("its service is taken away, and installed again")
	if says := m.must("rollcall agent uninstall"); !strings.Contains(says, "still managed until rollcall agent unenroll") {
		t.Errorf("uninstall says %q", says)
	}
	if says := m.must("rollcall agent install"); !strings.Contains(says, "has started it") {
		t.Errorf("install says %q", says)
	}
	m.locked()

	m.act("it leaves, and nothing of the service is left")
	m.must("rollcall agent unenroll")
	m.must("systemctl restart rollcall-agent") // as at the next boot
	m.until("case $(systemctl show --value -p ActiveState rollcall-agent) in inactive | failed) ;; *) false ;; esac")
	if is := m.shows("Result"); is != "success" {
		t.Errorf("nobody manages the machine, and its agent ends with %s", is)
	}
	m.run("for n in 1 2 3 4 5 6; do systemctl restart rollcall-agent; done")
	if is := m.shows("ActiveState"); is != "failed" {
		t.Errorf("it was started too often, and is %s", is)
	}
	m.must("rollcall agent uninstall")
	m.refuses("no service "+daemon.Name+" is installed", "rollcall agent uninstall")
	if left := m.must("find /etc/systemd -name 'rollcall*'; systemctl list-units --all --plain --no-legend 'rollcall*'; ps ax -o args= | grep '[a]gent run' || :"); left != "" {
		t.Errorf("left of it: %s", left)
	}
	m.halt()
}
