package target

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/android"
)

// packageLife is how long a package of a run is good for, where the run does not end it.
const packageLife = 24 * time.Hour

// Steps are what an administrator of some server can do, one by one. A step that is nil cannot be done there: whoever
// wants it says so instead. Safe for concurrent use.
type Steps struct {
	Name string // of the adapter, for reports

	// Enrol gets the right to enrol one device of the platform: a profile, or where the device finds it. Devices of one owner
	// may be the same user's; at most ten of an owner's are enrolled at once.
	Enrol func(ctx context.Context, p protocol.Platform, owner int) (Enrolment, error)
	// EnrolAndroid gets an enrolment token for one Android device of a mode (FULLY_MANAGED); owner 0 is nobody.
	EnrolAndroid func(ctx context.Context, mode android.Mode, owner int) (token string, err error)
	// EnrolWindows gets the name and the password with which one Windows device enrols; owner 0 is nobody.
	EnrolWindows func(ctx context.Context, owner int) (user, password string, err error)
	// Package makes a provisioning package for so many Windows machines: its bootstrap certificate and the key of that, PEM.
	Package func(ctx context.Context, machines int) (bundle []byte, err error)
	// Unlicensed is EnrolWindows for a user who has no licence for being managed, where others have one.
	Unlicensed func(ctx context.Context) (user, password string, err error)
	// Profile has a device get a document under a name, alone or with others of its owner's; nil takes it away again. The documents of
	// Windows are SyncML.
	Profile func(ctx context.Context, device, name string, document []byte) error
	// Queue queues a command for a device and wakes it. The id is the command's UUID; empty: the server did not say.
	Queue func(ctx context.Context, device string, o Order) (id string, err error)
	// Known tells how a device stands. An error that [IsNotFound] takes is no device.
	Known func(ctx context.Context, device string) (Standing, error)
	// Forget removes a device: at once where it is not enrolled any more, else when it has heard that it is to leave, even by erasing itself.
	Forget func(ctx context.Context, device string) error
	// Devices lists the devices that the server has, each in a few words that change when anything of it does.
	Devices func(ctx context.Context) (map[string]string, error)
	// Assign assigns a serial number to the tenant for automated enrolment by an owner; 0 is nobody.
	Assign func(ctx context.Context, serial string, owner int, awaiting bool) error

	// UploadPush gives the server a push certificate, PEM with its key. Confirm takes another topic too.
	UploadPush func(ctx context.Context, pem []byte, confirm bool) error
	// PushState tells what the server says of its push certificate.
	PushState func(ctx context.Context) (Push, error)
	// SetAuthority changes the tenant's authority to another one and back when it is called again; it opens the gap of AUTH-30.
	SetAuthority func(ctx context.Context) error

	// Consented tells whether the consent for Google's services is granted, Consent grants it, for good (AUTH-05).
	Consented func(ctx context.Context) (bool, error)
	Consent   func(ctx context.Context) error

	// Clock reads the server's clock, Step sets it ahead. Step is nil where the server's time is the true one.
	Clock func(ctx context.Context) (time.Time, error)
	Step  func(ctx context.Context, to time.Time) error

	// Leave removes what Enrol and Assign made for the devices' sake, once those have left, and ends what Package made; nil: they make nothing.
	Leave func(ctx context.Context) error
}

// An Enrolment is an enrolment profile, or the URL behind which it is.
type Enrolment struct {
	Profile []byte
	URL     string
}

// A Standing is how a device stands with its server. What a server does not tell is zero.
type Standing struct {
	Enrolled  bool
	Authority string    // who manages it
	Epoch     uint32    // since which change of the tenant's authority
	User      string    // whose it is
	Queue     int       // commands without a final answer
	Commands  []Command // newest first
}

// IsNotFound tells whether err is a server's word that it does not have what was asked for.
func IsNotFound(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Status == http.StatusNotFound
}

// queue is Order that tells the command's id.
func (r *Rollcall) queue(ctx context.Context, device string, o Order) (id string, err error) {
	var out struct {
		Command string `json:"command"`
	}
	err = r.call(ctx, http.MethodPost, "/rollcall/v1/devices/"+url.PathEscape(device)+"/"+url.PathEscape(string(o.Kind)), o, &out)
	return out.Command, err
}

// Steps are the steps of our own server. Devices enrol for users of the domain, which are added if they are not there, and
// leave with them.
func (r *Rollcall) Steps(ctx context.Context, domain string) (*Steps, error) {
	clock, err := r.Clock(ctx)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	users, profiles, packages := map[string]bool{}, map[string]bool{}, []string(nil)
	user := func(ctx context.Context, owner int) (string, error) {
		upn := fmt.Sprintf("conform-%d@%s", owner, domain)
		mu.Lock()
		users[upn] = true
		mu.Unlock()
		return upn, r.AddUsers(ctx, []User{{UPN: upn, Name: "rollcall conform", Groups: []string{upn}, IntuneLicence: true, BasicLicence: true}})
	}
	s := &Steps{
		Name: "rollcall",
		Enrol: func(ctx context.Context, p protocol.Platform, owner int) (Enrolment, error) {
			upn, err := user(ctx, owner)
			if err != nil {
				return Enrolment{}, err
			}
			links, err := r.Invite(ctx, []string{upn})
			if err != nil {
				return Enrolment{}, err
			}
			return Enrolment{URL: links[0].URL + "?platform=" + p.String()}, nil
		},
		EnrolAndroid: func(ctx context.Context, mode android.Mode, owner int) (token string, err error) {
			upn := ""
			if owner != 0 {
				if upn, err = user(ctx, owner); err != nil {
					return "", err
				}
			}
			made, err := r.InviteFor(ctx, []string{upn}, InviteOptions{Platform: protocol.Android, Mode: mode})
			if err != nil {
				return "", err
			}
			return made[0].Token, nil
		},
		EnrolWindows: func(ctx context.Context, owner int) (upn, password string, err error) {
			if owner != 0 {
				if upn, err = user(ctx, owner); err != nil {
					return "", "", err
				}
			}
			return r.password(ctx, upn)
		},
		Package: func(ctx context.Context, machines int) ([]byte, error) {
			name := "conform-" + rand.Text() // no two packages have had one name
			p, err := r.MakePackage(ctx, name, machines, packageLife)
			mu.Lock()
			defer mu.Unlock()
			packages = append(packages, name)
			return p.Bundle, err
		},
		Unlicensed: func(ctx context.Context) (upn, password string, err error) {
			upn = "conform-unlicensed@" + domain
			mu.Lock()
			users[upn] = true
			mu.Unlock()
			if err := r.AddUsers(ctx, []User{{UPN: upn, Name: "rollcall conform"}}); err != nil {
				return "", "", err
			}
			return r.password(ctx, upn)
		},
		Profile: func(ctx context.Context, device, name string, document []byte) error {
			d, err := r.Device(ctx, device)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if document == nil {
				delete(profiles, name)
				return r.RemoveProfile(ctx, name)
			}
			profiles[name] = true
			return r.ApplyProfile(ctx, name, document, []string{d.User}) // each user of a run is a group
		},
		Queue: r.queue,
		Known: func(ctx context.Context, device string) (Standing, error) {
			d, err := r.Device(ctx, device)
			if err != nil {
				return Standing{}, err
			}
			return Standing{Enrolled: d.Life == "enrolled", Authority: d.Registered.String(), Epoch: d.Epoch, User: d.User, Queue: d.Queue, Commands: d.Commands}, nil
		},
		Forget: func(ctx context.Context, device string) error { return r.Delete(ctx, device, 1) }, // what a run enrolled is nobody's to lose
		Devices: func(ctx context.Context) (map[string]string, error) {
			all := map[string]string{}
			for d, err := range r.Devices(ctx, Filter{}) {
				if err != nil {
					return nil, err
				}
				all[d.ID] = fmt.Sprintf("%s, registered with %s in epoch %d, identity %.16s, reachable %t", d.Life, d.Registered, d.Epoch, d.Identity.Fingerprint, d.Reachable)
			}
			return all, nil
		},
		Assign: func(ctx context.Context, serial string, owner int, awaiting bool) error {
			var upn string
			if owner != 0 {
				var err error
				if upn, err = user(ctx, owner); err != nil {
					return err
				}
			}
			return r.AddSerials(ctx, []Serial{{Serial: serial, User: upn, Awaiting: awaiting}})
		},
		UploadPush: func(ctx context.Context, pem []byte, confirm bool) error {
			u := PushUpload{Certificate: pem}
			if !confirm {
				return r.UploadPush(ctx, u)
			}
			change, err := r.PreviewPush(ctx, u)
			if err != nil {
				return err
			}
			u.Confirm, u.Count = true, change.Stranded
			return r.UploadPush(ctx, u)
		},
		PushState:    r.Push,
		SetAuthority: r.turn,
		Consented: func(ctx context.Context) (bool, error) {
			all, err := r.Consents(ctx)
			return slices.ContainsFunc(all, func(c Consent) bool { return c.Service == googleServices && c.Granted }), err
		},
		Consent: func(ctx context.Context) error { return r.Consent(ctx, googleServices) },
		Clock: func(ctx context.Context) (time.Time, error) {
			c, err := r.Clock(ctx)
			return c.Now.Time(), err
		},
		Leave: func(ctx context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			var errs []error
			for _, name := range slices.Sorted(maps.Keys(profiles)) {
				if err := r.RemoveProfile(ctx, name); err != nil && !IsNotFound(err) {
					errs = append(errs, fmt.Errorf("profile %s: %w", name, err))
				}
			}
			for _, name := range packages {
				if err := r.RevokePackage(ctx, name); err != nil && !IsNotFound(err) {
					errs = append(errs, fmt.Errorf("package %s: %w", name, err))
				}
			}
			for _, upn := range slices.Sorted(maps.Keys(users)) {
				if err := r.RemoveUser(ctx, upn); err != nil && !IsNotFound(err) {
					errs = append(errs, fmt.Errorf("user %s: %w", upn, err))
				}
			}
			return errors.Join(errs...)
		},
	}
	if clock.Driven {
		s.Step = func(ctx context.Context, to time.Time) error {
			_, err := r.Step(ctx, protocol.At(to))
			return err
		}
	}
	return s, nil
}

// password invites a Windows device of a user; empty: nobody's.
func (r *Rollcall) password(ctx context.Context, upn string) (user, password string, err error) {
	links, err := r.Invite(ctx, []string{upn})
	if err != nil {
		return "", "", err
	}
	return upn, path.Base(links[0].URL), nil // the token that the link ends with
}

// googleServices is what the consent for Google's services is called, as in Graph.
const googleServices = "androidManagedStore"

// turn changes the authority as far as the tenant allows it: between Intune alone and co-management (AUTH-04).
func (r *Rollcall) turn(ctx context.Context) error {
	state, err := r.Authority(ctx)
	if err != nil {
		return err
	}
	to := Change{Authority: "sccm"}
	switch state.Name {
	case "sccm":
		to.Authority = "intune"
	case "intune":
	default:
		return fmt.Errorf("the tenant is under %s: only one under intune or sccm can be changed there and back (AUTH-04)", state.Name)
	}
	p, err := r.PreviewAuthority(ctx, to)
	if err == nil {
		to.Confirm = p.ID
		_, err = r.SetAuthority(ctx, to)
	}
	return err
}

// FromProfile are the steps of a server of which no more is known than a profile with which anybody may enrol.
func FromProfile(profile []byte) *Steps {
	return &Steps{Name: "profile", Enrol: func(context.Context, protocol.Platform, int) (Enrolment, error) {
		return Enrolment{Profile: profile}, nil
	}}
}

// FromLink are the steps of a server that hands out an enrolment profile to whoever asks at address.
func FromLink(address string) *Steps {
	return &Steps{Name: "link", Enrol: func(_ context.Context, p protocol.Platform, _ int) (Enrolment, error) {
		return Enrolment{URL: strings.ReplaceAll(address, "{platform}", p.String())}, nil
	}}
}
