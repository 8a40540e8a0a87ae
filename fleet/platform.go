package fleet

import (
	"context"
	"crypto"
	"crypto/tls"
	"fmt"
	"net/url"
	"path"
	"time"

	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/fleet/population"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/protocol/apple"
	"rollcall/protocol/windows"
)

// A Device is one device of any platform, without its network.
type Device interface {
	link.Device
	Due() protocol.Time                     // when it wants to begin a conversation by itself; 0: not until something happens
	Drops() protocol.Time                   // when profiles leave it by themselves (AUTH-27); 0: none will
	Expire(now protocol.Time) (dropped int) // has them leave while it is off the network
	Woken(address string) bool              // tells whether a push to that address, or with that magic, wakes it
	Identity() dialect.Identity
}

// Registrations is the device side of Firebase Cloud Messaging: store and forward by the id that a device gave itself.
type Registrations interface {
	Connect(id string, deliver func()) // what was kept is delivered before it returns
	Disconnect(id string)
	Unregister(id string)
	Idle(id string) // the device is not used from now on, and will doze
	Used(id string) // it is: what waits for a window of doze is delivered
}

// Channels is the device side of Windows' push service.
type Channels interface {
	OpenChannel(pfn, name string) (uri string) // for the app of a package family, on a device with that name
	CloseChannel(uri string)
	Connect(uri string, deliver func()) // what was kept is delivered before it returns
	Disconnect(uri string)
}

// Directory gives the tokens that devices of a directory enrol with: of a user on a device, or of the device alone.
type Directory interface {
	Token(upn, device string) (string, error)
}

// enrol runs the enrolment of device i.
func (f *Fleet) enrol(ctx context.Context, i int, by target.Invitation) (link.Report, error) {
	p := &f.population.Devices[i]
	if p.Has(population.Elsewhere) { // as the device says itself, whose server hears nothing of it
		return link.Report{}, errElsewhere
	}
	j := Joining{By: by, User: f.upn(i), Mode: modeOf(p), ADE: p.Enrolment == population.Automated, Now: f.clock.Time()}
	if f.byDirectory(i) {
		token, err := f.directory.Token(j.User, p.UDID)
		if err != nil {
			return link.Report{}, fmt.Errorf("token of the directory: %w", err)
		}
		j.Token, j.Way, j.Device = token, p.Enrolment, p.UDID
	}
	if f.packaged(i) {
		j.Package = f.pack
	}
	return Enrol(ctx, f.link, f.devices[i].Device, j)
}

var errElsewhere = fmt.Errorf("managed by another server: %w", windows.EAlreadyEnrolled)

// A Joining is how a device enrols.
type Joining struct {
	By   target.Invitation
	User string       // UPN of who enrols it; empty: nobody
	Mode android.Mode // of an Android device
	ADE  bool         // Apple's automated enrolment
	Now  time.Time

	// Of a Windows device that enrols with a token of its directory; Token empty: with By's.
	Token  string
	Way    population.Enrolment
	Device string // its id in the directory

	Package *Package // of a Windows device that enrols by one; nil: it does not
}

// A Package is a provisioning package for Windows devices: its bootstrap certificate, DER, and the key of that.
type Package struct {
	Certificate []byte
	Key         crypto.Signer
}

// NewPackage reads the certificate and the key of a package from PEM.
func NewPackage(bundle []byte) (*Package, error) {
	pair, err := tls.X509KeyPair(bundle, bundle)
	if err != nil {
		return nil, fmt.Errorf("provisioning package: %w", err)
	}
	return &Package{pair.Certificate[0], pair.PrivateKey.(crypto.Signer)}, nil // which all private keys are
}

// Enrol runs the enrolment of a device of any platform.
func Enrol(ctx context.Context, l *link.Link, of Device, j Joining) (link.Report, error) {
	server, token := halves(j.By.URL)
	switch d := of.(type) {
	case *dialect.Android:
		return l.EnrolAndroid(ctx, d, dialect.AndroidStart{URL: server, Token: j.By.Token, Mode: j.Mode})
	case *dialect.Windows:
		s := dialect.WindowsStart{Email: j.User, Discovery: server + windows.DiscoveryPath, Device: j.User == ""}
		s.Credential = windows.Credential{Kind: windows.Password, Username: s.Email, Password: token}
		if j.Token != "" {
			j.directory(&s)
		}
		if p := j.Package; p != nil { // nobody sits before it
			s.Credential, s.Automatic, s.Oobe = windows.Credential{Kind: windows.X509, Token: p.Certificate}, true, true
			s.Sign = func(dst []byte, e *windows.Envelope) ([]byte, error) { return windows.SignEnvelope(dst, e, p.Key) }
		}
		if s.Email != "" { // whoever enrols it sits before it
			d.SignIn(protocol.At(j.Now), dialect.LoginUser)
		}
		return l.EnrolWindows(ctx, d, s)
	default:
		return l.Enrol(ctx, d.(*dialect.Apple), dialect.Start{URL: j.By.URL, ADE: j.ADE, Awaiting: j.ADE})
	}
}

// directory has s be that of a device of the directory (windows.md section 9).
func (j *Joining) directory(s *dialect.WindowsStart) {
	s.Credential, s.Directory = windows.Credential{Kind: windows.JWT, Token: []byte(j.Token)}, j.Device
	s.Device = j.Way != population.DirectoryRegistered && j.Way != population.ByManager // whose is its user's, not the machine's
	switch j.Way {
	case population.GroupPolicy, population.CoManagement:
		s.Automatic = true
	case population.SelfDeployed:
		s.Automatic, s.Oobe, s.ZeroTouch = true, true, j.Device
	case population.Autopilot:
		s.Oobe, s.ZeroTouch = true, j.Device
	}
}

// packaged tells whether device i enrols by a provisioning package with a bootstrap certificate.
func (f *Fleet) packaged(i int) bool {
	return f.pack != nil && f.population.Devices[i].Enrolment == population.Packaged
}

// byDirectory tells whether device i enrols with a token of the directory.
func (f *Fleet) byDirectory(i int) bool {
	return f.directory != nil && InDirectory(&f.population.Devices[i])
}

// InDirectory tells whether d is a Windows device that enrols with a token of the directory that it belongs to: one of its user, or where
// it has none, its own.
func InDirectory(d *population.Device) bool {
	if d.Platform != protocol.Windows {
		return false
	}
	switch d.Enrolment {
	case population.Joined, population.DirectoryRegistered, population.GroupPolicy, population.ByManager, population.CoManagement, population.Autopilot, population.CloudPC:
		return !d.Userless()
	case population.SelfDeployed:
		return d.Userless()
	}
	return false
}

// halves are the server and the token of an enrolment link.
func halves(link string) (server, token string) {
	u, err := url.Parse(link)
	if err != nil {
		return "", ""
	}
	return u.Scheme + "://" + u.Host, path.Base(u.Path)
}

// due returns when device i next wants to act by itself: to talk, or to have another channel.
func (f *Fleet) due(i int) protocol.Time {
	d := f.devices[i].Device
	if w, ok := d.(*dialect.Windows); ok && f.wns != nil {
		return d.Due().Sooner(w.ChannelDue())
	}
	return d.Due()
}

// open opens a channel for device i that wants one, or another one: the session that it is in tells its server, else one at once. The device
// is not at anything else meanwhile.
func (f *Fleet) open(i int, now protocol.Time) {
	w, ok := f.devices[i].Device.(*dialect.Windows)
	if !ok || f.wns == nil {
		return
	}
	if due := w.ChannelDue(); due == 0 || due > now {
		return
	}
	pfn, old := w.Push()
	if old != "" {
		f.wns.Disconnect(old)
	}
	w.SetChannel(now, f.wns.OpenChannel(pfn, w.DeviceID()), dialect.PushReady)
	f.plug(i)
}

// address returns where device i is woken now; empty: nowhere.
func (f *Fleet) address(i int) string {
	switch d := f.devices[i].Device.(type) {
	case *dialect.Android:
		return d.Push()
	case *dialect.Windows:
		_, channel := d.Push()
		return channel
	default:
		_, token, _ := d.(*dialect.Apple).Push()
		return string(token)
	}
}

// plug connects device i to its push service, unplug takes it off.
func (f *Fleet) plug(i int) {
	address := f.address(i)
	if address == "" {
		return
	}
	down := f.pushDown.Load()
	switch d := f.devices[i].Device.(type) {
	case *dialect.Android:
		if f.fcm != nil && !down {
			f.fcm.Connect(address, func() { f.pushed(i, address) })
			f.laidDown(i)
		}
	case *dialect.Windows:
		if f.wns != nil && !down {
			f.wns.Connect(address, func() { f.pushed(i, address) })
		}
	case *dialect.Apple:
		topic, token, _ := d.Push()
		f.push.RegisterToken(topic, token)
		if down {
			return
		}
		f.push.Connect(token, func(payload []byte) {
			if magic, err := apple.DecodePush(payload); err == nil { // a device drops what is no MDM push
				f.pushed(i, magic)
			}
		})
	}
}

// laidDown leaves device i unused from now on, where that is its habit.
func (f *Fleet) laidDown(i int) {
	if f.population.Devices[i].Habits&population.Dozes != 0 {
		f.fcm.Idle(f.address(i))
	}
}

// used has somebody use device i for a moment.
func (f *Fleet) used(i int) {
	if f.fcm != nil && f.population.Devices[i].Habits&population.Dozes != 0 {
		f.fcm.Used(f.address(i))
		f.laidDown(i)
	}
}

func (f *Fleet) unplug(i int) {
	address := f.address(i)
	switch of := f.population.Devices[i].Platform; {
	case address == "":
	case of.Apple():
		f.push.Disconnect([]byte(address))
	case of == protocol.Android && f.fcm != nil:
		f.fcm.Disconnect(address)
	case of == protocol.Windows && f.wns != nil:
		f.wns.Disconnect(address)
	}
}

// forget has the push service forget an address that device i had; empty: it had none.
func (f *Fleet) forget(i int, address string) {
	switch of := f.population.Devices[i].Platform; {
	case address == "":
	case of.Apple():
		f.push.Unregister([]byte(address))
	case of == protocol.Android && f.fcm != nil:
		f.fcm.Unregister(address)
	case of == protocol.Windows && f.wns != nil:
		f.wns.CloseChannel(address)
	}
}

// apples is how many of Apple's devices are enrolled now. f.mu is held.
func (f *Fleet) apples() (n int) {
	for i := range f.devices {
		if f.devices[i].managed && f.population.Devices[i].Platform.Apple() {
			n++
		}
	}
	return n
}

// pushed takes a push for device i; the device hears of it when the fleet next looks. Called by the push service, also
// while f.mu is held.
func (f *Fleet) pushed(i int, magic string) {
	f.mailbox.Lock()
	lost := f.lost(i)
	if !lost {
		f.woken = append(f.woken, wake{i, magic, f.back == i+1})
	}
	f.mailbox.Unlock()
	if lost {
		f.tally.add(f.clock.Now(), func(c *Counts, _ *Bin) { c.Lost++ })
		return
	}
	select {
	case f.nudge <- struct{}{}:
	default:
	}
}
