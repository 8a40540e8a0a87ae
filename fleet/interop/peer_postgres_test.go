//go:build linux

package interop

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/lib/pq"
	"github.com/micromdm/nanomdm/storage/pgsql"
)

// postgresBin finds the folder of PostgreSQL's programs.
func postgresBin() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path), nil
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // Debian
	if len(found) == 0 {
		return "", errors.New("PostgreSQL is not installed: apt-get install postgresql, or put its initdb on PATH")
	}
	return filepath.Dir(found[len(found)-1]), nil
}

// startPostgres starts a PostgreSQL of its own with its defaults, on a socket in a folder of its own, and gives nanomdm's
// store on it two connections. cpu is the time of the database's processes.
func startPostgres(t *testing.T) (kept *pgsql.PgSQLStorage, cpu func() (time.Duration, error), err error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp("", "rollcall-pg-") // sockets have short names
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	var as *syscall.Credential // it refuses to run as root
	if os.Getuid() == 0 {
		if as, err = postgresUser(dir); err != nil {
			return nil, nil, err
		}
	}
	run := func(program string, args ...string) error {
		cmd := exec.Command(filepath.Join(bin, program), args...)
		cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Credential: as}
		out, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600) // a pipe would stay open with the database
		if err != nil {
			return err
		}
		defer out.Close()
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Run(); err != nil {
			said, _ := os.ReadFile(out.Name())
			return fmt.Errorf("%s: %w: %s", program, err, said)
		}
		return nil
	}
	data := filepath.Join(dir, "data")
	if err := run("initdb", "-D", data, "-U", "nanomdm", "--auth", "trust", "-E", "UTF8"); err != nil {
		return nil, nil, err
	}
	if err := run("pg_ctl", "-D", data, "-w", "-o", "-k "+dir+" -c listen_addresses=", "start"); err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() {
		if err := run("pg_ctl", "-D", data, "-w", "-m", "fast", "stop"); err != nil {
			t.Error(err)
		}
	})
	var pid int
	started, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err == nil {
		_, err = fmt.Sscan(string(started), &pid)
	}
	if err != nil {
		return nil, nil, err
	}
	db, err := sql.Open("postgres", "host="+dir+" user=nanomdm dbname=postgres sslmode=disable")
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(2)
	db.SetMaxIdleConns(2)
	if _, err = db.Exec(pgsql.Schema); err != nil {
		return nil, nil, fmt.Errorf("nanomdm's schema: %w", err)
	}
	kept, err = pgsql.New(pgsql.WithDB(db))
	return kept, func() (time.Duration, error) { return familyTime(pid) }, err
}

// postgresUser gives dir to a user that is not root.
func postgresUser(dir string) (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(dir, uid, gid)
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is no other user here")
}

// tick is the unit of the times in /proc, which is the same on every Linux that Go runs on.
const tick = time.Second / 100

// familyTime returns the CPU time of a process, of its children and of those that it has waited for.
func familyTime(pid int) (time.Duration, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, name := range stats {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		// After the name in brackets: state, parent, and the times at 11 to 14, the latter two of children waited for.
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		self := strings.HasPrefix(name, fmt.Sprintf("/proc/%d/", pid))
		if len(fields) < 15 || !self && fields[1] != strconv.Itoa(pid) {
			continue
		}
		for _, f := range fields[11:15] {
			n, err := strconv.Atoi(f)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", name, err)
			}
			sum += time.Duration(n) * tick
		}
	}
	return sum, nil
}
