//go:build !agentonly

package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/server/delivery"
)

// Machines with real agents live through the guidance's story (AUTH-30, AUTH-31, AUTH-20, AUTH-16, AUTH-14) and through what happens to
// machines: a cable is pulled, an address changes, the server moves behind a proxy, a clock is wrong, a disk is full. Each stays the one
// device that it is.
func TestMachinesInNamespaces(t *testing.T) {
	machines := 3
	if n, err := strconv.Atoi(os.Getenv("ROLLCALL_MACHINES")); err == nil {
		machines = n
	}
	onCampus(t, func(t *testing.T) { tellStory(t, newCampus(t, machines)) })
}

func tellStory(t *testing.T, s *campus) {
	ctx := t.Context()
	disk := s.machines[1] // small
	if err := errors.Join(os.Mkdir(disk.state, 0o700), syscall.Mount("tmpfs", disk.state, "tmpfs", 0, "size=256k,mode=0700")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(disk.state, syscall.MNT_DETACH) })
	s.serve(campusServer)
	stopFollowing := s.follow()

	s.act("machines join")
	units := len(s.machines)
	if err := s.api.SetSettings(ctx, target.Settings{Units: &units}); err != nil {
		t.Fatal(err)
	}
	var users []target.User
	for _, m := range s.machines {
		users = append(users, target.User{UPN: m.user, BasicLicence: true, Groups: []string{"lab"}})
	}
	if err := s.api.AddUsers(ctx, users); err != nil {
		t.Fatal(err)
	}
	mail := apple.NewProfile("org.example.mail", "Mail", protocol.Email)
	if err := s.api.ApplyProfile(ctx, "mail", apple.EncodeProfile(mail), []string{"lab"}); err != nil {
		t.Fatal(err)
	}
	together(s.machines, func(m *campusMachine) {
		line := m.line()
		if m == s.machines[0] { // its clock is wrong in all that follows
			line = append(line, "--clock-offset", "-2h")
		}
		m.must("enroll", line...)
		is := m.status()
		m.udid, m.serial = is.UDID, is.Certificate.Serial
	})
	s.sees(delivery.WhatRegistered, "office365", s.machines...)
	together(s.machines, (*campusMachine).start)
	together(s.machines, (*campusMachine).connected)
	s.sees(delivery.WhatProfileInstalled, "", s.machines...)

	s.act("Intune is added, and the gap opens")
	change := target.Change{Authority: "coexistence"}
	shown, err := s.api.PreviewAuthority(ctx, change)
	if err == nil {
		change.Confirm = shown.ID
		_, err = s.api.SetAuthority(ctx, change)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range s.machines {
		m.refuses("AUTH-30", "check-in")
		if is := m.status(); is.State != "managed" || is.Change == nil || is.Change.Epoch != 2 {
			t.Errorf("%s in the gap: %+v", m.name, is)
		}
	}
	s.sees(delivery.WhatBlocked, "", s.machines...)

	s.act("a renewed certificate closes it, and the machines are woken")
	pem, err := s.api.MakeTestPush(ctx, "", 400*24*time.Hour)
	if err == nil {
		err = s.api.UploadPush(ctx, target.PushUpload{Certificate: pem})
	}
	if err != nil {
		t.Fatal(err)
	}
	s.step(8 * time.Hour) // over which they are spread
	s.sees(delivery.WhatReregistered, "", s.machines...)

	s.act("all users but one are licensed, and their machines move")
	moves, stays := s.machines[1:], s.machines[0]
	var licences []target.Licence
	for _, m := range moves {
		licences = append(licences, target.Licence{UPN: m.user, Assign: []string{"intune"}})
	}
	licensed, err := s.api.PreviewLicences(ctx, licences)
	if err == nil {
		_, err = s.api.SetLicences(ctx, licences, licensed.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.step(8 * time.Hour)
	s.sees(delivery.WhatMoved, "", moves...)

	s.act("they are locked")
	lock := func(machines ...*campusMachine) {
		t.Helper()
		for _, m := range machines {
			if _, err := s.api.Order(ctx, m.udid, target.Order{Kind: target.Lock}); err != nil {
				t.Fatal(err)
			}
		}
		s.step(time.Second) // a driven server does what is due when it is stepped
	}
	lock(moves...)
	s.sees(delivery.WhatReported, "DeviceLock: Acknowledged", moves...)
	if _, err := s.api.Order(ctx, stays.udid, target.Order{Kind: target.Lock}); err == nil {
		t.Error("a device that stays under Basic Mobility and Security was locked (AUTH-46)")
	}

	s.act("a cable is pulled")
	cut := moves[len(moves)-1]
	s.in(cut.name, "link set eth0 down")
	lock(cut)
	cut.refuses("no network", "check-in")
	s.in(cut.name, "link set eth0 up")
	s.sees(delivery.WhatReported, "DeviceLock: Acknowledged", cut)

	s.act("an address changes")
	s.in(cut.name, "addr del "+cut.address()+"/24 dev eth0", "addr add 10.9.0.200/24 dev eth0")
	cut.must("check-in")
	cut.connected()
	lock(cut)
	s.sees(delivery.WhatReported, "DeviceLock: Acknowledged", cut)

	s.act("a disk is full")
	fill(t, disk.state)
	lock(disk)
	disk.refuses("make free space", "check-in")
	if err := os.Remove(filepath.Join(disk.state, "ballast")); err != nil {
		t.Fatal(err)
	}
	disk.must("check-in")
	s.sees(delivery.WhatReported, "DeviceLock: Acknowledged", disk)
	stopFollowing()

	s.act("the server moves behind a proxy")
	s.stop()
	const behind = "10.9.0.2"
	s.in("server", "addr del "+campusServer+"/24 dev eth0", "addr add "+behind+"/24 dev eth0")
	if err := s.ip("addr add " + campusServer + "/24 dev switch"); err != nil {
		t.Fatal(err)
	}
	for _, m := range s.machines { // whose address this is now would be asked anew in half a minute
		s.in(m.name, "neigh flush all")
	}
	s.forward(campusServer+":8443", behind+":8443")
	s.forward(campusServer+":"+courierPort, behind+":"+courierPort)
	s.serve(behind)
	stopFollowing = s.follow()
	together(s.machines, (*campusMachine).connected)
	lock(moves...)
	s.sees(delivery.WhatReported, "DeviceLock: Acknowledged", moves...)

	s.act("they are who they were")
	for _, m := range s.machines {
		d, err := s.api.Device(ctx, m.udid)
		want, by := protocol.Intune, protocol.RuleEntitled
		if m == stays {
			want, by = protocol.Office365, protocol.RuleBasic
		}
		if is := m.status(); err != nil || is.State != "managed" || is.Certificate.Serial != m.serial || is.Certificate.SHA256 != d.Identity.Fingerprint || d.Registered != want || is.Authority != want || is.Rule != by || d.Queue != 0 || !is.Runs || is.Stream.Since.IsZero() {
			t.Errorf("%s: %+v, and the server has %+v, %v", m.name, is, d, err)
		}
		if told := m.must("journal"); strings.Contains(told, "from office365 to intune by AUTH-14") != (m != stays) {
			t.Errorf("%s tells of its move: %s", m.name, told)
		}
	}
	n := 0
	for _, err := range s.api.Devices(ctx, target.Filter{}) {
		if n++; err != nil {
			t.Fatal(err)
		}
	}
	if n != len(s.machines) {
		t.Errorf("%d machines are %d devices", len(s.machines), n)
	}

	s.act("a week on, what Basic Mobility and Security had is on the one that stays, and there alone (AUTH-21, AUTH-23)")
	s.step(8 * 24 * time.Hour)
	for _, m := range s.machines {
		m.must("check-in")
		if had := slices.Contains(m.profiles(), "org.example.mail"); had != (m == stays) {
			t.Errorf("%s has %q", m.name, m.profiles())
		}
	}

	s.act("a year on, all renew but one that is off (AUTH-41)")
	cut.halt()
	there := slices.DeleteFunc(slices.Clone(s.machines), func(m *campusMachine) bool { return m == cut })
	s.step(320 * 24 * time.Hour)
	s.sees(delivery.WhatRenewed, "", there...)

	s.act("that one's identity ends, and its record goes half a year later (AUTH-42, AUTH-43)")
	s.step(40 * 24 * time.Hour)
	cut.refuses("the certificate of this machine ended on", "check-in")
	if is := cut.status(); is.State != "managed" || is.Certificate.Serial != cut.serial {
		t.Errorf("%s has lost more than its time: %+v", cut.name, is)
	}
	s.step(180 * 24 * time.Hour)
	if last := s.sees(delivery.WhatRecordRemoved, "", cut); last.Rule != protocol.RuleRecordKept {
		t.Errorf("the record went by %q", last.Rule)
	}
	for _, m := range there {
		if is := m.status(); is.State != "managed" || is.Certificate.Serial == m.serial {
			t.Errorf("%s: %+v", m.name, is)
		}
	}
	together(there, (*campusMachine).halt)
	stopFollowing()
}

// fill leaves no room on the disk of a folder.
func fill(t *testing.T, dir string) {
	f, err := os.Create(filepath.Join(dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4<<10))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

// together does the same with each machine at once. Where one could not, the story ends: it would wait for that one for ever.
func together(machines []*campusMachine, do func(m *campusMachine)) {
	var all sync.WaitGroup
	for _, m := range machines {
		all.Go(func() { do(m) })
	}
	all.Wait()
	if t := machines[0].campus.t; t.Failed() {
		t.FailNow()
	}
}
