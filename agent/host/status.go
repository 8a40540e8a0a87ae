package host

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"rollcall/agent"
	"rollcall/agent/courier"
	"rollcall/agent/dialect"
	"rollcall/agent/host/apply"
	"rollcall/protocol"
)

// A Status is what there is to know of an agent, with no secret in it.
type Status struct {
	State        string            `json:"state"`                  // managed, enrolling or unmanaged
	Server       string            `json:"server,omitempty"`       // host and port
	Organization string            `json:"organization,omitempty"` // as its profile calls itself
	CA           string            `json:"ca,omitempty"`           // pin; empty: the system's roots
	Kind         protocol.Platform `json:"kind,omitzero"`          // as what the machine is managed
	UDID         string            `json:"udid,omitempty"`         // or as what else its server lists it
	Enrolled     protocol.Time     `json:"enrolled,omitzero"`
	Replaced     protocol.Time     `json:"replaced,omitzero"` // since when its server had a machine of this identifier whose place it took (HST-032)

	// Authority is who manages the machine, as its server says, since when, and by which rule: empty while it is to move. Unknown where the
	// server says nothing of it, as those of others do: then Since is the enrolment.
	Authority protocol.Authority `json:"authority,omitzero"`
	Since     protocol.Time      `json:"since,omitzero"`
	Rule      protocol.Rule      `json:"rule,omitempty"`
	Change    *AuthorityChange   `json:"change,omitempty"` // of authority, the newest that it heard of; none since the enrolment: nil

	Certificate *Certificate      `json:"certificate,omitempty"`
	Profiles    []Profile         `json:"profiles,omitempty"`
	Asked       *Entry            `json:"asked,omitempty"` // the newest command
	Good        protocol.Time     `json:"last_check_in,omitzero"`
	Bad         protocol.Time     `json:"last_failure,omitzero"`
	Why         string            `json:"why,omitempty"` // of it
	Next        protocol.Time     `json:"next,omitzero"` // when something is due; the poll comes whatever it says
	Poll        string            `json:"poll,omitempty"`
	Courier     string            `json:"courier,omitempty"` // as --courier has it
	Alone       bool              `json:"alone,omitempty"`   // its server names no push service for it: it asks by itself
	Runs        bool              `json:"runs"`              // an agent, now
	Stream      *courier.State    `json:"stream,omitempty"`  // of wake-ups, of the one that runs
	Allowed     map[string]string `json:"allowed,omitempty"`
	Applied     []protocol.Family `json:"applied,omitempty"` // families whose profiles become files of the system
	Root        string            `json:"root,omitempty"`    // that stands for the system's; empty: /
	OnProfile   string            `json:"on_profile,omitempty"`
	Trouble     string            `json:"trouble,omitempty"` // why files of the machine are not as its profiles, or its owner, want them
	ClockOffset string            `json:"clock_offset,omitempty"`
	Driven      protocol.Time     `json:"server_clock,omitzero"` // of a server whose clock a laboratory drives
	Edited      []apply.Edited    `json:"edited,omitempty"`      // files that were changed since a profile made them, and were set aside
	Ended       protocol.Time     `json:"ended,omitzero"`        // of the enrolment before
	EndedBy     string            `json:"ended_by,omitempty"`
	Machine     Facts             `json:"machine"`
}

// An AuthorityChange is one of the tenant's authority that the machine heard of.
type AuthorityChange struct {
	Epoch uint32        `json:"epoch"`
	At    protocol.Time `json:"at"`
	Rule  protocol.Rule `json:"rule"` // what becomes of the profiles of before: by AUTH-21 they stay, by AUTH-27 they leave after a time
}

// A Certificate is the machine's identity.
type Certificate struct {
	Serial   string        `json:"serial"`
	SHA256   string        `json:"sha256"` // of its bytes
	From     protocol.Time `json:"from"`
	Until    protocol.Time `json:"until"`
	DaysLeft int           `json:"days_left"` // whole ones; negative: it has ended
	Renewing bool          `json:"renewing,omitempty"`
	Note     string        `json:"note,omitempty"` // why it may not be renewed in time
}

// A Profile is one installed profile.
type Profile struct {
	Identifier string          `json:"identifier"`
	UUID       string          `json:"uuid"`
	Family     protocol.Family `json:"family,omitzero"`
	Management bool            `json:"management,omitempty"` // the enrolment profile
	Folder     string          `json:"folder,omitempty"`     // of the state, with the profile as files; empty: none was kept
	Payloads   []Payload       `json:"payloads,omitempty"`
	Note       string          `json:"note,omitempty"` // why there is no folder, or what went wrong with --on-profile
}

// A Payload is a part of a profile, and what became of it.
type Payload struct {
	Type   string          `json:"type"`
	Family protocol.Family `json:"family,omitzero"`
	File   string          `json:"file,omitempty"` // of the system; empty: in the folder alone
	Note   string          `json:"note,omitempty"` // why
}

// Read tells what there is to know of the agent whose state is in dir, running or not, when the machine's clock says real; what only the one
// that runs knows, [Stream] asks it.
func Read(dir string, real time.Time, facts Facts) (Status, error) {
	s := Status{State: "unmanaged", Machine: facts}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	r, err := load(dir)
	if errors.Is(err, fs.ErrPermission) {
		return s, fmt.Errorf("%w: the agent is another user's: ask as that user (sudo)", err)
	}
	if err != nil {
		return s, err
	}
	s.UDID, s.Kind, s.Ended, s.EndedBy = r.id(), r.Kind, r.Ended, r.EndedBy
	s.Good, s.Bad, s.Why, s.Allowed, s.Driven = r.Good, r.Bad, r.Why, r.Allow, r.Clock.Driven
	s.Applied, s.Root, s.OnProfile, s.Trouble = r.Apply.Families, r.Apply.Root, r.Apply.OnProfile, r.Trouble
	s.ClockOffset = r.Clock.ahead()
	if r.Asked != (Entry{}) {
		s.Asked = &r.Asked
	}
	if r.Link != nil {
		s.Server, s.CA = r.Link.Host, r.Link.Pin
	}
	if r.Pending != nil {
		s.State = "enrolling"
	}
	store := filepath.Join(dir, profilesFolder)
	made, root, edited, damage := apply.Read(store)
	s.Edited = edited
	if r.Device != nil && damage != nil {
		s.Trouble = damage.Error()
	}
	if r.Device == nil {
		return s, nil
	}
	d, err := r.read()
	if err != nil {
		return s, err
	}
	switch d.Phase() {
	case agent.Enrolled:
		s.State = "managed"
	case agent.Enrolling:
		s.State = "enrolling"
	default:
		return s, nil
	}
	s.Organization = d.organization()
	s.Alone = d.push().service == ""
	s.Enrolled, s.Next, s.Poll, s.Courier = d.EnrolledAt(), d.Due(), r.Poll.String(), r.Courier
	m := r.Management
	s.Authority, s.Since, s.Rule, s.Replaced = m.Authority, cmp.Or(m.Since, s.Enrolled), m.Rule, m.Replaced
	if n := r.Notice; n != (protocol.Notice{}) {
		s.Change = &AuthorityChange{n.Epoch, n.ChangedAt, n.Rule}
	}
	if i := d.Identity(); i.Serial != "" {
		left := int(math.Floor(i.NotAfter.Time().Sub(r.Clock.at(real)).Hours() / 24))
		sum := sha256.Sum256(d.Certificate(dialect.Current))
		s.Certificate = &Certificate{i.Serial, hex.EncodeToString(sum[:]), i.NotBefore, i.NotAfter, left, d.Renewing(), r.Clock.early()}
	}
	for _, p := range d.profiles() {
		x := Profile{Identifier: p.Identifier, UUID: p.UUID, Family: p.Family, Management: p.MDM}
		at := slices.IndexFunc(made, func(m apply.Profile) bool { return m.Identifier == p.Identifier && m.Content == p.Content })
		if at >= 0 && !p.MDM {
			m := &made[at]
			x.Note = m.Note
			if m.Folder != "" {
				x.Folder = filepath.Join(store, m.Folder)
			}
			for _, part := range m.Parts {
				y := Payload{Type: part.Type, Family: part.Family, Note: part.Note}
				if part.File != "" {
					y.File = filepath.Join(root, filepath.FromSlash(part.File))
				}
				x.Payloads = append(x.Payloads, y)
			}
		}
		s.Profiles = append(s.Profiles, x)
	}
	return s, nil
}
