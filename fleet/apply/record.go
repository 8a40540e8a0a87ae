package apply

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"rollcall/agent/host"
	"rollcall/fleet/plan"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// A Record is what was rehearsed, and how far it has come: a file beside the plan.
type Record struct {
	Version int               `json:"version"` // 1
	ID      string            `json:"id"`      // of plan, tenant and steps: what a confirmation names
	Server  string            `json:"server"`
	Plan    string            `json:"plan"` // its text
	Seed    uint64            `json:"seed"`
	Facts   map[string]string `json:"facts"`             // of the tenant when it was rehearsed
	There   *plan.Tenancy     `json:"there,omitempty"`   // what a plan without devices of its own was checked against
	Shown   protocol.Time     `json:"shown,omitzero"`    // when that was, by the server's clock
	Journal uint64            `json:"journal,omitempty"` // how far the server's journal was looked through for what others do; 0: not at all
	Start   protocol.Time     `json:"start"`             // the plan's beginning, by the server's clock; 0: not confirmed yet
	Late    plan.Duration     `json:"late,omitzero"`     // by how much what is left has been put off since
	Steps   []Step            `json:"steps"`

	path string
	lock *os.File
}

const recordVersion = 1

// ErrRuns is that another process applies the same plan.
var ErrRuns = errors.New("this plan is being applied by another process")

// Rehearsed is the record of a plan whose steps were rehearsed on the tenant of s.
func Rehearsed(server string, p *plan.Plan, s *Snapshot, steps []Step) *Record {
	r := &Record{Version: recordVersion, Server: server, Plan: p.Source(), Seed: p.Seed, Facts: s.Facts, There: s.Tenancy(), Shown: s.At, Journal: s.journal, Steps: steps}
	r.ID = r.sum()
	return r
}

// sum is the ID of what was rehearsed, however far it has come since.
func (r *Record) sum() string {
	own := *r
	own.ID, own.Journal, own.Start, own.Late, own.Steps = "", 0, 0, 0, slices.Clone(r.Steps)
	for i := range own.Steps {
		s := &own.Steps[i]
		s.State, s.Allowed, s.Before, s.Begun, s.Done, s.Outcome, s.Refused = Waiting, false, "", 0, 0, "", nil
	}
	h := sha256.New()
	json.NewEncoder(h).Encode(own) // maps are written in the order of their keys
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// Open takes the record at path for this process, and reads it; one that nobody has written is empty. Close gives it back.
func Open(path string) (*Record, error) {
	lock, err := take(path + ".lock")
	switch {
	case err != nil:
		return nil, err
	case lock == nil:
		return nil, fmt.Errorf("%w (%s is locked)", ErrRuns, path)
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		data, err = []byte("{}"), nil
	}
	r := &Record{path: path, lock: lock}
	if err == nil {
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.DisallowUnknownFields()
		if err = dec.Decode(r); err == nil && r.Version > recordVersion {
			err = fmt.Errorf("it is of a newer rollcall (version %d, this one writes %d)", r.Version, recordVersion)
		}
		if err == nil {
			err = r.sound()
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// take locks the file at path, and makes it where there is none; nil: somebody else has locked it.
func take(path string) (*os.File, error) {
	for {
		lock, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		ok, err := host.TryLock(lock)
		if err != nil || !ok {
			lock.Close()
			return nil, err
		}
		mine, err := lock.Stat()
		if err == nil {
			if there, missing := os.Stat(path); missing == nil && os.SameFile(mine, there) {
				return lock, nil
			}
		}
		lock.Close() // whoever had it before has just removed it
		if err != nil {
			return nil, err
		}
	}
}

// sound refuses a record that nobody has written like this.
func (r *Record) sound() error {
	for i := range r.Steps {
		switch s := &r.Steps[i]; {
		case s.Number != i+1:
			return fmt.Errorf("step %d is called %d", i+1, s.Number)
		case s.State != Waiting && s.State != Begun && s.State != Done:
			return fmt.Errorf("step %d is %q: want waiting, begun or done", i+1, s.State)
		}
	}
	if r.ID != "" && r.sum() != r.ID {
		return fmt.Errorf("what it holds is not what was rehearsed as %s: somebody has changed the file; rehearse the plan again with another --state", r.ID)
	}
	return nil
}

// Close lets other processes have the record; of the lock nothing stays behind.
func (r *Record) Close() error {
	os.Remove(r.lock.Name()) // a system that keeps open files keeps this one: it is empty
	return r.lock.Close()
}

// Devices returns how many devices the tenant had when the plan was rehearsed, and how many of them were enrolled.
func (r *Record) Devices() (total, enrolled int) {
	for of, fact := range r.Facts {
		if strings.HasPrefix(of, "device ") {
			if total++; strings.HasPrefix(fact, "enrolled, ") {
				enrolled++
			}
		}
	}
	return total, enrolled
}

// Keep writes what was rehearsed in place of what r had.
func (r *Record) Keep(rehearsed *Record) error {
	rehearsed.path, rehearsed.lock = r.path, r.lock
	*r = *rehearsed
	return r.save()
}

// save writes the record so that it is there whole, whatever happens meanwhile.
func (r *Record) save() error {
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(r.path), filepath.Base(r.path)+".*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // fails once it is renamed
	_, err = tmp.Write(append(data, '\n'))
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), r.path); err != nil {
		return err
	}
	return host.SyncFolder(filepath.Dir(r.path))
}

// Moment is when a step is due, as the plan stands.
func (r *Record) Moment(s *Step) protocol.Time {
	return r.Start.Add(time.Duration(r.Late) + time.Duration(s.At))
}

// Left returns the steps that are not done.
func (r *Record) Left() (n int) {
	for i := range r.Steps {
		if r.Steps[i].State != Done {
			n++
		}
	}
	return n
}

// Next is the first step that is not done; nil: all are.
func (r *Record) Next() *Step {
	for i := range r.Steps {
		if r.Steps[i].State != Done {
			return &r.Steps[i]
		}
	}
	return nil
}

// Refused says of each step that is done to which devices the server did not do it.
func (r *Record) Refused() (reasons []string) {
	for i := range r.Steps {
		if s := &r.Steps[i]; s.State == Done && len(s.Refused) > 0 {
			reasons = append(reasons, lang.English.Say("step %d (%s): of %d devices %s", s.Number, s.Field, len(s.Devices), s.refusals()))
		}
	}
	return reasons
}

// fresh is how old a rehearsal may be that is confirmed: what changes by itself, as contacts and certificates do, is none of its facts.
const fresh = plan.Day

// Confirm holds what an administrator confirms against what was rehearsed: plan and tenant must be the same and the
// rehearsal not be old, or it says what is wrong. Once a plan has begun the tenant is what its steps make of it, and only the plan is looked at.
func (r *Record) Confirm(id, server string, p *plan.Plan, now *Snapshot) error {
	var differs []string
	switch {
	case r.ID == "":
		return refuse("nothing was rehearsed: leave --confirm out first")
	case id != r.ID:
		return refuse("%s is not the id of the latest rehearsal, which is %s", id, r.ID)
	case server != r.Server:
		return refuse("it was rehearsed on %s, not on %s", r.Server, server)
	case p.Seed != r.Seed:
		differs = []string{fmt.Sprintf("the plan's seed was %d, and is %d", r.Seed, p.Seed)}
	case p.Source() != r.Plan:
		differs = lineOf(r.Plan, p.Source())
	case r.Start == 0 && now.At.Sub(r.Shown) > fresh:
		return refuse("the rehearsal %s is of %s, more than %s ago: rehearse it again, without --confirm", id, r.Shown, plan.Duration(fresh))
	case r.Start == 0:
		differs = factsOf(r.Facts, now.Facts)
	}
	if differs == nil {
		return nil
	}
	return refuse("what was rehearsed as %s is not what would be done now: %s; rehearse it again, without --confirm", id, strings.Join(differs, "; "))
}

func refuse(format string, args ...any) error {
	return &protocol.Refusal{Rule: "HST-070", Reason: fmt.Sprintf(format, args...)}
}

// lineOf names the first line in which two texts differ.
func lineOf(was, is string) []string {
	a, b := strings.Split(was, "\n"), strings.Split(is, "\n")
	for i := 0; ; i++ {
		switch {
		case i == len(a):
			return []string{fmt.Sprintf("line %d of the plan is new: %s", i+1, strings.TrimSpace(b[i]))}
		case i == len(b):
			return []string{fmt.Sprintf("line %d of the plan is gone: %s", i+1, strings.TrimSpace(a[i]))}
		case a[i] != b[i]:
			return []string{fmt.Sprintf("line %d of the plan was %q, and is %q", i+1, strings.TrimSpace(a[i]), strings.TrimSpace(b[i]))}
		}
	}
}

// factsOf names the facts that differ, the first few one by one.
func factsOf(was, is map[string]string) (differs []string) {
	const shown = 5
	all := maps.Clone(was)
	maps.Copy(all, is)
	n := 0
	for _, of := range slices.Sorted(maps.Keys(all)) {
		a, there := was[of]
		b, still := is[of]
		if there && still && a == b {
			continue
		}
		if n++; n > shown {
			continue
		}
		switch {
		case !there:
			differs = append(differs, of+" is new ("+b+")")
		case !still:
			differs = append(differs, of+" is gone")
		default:
			differs = append(differs, of+" was "+a+", and is "+b)
		}
	}
	if n > shown {
		differs = append(differs, fmt.Sprintf("and %d more", n-shown))
	}
	return differs
}
