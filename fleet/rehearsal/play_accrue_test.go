package rehearsal

import (
	"testing"
	"time"

	"rollcall/protocol"
)

// What a device stood and lacked counts from the beginning of the story on, once: a device that no push can wake is not also held, and of
// what it lacks that counts apart to which nobody had assigned another profile.
func TestAccrue(t *testing.T) {
	email, configuration := families(1)<<protocol.Email, families(1)<<protocol.Configuration
	k := &part{player: &player{stage: &stage{start: now}}}
	u := &unit{since: now.Add(-time.Hour), silenced: true, lacks: email | configuration, late: email}
	life := &Life{Standing: Standing{Blocked: true}}
	k.accrue(u, life, now) // before the story nothing counts
	k.accrue(u, life, now.Add(time.Hour))
	k.accrue(u, life, now.Add(time.Hour)) // nor does the same time twice
	lack := life.lacks()
	if life.Silenced != time.Hour || life.Blocked != 0 || lack.Unprotected[protocol.Email] != time.Hour || lack.Unprotected[protocol.Configuration] != time.Hour || lack.Unprotected[protocol.WiFi] != 0 || lack.Unassigned != time.Hour {
		t.Errorf("silenced %s, blocked %s, %+v; want an hour silenced, without both families, and of one unassigned", life.Silenced, life.Blocked, lack)
	}
	u.silenced, u.lacks = false, 0
	k.accrue(u, life, now.Add(3*time.Hour))
	if life.Silenced != time.Hour || life.Blocked != 2*time.Hour || lack.Unprotected[protocol.Email] != time.Hour {
		t.Errorf("silenced %s, blocked %s, %+v; want two hours blocked more", life.Silenced, life.Blocked, lack)
	}
}
