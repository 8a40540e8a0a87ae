package device

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"regexp"
	"slices"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/protocol/apple"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
)

var appliedSaid = regexp.MustCompile(`"applied":\{.*\},"compliant"`)

// keepsTo returns a message with another policy in force.
func keepsTo(message []byte, a android.AppliedPolicy) []byte {
	return appliedSaid.ReplaceAll(message, fmt.Appendf(nil, `"applied":%s,"compliant"`, android.Append(nil, &a)))
}

// answered is what the device with this connection is answered.
func (c *line) answered(message []byte, id string) (a android.CheckInAnswer) {
	c.l.t.Helper()
	got := c.says(message, id)
	if err := android.Decode(bytes.TrimPrefix([]byte(got), []byte("200 ")), &a); err != nil {
		c.l.t.Fatalf("%v: %s", err, got)
	}
	return a
}

// wifi gives the lab's devices a profile.
func (l *lab) wifi(name string) {
	l.must(l.core.ApplyProfile(context.Background(), l.pnow(), name, protocol.WiFi, name, apple.EncodeProfile(apple.NewProfile(name, "Office", protocol.WiFi)), []string{"all"}))
}

// TestAndroidStalePolicy: the policy is left out where its name and version match (android.md, section 8), and where the profiles are those
// that should be there. Whoever keeps to another one gets the policy, newer than any before, in the first round; the check-in is completed
// by the next one. An answer that was lost changes nothing of that.
func TestAndroidStalePolicy(t *testing.T) {
	l := newDroidLab(t)
	l.wifi("org.wifi")
	ghost := android.AppliedProfile{ID: "org.ghost", Version: 1, Status: android.Applied}
	for i, tt := range []struct {
		name   string
		change func(*android.AppliedPolicy)
		right  bool
	}{
		{"the one in force", func(*android.AppliedPolicy) {}, true},
		{"an older version", func(a *android.AppliedPolicy) { a.PolicyVersion-- }, false},
		{"a version that was never given", func(a *android.AppliedPolicy) { a.PolicyVersion = 999 }, false},
		{"another device's", func(a *android.AppliedPolicy) { a.PolicyName += "0" }, false},
		{"one without a name", func(a *android.AppliedPolicy) { a.PolicyName = "" }, false},
		{"none", func(a *android.AppliedPolicy) { *a = android.AppliedPolicy{State: android.Provisioning} }, false},
		{"a profile that nobody knows", func(a *android.AppliedPolicy) { a.Profiles = append(a.Profiles, ghost) }, false},
		{"a profile less", func(a *android.AppliedPolicy) { a.Profiles = nil }, false},
		{"a profile that has failed since", func(a *android.AppliedPolicy) {
			a.Profiles = []android.AppliedProfile{{ID: a.Profiles[0].ID, Version: a.Profiles[0].Version, Status: android.Failed, Reason: android.NotInstalled}}
		}, false},
		{"a profile that it works on", func(a *android.AppliedPolicy) {
			a.Profiles = []android.AppliedProfile{{ID: a.Profiles[0].ID, Version: a.Profiles[0].Version, Status: android.Pending}}
		}, true},
		{"a profile in another version", func(a *android.AppliedPolicy) {
			a.Profiles = []android.AppliedProfile{{ID: a.Profiles[0].ID, Version: a.Profiles[0].Version + 1, Status: android.Applied}}
		}, false},
		{"a profile in two versions", func(a *android.AppliedPolicy) {
			a.Profiles = append(slices.Clone(a.Profiles), android.AppliedProfile{ID: a.Profiles[0].ID, Version: a.Profiles[0].Version + 1, Status: android.Applied})
		}, false},
		{"a profile twice", func(a *android.AppliedPolicy) {
			a.Profiles = append(slices.Clone(a.Profiles), android.AppliedProfile{ID: a.Profiles[0].ID, Version: a.Profiles[0].Version, Status: android.Failed})
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, m := l.android(fmt.Sprintf("d-0123456789abcdef%04d", i))
			var said android.CheckIn
			l.must(android.Decode(m, &said))
			in := said.Applied
			tt.change(&in)
			for n := range 2 { // the answer to the first is lost
				a := l.line(p).answered(keepsTo(m, in), fmt.Sprintf("c-stale-%d", n))
				if tt.right != (a.Policy == nil) || a.Complete != tt.right {
					t.Fatalf("answered %s", android.Append(nil, &a))
				}
				if tt.right {
					continue
				}
				if a.Policy.Version <= max(said.Applied.PolicyVersion, in.PolicyVersion) {
					t.Errorf("version %d, after %d and %d", a.Policy.Version, said.Applied.PolicyVersion, in.PolicyVersion)
				}
				for _, e := range a.Policy.Profiles {
					if e.ID == ghost.ID {
						t.Error("the profile that nobody knows is in the policy")
					}
				}
				if n == 0 {
					continue
				}
				healed := said.Applied
				healed.PolicyVersion = a.Policy.Version
				c := l.line(p)
				second := bytes.Replace(keepsTo(m, healed), []byte(`"round":1`), []byte(`"round":2`), 1)
				if a := c.answered(second, "c-stale-1"); !a.Complete || a.Policy != nil {
					t.Errorf("with the new one in force: %s", android.Append(nil, &a))
				}
				if a := c.answered(keepsTo(m, healed), "c-healed"); !a.Complete || a.Policy != nil {
					t.Errorf("the next time: %s", android.Append(nil, &a))
				}
			}
		})
	}
	t.Run("who takes no policy is asked once in a check-in", func(t *testing.T) {
		p, m := l.android("d-0123456789abcdef8888")
		var said android.CheckIn
		l.must(android.Decode(m, &said))
		in := said.Applied
		in.PolicyVersion--
		for _, id := range []string{"c-never-1", "c-never-2"} {
			c := l.line(p)
			if a := c.answered(keepsTo(m, in), id); a.Complete || a.Policy == nil {
				t.Errorf("first %s", android.Append(nil, &a))
			}
			if a := c.answered(bytes.Replace(keepsTo(m, in), []byte(`"round":1`), []byte(`"round":2`), 1), id); !a.Complete {
				t.Errorf("then %s", android.Append(nil, &a))
			}
		}
	})
}

// TestHST009VersionNeverGiven: what a device says in a later round that it keeps to counts where the answer to the round before brought it,
// and where it did already. Any other version carries no order out and is not written down, and the next check-in finds the device astray.
func TestHST009VersionNeverGiven(t *testing.T) {
	l := newDroidLab(t)
	for i, tt := range []struct {
		name   string
		change func(*android.AppliedPolicy)
		right  bool
	}{
		{"the one that was given", func(*android.AppliedPolicy) {}, true},
		{"a newer one", func(a *android.AppliedPolicy) { a.PolicyVersion = 1 << 62 }, false},
		{"the one after", func(a *android.AppliedPolicy) { a.PolicyVersion++ }, false},
		{"another device's", func(a *android.AppliedPolicy) { a.PolicyName += "0" }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, m := l.android(fmt.Sprintf("d-0123456789abcdef%04d", i))
			r := l.record(p.id)
			before := server.AndroidVersion(&r.Facts)
			name := fmt.Sprint("org.wifi", i)
			l.wifi(name)
			c := l.line(p)
			a := c.answered(m, "c-given")
			if a.Policy == nil {
				t.Fatalf("answered %s", android.Append(nil, &a))
			}
			in := android.AppliedPolicy{State: android.Active, PolicyName: a.Policy.Name, PolicyVersion: a.Policy.Version}
			for _, e := range a.Policy.Profiles {
				in.Profiles = append(in.Profiles, android.AppliedProfile{ID: e.ID, Version: e.Version, Status: android.Applied})
			}
			tt.change(&in)
			second := bytes.Replace(keepsTo(m, in), []byte(`"round":1`), []byte(`"round":2`), 1)
			if a := c.answered(second, "c-given"); a.Policy != nil || !a.Complete {
				t.Errorf("then answered %s", android.Append(nil, &a))
			}
			r = l.record(p.id)
			want, state := a.Policy.Version, delivery.Installed
			if !tt.right {
				want, state = before, delivery.Installing
			}
			if got := server.AndroidVersion(&r.Facts); got != want {
				t.Errorf("version %d is written down, want %d", got, want)
			}
			if last := r.State.Profiles[len(r.State.Profiles)-1]; last.State != state {
				t.Errorf("the profile is %s, want %s", last.State, state)
			}
			if a := c.answered(keepsTo(m, in), "c-next"); tt.right != (a.Policy == nil) {
				t.Errorf("at the next check-in answered %s", android.Append(nil, &a))
			}
		})
	}
}

// TestAND071FirstCheckInAgain: a device that begins its first check-in anew after the server has it enrolled, since the last answer was lost,
// gets its first policy, though no profile is for it.
func TestAND071FirstCheckInAgain(t *testing.T) {
	l := newDroidLab(t)
	p, m := l.android("d-0123456789abcdef0000")
	again := bytes.Replace(keepsTo(m, android.AppliedPolicy{State: android.Provisioning}), []byte(`"SCHEDULE"`), []byte(`"ENROLLED"`), 1)
	if a := l.line(p).answered(again, "c-first-again"); a.Policy == nil || a.Complete {
		t.Errorf("answered %s", android.Append(nil, &a))
	}
}

// TestAND075StaleMoves: an answer that brings a policy completes nothing, so the authority changes with the next one.
func TestAND075StaleMoves(t *testing.T) {
	l := newDroidLab(t)
	p, m := l.android("d-0123456789abcdef0000")
	_, err := l.core.SetAuthority(t.Context(), l.pnow(), server.System, authority.Change{Authority: protocol.SCCM}, "", -1)
	l.must(err)
	l.setClock(l.now().Add(time.Minute))
	if a := l.line(p).answered(keepsTo(m, android.AppliedPolicy{State: android.Provisioning}), "c-moves"); a.Complete || a.Authority.Registered != protocol.Intune {
		t.Errorf("answered %s", android.Append(nil, &a))
	}
	if got := l.record(p.id).State; got.Registered != protocol.Intune || got.Epoch == l.core.World().Tenant.Epoch {
		t.Errorf("registered with %s in epoch %d before the check-in is completed", got.Registered, got.Epoch)
	}
	if a := l.line(p).answered(bytes.Replace(m, []byte(`"round":1`), []byte(`"round":2`), 1), "c-moves"); !a.Complete {
		t.Errorf("answered %s", android.Append(nil, &a))
	}
	if got := l.record(p.id).State; got.Epoch != l.core.World().Tenant.Epoch {
		t.Errorf("registered with %s in epoch %d after it", got.Registered, got.Epoch)
	}
}

// TestAUTH55AndroidStays: what stays on a device that does not have it assigned any more makes its policy no other.
func TestAUTH55AndroidStays(t *testing.T) {
	l := newDroidLab(t)
	l.must(l.core.ApplyProfile(t.Context(), l.pnow(), "camera", protocol.Configuration, "org.camera", apple.EncodeProfile(apple.NewProfile("org.camera", "Camera", protocol.Configuration)), []string{"all"}))
	p, m := l.android("d-0123456789abcdef0000")
	_, err := l.core.TakeProfile(t.Context(), l.pnow(), server.System, server.ProfileRemoval{Name: "camera", Groups: []string{"all"}}, "")
	l.must(err)
	for _, id := range []string{"c-goes", "c-stays"} {
		a := l.line(p).answered(m, id)
		if left := l.record(p.id).State.Profiles; len(left) != 0 || !bytes.Contains(m, []byte("org.camera")) {
			t.Fatalf("assigned %+v, said %s", left, m)
		}
		if a.Policy != nil {
			t.Errorf("%s is answered %s", id, android.Append(nil, &a))
		}
	}
}

// TestHST009PolicyVersion: a device that says the largest version there is gets a policy that is not older, and so one that it takes.
func TestHST009PolicyVersion(t *testing.T) {
	l := newDroidLab(t)
	l.wifi("org.wifi")
	for i, said := range []int64{math.MaxInt64, math.MaxInt64 - 1} {
		p, m := l.android(fmt.Sprintf("d-0123456789abcdef%04d", i))
		in := android.AppliedPolicy{State: android.Active, PolicyName: "policies/" + p.id, PolicyVersion: said}
		if a := l.line(p).answered(keepsTo(m, in), "c-wrap"); a.Policy == nil || a.Policy.Version != math.MaxInt64 {
			t.Errorf("who says version %d is answered %s", said, android.Append(nil, &a))
		}
	}
	if got := after(math.MaxInt64-1, 3); got != math.MaxInt64 {
		t.Errorf("%d", got)
	}
}

// TestAndroidStaleVersion: a version of a profile that the server does not know to be there is too much, also where the device could not
// take another one.
func TestAndroidStaleVersion(t *testing.T) {
	l := newDroidLab(t)
	l.wifi("org.wifi")
	w := l.core.World()
	last := protocol.Profile(len(w.Profiles) - 1)
	st := &delivery.State{Platform: protocol.Android, Life: delivery.Enrolled, Profiles: []delivery.Assigned{{Profile: last, State: delivery.InstallFailed}}}
	for version, want := range map[uint32]bool{uint32(last): false, uint32(last) + 1: true, math.MaxUint32: true} {
		x := androidRound{h: l.h}
		x.msg.Applied.Profiles = []android.AppliedProfile{{ID: "org.wifi", Version: version, Status: android.Applied}}
		if got := x.exceeds(w, st); got != want {
			t.Errorf("version %d is too much: %t", version, got)
		}
	}
}
