package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// setUp makes the tenant what the story begins with: authority and push certificate.
func (f *Fleet) setUp(ctx context.Context) error {
	t := &f.plan.Tenant
	tenant := target.Tenant{
		Authority:      f.population.Tenant.Authority,
		Coexistence:    f.population.Tenant.Coexistence,
		Release:        uint16(t.Release),
		AcceptUserless: t.BMS.Userless == plan.Accept,
		Lifetime:       target.SecondsOf(time.Duration(t.Identity.Lifetime)),
		Window:         target.SecondsOf(time.Duration(t.Identity.Window)),
		Renew:          target.SecondsOf(time.Duration(t.Identity.Retry)),
	}
	if err := f.target.SetUp(ctx, tenant); err != nil {
		return fmt.Errorf("set up the tenant: %w", err)
	}
	if err := f.permit(ctx); err != nil {
		return err
	}
	slot, ok := f.target.(PushSlot)
	if !ok {
		return nil // the target has its own
	}
	topic, end := t.APNs.Topic, f.start.Add(time.Duration(t.APNs.Expires))
	own := &f.population.Tenant.APNs // an export may know better
	if own.Topic != "" {
		topic = own.Topic
	}
	if own.Expires > f.start {
		end = own.Expires
	}
	var err error
	f.first, err = f.upload(ctx, slot, topic, end.Sub(f.clock.Now()))
	return err
}

// addUsers tells the target who the users are, with the licences of [Cast.UsersAs].
func (f *Fleet) addUsers(ctx context.Context, as protocol.Authority) error {
	for batch := range slices.Chunk(f.cast.UsersAs(as), 1000) {
		if err := f.target.AddUsers(ctx, batch); err != nil {
			return fmt.Errorf("add users: %w", err)
		}
	}
	return nil
}

// relicense gives the users, who are there with the licences of UsersAs(was), those of UsersAs(as). Devices may move by it, so
// it is no mere change of users.
func (f *Fleet) relicense(ctx context.Context, was, as protocol.Authority) error {
	before, list := f.cast.UsersAs(was), []target.Licence(nil)
	for i, u := range f.cast.UsersAs(as) {
		if u.IntuneLicence != before[i].IntuneLicence || u.CoManaged != before[i].CoManaged {
			list = append(list, target.Licence{UPN: u.UPN, Intune: u.IntuneLicence, Basic: u.BasicLicence, CoManaged: u.CoManaged, Premium: u.Premium})
		}
	}
	if list == nil {
		return nil
	}
	t, ok := f.target.(Tenancy)
	if !ok {
		return errNoTenancy
	}
	return setLicences(ctx, t, list, nil)
}

// upload makes a push certificate and has it taken into use.
func (f *Fleet) upload(ctx context.Context, slot PushSlot, topic string, lifetime time.Duration) (certificate []byte, err error) {
	certificate, err = slot.MakeTestPush(ctx, topic, lifetime)
	if err != nil {
		return nil, fmt.Errorf("make a push certificate: %w", err)
	}
	u := target.PushUpload{Certificate: certificate, AppleID: "push@example.com", Confirm: topic != f.topic} // the plan means it
	if asks, ok := slot.(interface {
		PreviewPush(ctx context.Context, u target.PushUpload) (target.PushChange, error)
	}); ok && u.Confirm {
		change, err := asks.PreviewPush(ctx, u)
		if err != nil {
			return nil, fmt.Errorf("preview a push certificate: %w", err)
		}
		u.Count = change.Stranded
	}
	if err := slot.UploadPush(ctx, u); err != nil {
		return nil, fmt.Errorf("upload a push certificate: %w", err)
	}
	f.mu.Lock()
	f.topic, f.pushEnd = topic, f.clock.Now().Add(lifetime)
	f.mu.Unlock()
	return certificate, nil
}

// failUpload uploads a certificate that no server takes: that of the beginning again (AUTH-34), or one made with another
// Apple ID, whose topic nobody confirms (AUTH-32). The one in use stays.
func (f *Fleet) failUpload(ctx context.Context, c plan.Certificate) error {
	slot, ok := f.target.(PushSlot)
	if !ok {
		return errors.New("upload a push certificate: this target's cannot be renewed from here")
	}
	u := target.PushUpload{Certificate: f.first, AppleID: "push@example.com"}
	if c == plan.OtherAppleID {
		var err error
		if u.Certificate, err = slot.MakeTestPush(ctx, f.topic+"-2", year); err != nil {
			return fmt.Errorf("make a push certificate: %w", err)
		}
		u.AppleID = "other@example.com"
	}
	err := slot.UploadPush(ctx, u)
	no, refused := errors.AsType[*target.Error](err)
	switch {
	case err == nil:
		return fmt.Errorf("a push certificate that is %s was taken: want a refusal", c)
	case !refused:
		return fmt.Errorf("upload a push certificate: %w", err)
	}
	f.outcome = en.Say("Refused by %s: %s.", no.Rule, no.Message)
	return nil
}

// year is how long a push certificate lives (AUTH-33).
const year = 365 * 24 * time.Hour

// changePush uploads a certificate for another year, of the present topic or of another (AUTH-32).
func (f *Fleet) changePush(ctx context.Context, now protocol.Time, c plan.Certificate) error {
	slot, ok := f.target.(PushSlot)
	if !ok {
		return errors.New("renew the push certificate: this target's cannot be renewed from here")
	}
	topic := f.topic
	if c == plan.OtherTopic {
		topic += "-2"
		f.mu.Lock()
		f.strands()
		f.outcome = en.Say("It strands the %d devices that are enrolled.", f.apples())
		f.mu.Unlock()
	}
	if _, err := f.upload(ctx, slot, topic, year); err != nil {
		return err
	}
	f.turnGap(now, false)
	return nil
}

// An ownProfile is a profile of an authority: its namesake at another one is another profile.
type ownProfile struct {
	name  string
	owner protocol.Authority
}

// SlotOf is the authority whose profiles are assigned, and whose push certificate is in use, as the story begins.
func SlotOf(p *population.Population) protocol.Authority {
	if p.Tenant.Coexistence {
		return protocol.Intune
	}
	return p.Tenant.Authority
}

// identifierOf is the identifier of a profile that a plan names.
func identifierOf(profile string) string { return "example." + profile }

// Document makes the profile that a plan names, and tells its identifier.
func Document(p *plan.Plan, name string) (identifier string, document []byte) {
	i := slices.IndexFunc(p.Profiles, func(p plan.Profile) bool { return p.Name == name })
	return identifierOf(name), DocumentOf(name, p.Profiles[i].Family)
}

// DocumentOf makes a profile of a name and family.
func DocumentOf(name string, family protocol.Family) []byte {
	return apple.EncodeProfile(apple.NewProfile(identifierOf(name), name, family))
}

// assign gives a profile of the plan to a group; the document is made the first time that it is used.
// assign gives a profile of the plan to a group. of is whose profile it is; Unknown: of who assigns profiles now.
func (f *Fleet) assign(ctx context.Context, a *plan.Assignment, of protocol.Authority) error {
	var document []byte
	made := ownProfile{a.Assign, cmp.Or(of, f.owner)}
	if !f.made[made] {
		_, document = Document(f.plan, a.Assign)
	}
	f.assigns(f.clock.Now(), a.Assign, a.Group, true)
	apply := f.target.ApplyProfile
	if made.owner != f.owner {
		own, ok := f.target.(*target.Rollcall)
		if !ok {
			return fmt.Errorf("assign profile %s: only a rollcall server has profiles of two authorities", a.Assign)
		}
		apply = func(ctx context.Context, name string, document []byte, groups []string) error {
			_, err := own.PutProfile(ctx, target.ProfileChange{Authority: of, Name: name, Document: document, Groups: groups})
			return err
		}
	}
	if err := apply(ctx, a.Assign, document, []string{a.Group}); err != nil {
		return fmt.Errorf("assign profile %s: %w", a.Assign, err)
	}
	f.made[made] = true
	return nil
}

func (f *Fleet) unassign(ctx context.Context, a *plan.Assignment) error {
	f.assigns(f.clock.Now(), a.Unassign, a.Group, false)
	if err := f.target.Unassign(ctx, a.Unassign, a.Group); err != nil {
		return fmt.Errorf("unassign profile %s: %w", a.Unassign, err)
	}
	return nil
}

var orders = map[protocol.CommandKind]target.OrderKind{
	protocol.DeviceInformation:        target.Information,
	protocol.SecurityInfo:             target.Security,
	protocol.ProfileList:              target.ProfileList,
	protocol.CertificateList:          target.Certificates,
	protocol.InstalledApplicationList: target.Applications,
	protocol.Lock:                     target.Lock,
	protocol.Restart:                  target.Restart,
	protocol.Erase:                    target.Wipe,
	protocol.Retire:                   target.Retire,
}

// OrderOf is what the administration calls a plan's command.
func OrderOf(k protocol.CommandKind) target.OrderKind { return orders[k] }

// order sends a command to the devices that are enrolled; the others could not take it.
func (f *Fleet) order(ctx context.Context, c *plan.Command, salt uint64) error {
	f.mu.Lock()
	devices := slices.DeleteFunc(f.population.Pick(c.To, f.seed, salt), func(i int) bool { return !f.devices[i].managed })
	f.mu.Unlock()
	for _, i := range devices {
		if err := f.orderOf(ctx, i, c.Kind, salt); err != nil {
			return err
		}
	}
	return nil
}

// orderOf sends device i a command; what the target refuses is noted.
func (f *Fleet) orderOf(ctx context.Context, i int, kind protocol.CommandKind, salt uint64) error {
	d := &f.population.Devices[i]
	order := target.Order{Kind: OrderOf(kind)}
	if d.Platform == protocol.MacOS && (kind == protocol.Lock || kind == protocol.Erase) {
		order.PIN = f.draws.PIN(i, salt)
	}
	asked := f.clock.Now()
	id, err := f.target.Order(ctx, f.Name(i), order)
	if no, refused := errors.AsType[*target.Error](err); refused {
		f.note(f.clock.Now(), i, Refused, fmt.Sprintf("%s: %s", kind, no.Message)) // such as a second lock
	} else if err != nil {
		return fmt.Errorf("%s for %s: %w", kind, d.UDID, err)
	}
	f.ordered(asked, i, id, kind)
	return nil
}
