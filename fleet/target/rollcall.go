package target

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/android"
)

const (
	pageSize  = 1000     // rows that one request for a list asks for
	batchSize = 5000     // rows that one request brings; the server takes 16 MiB
	maxAnswer = 64 << 20 // bytes that are read of one answer
)

// Rollcall is the client of our own server's admin API. Its fields are set before use.
type Rollcall struct {
	URL   string       // https://host:port, without the API's path
	Token string       // bearer token
	HTTP  *http.Client // nil: http.DefaultClient
}

var _ Target = (*Rollcall)(nil)

// An Error is a server's "no". Where a rule decided on what was asked, it unwraps to a [*protocol.Refusal]; where what was
// asked could not be read, to the rule alone.
type Error struct {
	Status  int           `json:"-"` // HTTP
	Rule    protocol.Rule `json:"rule"`
	Message string        `json:"message"`
	Field   string        `json:"field"`   // of the request; empty: none in particular
	Preview *Preview      `json:"preview"` // with AUTH-35 and HST-070: what would happen now
}

func (e *Error) Error() string {
	s := e.Message
	if e.Field != "" {
		s = e.Field + ": " + s
	}
	if e.Rule != "" {
		s = string(e.Rule) + ": " + s
	}
	return s
}

func (e *Error) Unwrap() error {
	if e.Rule != "" && e.Status/100 == 4 && e.Status != http.StatusUnauthorized { // to an administrator; else to a stranger, or for another time
		return &protocol.Refusal{Rule: e.Rule, Reason: e.Message}
	}
	if e.Rule != "" {
		return e.Rule
	}
	return nil
}

// Health tells whether the server answers at all; it needs no token.
func (r *Rollcall) Health(ctx context.Context) error {
	return r.call(ctx, http.MethodGet, "/healthz", nil, nil)
}

// SetUp sets the tenant's authority and settings.
func (r *Rollcall) SetUp(ctx context.Context, t Tenant) error {
	t.Epoch, t.ChangedAt = 0, 0
	return r.call(ctx, http.MethodPost, "/rollcall/v1/tenant", t, nil)
}

// Tenant returns the tenant's authority and settings.
func (r *Rollcall) Tenant(ctx context.Context) (t Tenant, err error) {
	err = r.call(ctx, http.MethodGet, "/rollcall/v1/authority", nil, &t)
	return t, err
}

// AddUsers adds users, or changes those that exist; in batches, so that only the first error's batch and those after it
// are missing.
func (r *Rollcall) AddUsers(ctx context.Context, users []User) error {
	for batch := range slices.Chunk(users, batchSize) {
		if err := r.call(ctx, http.MethodPost, "/rollcall/v1/users", map[string]any{"users": batch}, nil); err != nil {
			return err
		}
	}
	return nil
}

// Users lists the tenant's users by UPN.
func (r *Rollcall) Users(ctx context.Context) iter.Seq2[User, error] {
	return list[User](ctx, r, "/rollcall/v1/users", "users", nil)
}

// Invite makes one enrolment link for each user, in batches.
func (r *Rollcall) Invite(ctx context.Context, upns []string) ([]Invitation, error) {
	return r.InviteFor(ctx, upns, InviteOptions{})
}

// InviteOptions are what enrolment links are good for.
type InviteOptions struct {
	Platform protocol.Platform // kind of device; zero: any of Apple's
	Mode     android.Mode      // of Android devices alone
	Lifetime time.Duration     // 0: the server's default
}

// InviteFor makes one enrolment link for each user, in batches.
func (r *Rollcall) InviteFor(ctx context.Context, upns []string, o InviteOptions) ([]Invitation, error) {
	var all []Invitation
	for batch := range slices.Chunk(upns, batchSize) {
		var out struct {
			Invitations []Invitation `json:"invitations"`
			CA          string       `json:"ca"`
		}
		in := map[string]any{"users": batch}
		if o.Platform != protocol.NoPlatform {
			in["platform"] = o.Platform.String()
		}
		if o.Mode != "" {
			in["mode"] = o.Mode
		}
		if o.Lifetime > 0 {
			in["lifetime_seconds"] = int64(o.Lifetime / time.Second)
		}
		if err := r.call(ctx, http.MethodPost, "/rollcall/v1/invitations", in, &out); err != nil {
			return all, err
		}
		if len(out.Invitations) != len(batch) {
			return all, fmt.Errorf("%d invitations for %d users", len(out.Invitations), len(batch))
		}
		for _, i := range out.Invitations {
			i.CA = out.CA
			all = append(all, i)
		}
	}
	return all, nil
}

// A Serial is a device that Apple's enrolment service assigned to the tenant.
type Serial struct {
	Serial   string `json:"serial"`
	User     string `json:"user,omitempty"`     // UPN; empty: userless
	Awaiting bool   `json:"awaiting,omitempty"` // hold it in Setup Assistant until its first profiles are there
}

// AddSerials assigns devices to the tenant for automated enrolment, in batches.
func (r *Rollcall) AddSerials(ctx context.Context, serials []Serial) error {
	for batch := range slices.Chunk(serials, batchSize) {
		if err := r.call(ctx, http.MethodPost, "/rollcall/v1/ade/serials", map[string]any{"serials": batch}, nil); err != nil {
			return err
		}
	}
	return nil
}

// A Profile is one named profile of the tenant.
type Profile struct {
	Name       string             `json:"name"`
	Number     uint32             `json:"number"`    // of the newest version
	Authority  protocol.Authority `json:"authority"` // whose it is
	Family     protocol.Family    `json:"family"`
	Identifier string             `json:"identifier"`
	Size       int                `json:"size"` // bytes
	Groups     []string           `json:"groups"`
}

// A ProfileChange is a new version of a profile, new assignments of it, or both.
type ProfileChange struct {
	Name      string             `json:"name"`
	Authority protocol.Authority `json:"authority,omitzero"` // whose it is, who need not be in force yet (AUTH-38); Unknown: the tenant's
	Document  []byte             `json:"document,omitempty"` // empty: only assign it
	Groups    []string           `json:"groups,omitempty"`
	Confirm   string             `json:"confirm,omitempty"` // id of a preview of the same change
}

// ApplyProfile stores a version of a profile of the tenant's authority and assigns it.
func (r *Rollcall) ApplyProfile(ctx context.Context, name string, document []byte, groups []string) error {
	_, err := r.PutProfile(ctx, ProfileChange{Name: name, Document: document, Groups: groups})
	return err
}

// PutProfile stores a version of a profile, and assigns it, and tells what that does. An [*Error] with a Preview wants it
// confirmed.
func (r *Rollcall) PutProfile(ctx context.Context, c ProfileChange) (Preview, error) {
	var out struct {
		Preview Preview `json:"preview"`
	}
	err := r.call(ctx, http.MethodPost, "/rollcall/v1/profiles", c, &out)
	return out.Preview, err
}

// PreviewProfile tells what PutProfile would do now. Nothing is changed.
func (r *Rollcall) PreviewProfile(ctx context.Context, c ProfileChange) (p Preview, err error) {
	c.Confirm = ""
	err = r.call(ctx, http.MethodPost, "/rollcall/v1/profiles/preview", c, &p)
	return p, err
}

// Profiles lists the tenant's profiles by name.
func (r *Rollcall) Profiles(ctx context.Context) ([]Profile, error) {
	var out struct {
		Profiles []Profile `json:"profiles"`
	}
	err := r.call(ctx, http.MethodGet, "/rollcall/v1/profiles", nil, &out)
	return out.Profiles, err
}

// A ProfileRemoval takes a profile from groups of users.
type ProfileRemoval struct {
	Name      string
	Authority protocol.Authority // whose it is; Unknown: the tenant's
	Groups    []string           // nil: from everybody, and the profile is forgotten
	Confirm   string             // id of a preview of the same removal
}

func (x *ProfileRemoval) query() string {
	q := url.Values{"name": {x.Name}}
	if x.Groups != nil {
		q["group"] = x.Groups
	}
	if x.Authority != protocol.Unknown {
		q.Set("authority", x.Authority.String())
	}
	if x.Confirm != "" {
		q.Set("confirm", x.Confirm)
	}
	return q.Encode()
}

// RemoveProfile takes a profile of the tenant's authority from everybody.
func (r *Rollcall) RemoveProfile(ctx context.Context, name string) error {
	_, err := r.TakeProfile(ctx, ProfileRemoval{Name: name})
	return err
}

// Unassign takes a profile of the tenant's authority from one group.
func (r *Rollcall) Unassign(ctx context.Context, profile, group string) error {
	_, err := r.TakeProfile(ctx, ProfileRemoval{Name: profile, Groups: []string{group}})
	return err
}

// TakeProfile takes a profile from groups, or from everybody, and tells what that does. An [*Error] with a Preview wants it
// confirmed.
func (r *Rollcall) TakeProfile(ctx context.Context, x ProfileRemoval) (p Preview, err error) {
	err = r.call(ctx, http.MethodDelete, "/rollcall/v1/profiles?"+x.query(), nil, &p)
	return p, err
}

// PreviewRemoval tells what TakeProfile would do now. Nothing is changed.
func (r *Rollcall) PreviewRemoval(ctx context.Context, x ProfileRemoval) (p Preview, err error) {
	x.Confirm = ""
	err = r.call(ctx, http.MethodGet, "/rollcall/v1/profiles/preview?"+x.query(), nil, &p)
	return p, err
}

// Order queues a command for a device, or only wakes it.
func (r *Rollcall) Order(ctx context.Context, device string, o Order) (id string, err error) {
	var queued struct {
		Command string `json:"command"`
	}
	err = r.call(ctx, http.MethodPost, "/rollcall/v1/devices/"+url.PathEscape(device)+"/"+url.PathEscape(string(o.Kind)), o, &queued)
	return queued.Command, err
}

// Devices lists the devices by the order in which they first enrolled.
func (r *Rollcall) Devices(ctx context.Context, f Filter) iter.Seq2[Device, error] {
	query := url.Values{}
	if f.Platform != protocol.NoPlatform {
		query.Set("platform", f.Platform.String())
	}
	if f.User != "" {
		query.Set("user", f.User)
	}
	path := "/rollcall/v1/devices"
	if f.Registered != protocol.Unknown {
		path = "/rollcall/v1/portals/" + f.Registered.String() + "/devices"
	}
	return list[Device](ctx, r, path, "devices", query)
}

// Device returns one device with its commands.
func (r *Rollcall) Device(ctx context.Context, id string) (d Details, err error) {
	err = r.call(ctx, http.MethodGet, "/rollcall/v1/devices/"+url.PathEscape(id), nil, &d)
	return d, err
}

// A Push is the state of the push certificate's slot. An empty Topic: there is no certificate yet.
type Push struct {
	Topic     string        `json:"topic"`
	AppleID   string        `json:"apple_id"` // that it was made with; the renewal needs the same one
	NotBefore protocol.Time `json:"not_before"`
	NotAfter  protocol.Time `json:"not_after"`
	Suspended bool          `json:"suspended"` // the push service refused it
	Stranded  int           `json:"stranded"`  // enrolled devices that know another topic (AUTH-32)
	Warnings  []Warning     `json:"warnings"`
}

// A Warning is what an administrator should know, with the rule that says so.
type Warning struct {
	Rule    protocol.Rule `json:"rule"`
	Message string        `json:"message"`
}

// Push returns the state of the push certificate.
func (r *Rollcall) Push(ctx context.Context) (p Push, err error) {
	err = r.call(ctx, http.MethodGet, "/rollcall/v1/apns", nil, &p)
	return p, err
}

// A PushUpload is a push certificate with its key.
type PushUpload struct {
	Certificate []byte `json:"certificate"`        // PEM with the key, or PKCS#12
	Password    string `json:"password,omitempty"` // of a PKCS#12
	AppleID     string `json:"apple_id,omitempty"` // that it was made with; a renewal may leave it out
	Confirm     bool   `json:"confirm,omitempty"`  // take another topic although it strands devices (AUTH-32)
	Preview     string `json:"preview,omitempty"`  // instead of Confirm: id of a preview of the same upload (HST-070)
	Count       int    `json:"count,omitempty"`    // with either: how many, as whoever wants it has typed (HST-071)
}

// A PushChange is what the upload of a push certificate does.
type PushChange struct {
	First      bool    `json:"first"` // there was no certificate
	OtherTopic bool    `json:"other_topic"`
	ClosesGap  bool    `json:"closes_gap"`
	Stranded   int     `json:"stranded"` // devices that it cannot reach (AUTH-32)
	Preview    Preview `json:"preview"`
}

// PreviewPush tells what an upload would do now. Nothing is changed.
func (r *Rollcall) PreviewPush(ctx context.Context, u PushUpload) (p PushChange, err error) {
	u.Confirm, u.Preview, u.Count = false, "", 0
	err = r.call(ctx, http.MethodPost, "/rollcall/v1/apns/preview", u, &p)
	return p, err
}

// UploadPush gives the server a push certificate.
func (r *Rollcall) UploadPush(ctx context.Context, u PushUpload) error {
	_, err := r.TakePush(ctx, u)
	return err
}

// TakePush is UploadPush that tells what it does. An [*Error] with a Preview wants it confirmed.
func (r *Rollcall) TakePush(ctx context.Context, u PushUpload) (p PushChange, err error) {
	err = r.call(ctx, http.MethodPost, "/rollcall/v1/apns", u, &p)
	return p, err
}

// MakeTestPush has a server that uses simulated clouds make a push certificate, which only a simulated push service
// takes. It is returned as PEM with its key, and not taken into use. An empty topic is the present one, or a new one.
func (r *Rollcall) MakeTestPush(ctx context.Context, topic string, lifetime time.Duration) ([]byte, error) {
	body := struct {
		Topic    string  `json:"topic,omitempty"`
		Lifetime Seconds `json:"lifetime_seconds,omitempty"`
	}{topic, SecondsOf(lifetime)}
	var out struct {
		Certificate []byte `json:"certificate"`
	}
	err := r.call(ctx, http.MethodPost, "/rollcall/v1/apns/make-test", body, &out)
	return out.Certificate, err
}

// A Clock is the server's time.
type Clock struct {
	Now    protocol.Time `json:"now"`
	Driven bool          `json:"driven"` // it stands still until it is stepped
	Next   protocol.Time `json:"next"`   // when the server next has something to do; 0: never
	Doubt  bool          `json:"doubt"`  // it was set, and nobody has confirmed it (HST-110)
}

// Clock reads the server's clock.
func (r *Rollcall) Clock(ctx context.Context) (c Clock, err error) {
	err = r.call(ctx, http.MethodGet, "/rollcall/v1/clock", nil, &c)
	return c, err
}

// ConfirmClock says that the server's clock is right after it was set (HST-110).
func (r *Rollcall) ConfirmClock(ctx context.Context) (c Clock, err error) {
	err = r.call(ctx, http.MethodPost, "/rollcall/v1/clock/confirm", struct{}{}, &c)
	return c, err
}

// Step sets a driven clock to to, which must not be before its present time, and returns when the server has done
// what was due by then.
func (r *Rollcall) Step(ctx context.Context, to protocol.Time) (c Clock, err error) {
	err = r.call(ctx, http.MethodPost, "/rollcall/v1/clock", map[string]any{"to": to}, &c)
	return c, err
}

// list walks a list page by page. Every page names the cursor of the next one; the last one names none.
func list[T any](ctx context.Context, r *Rollcall, path, rows string, query url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		query := maps.Clone(query)
		if query == nil {
			query = url.Values{}
		}
		for {
			query.Set("limit", strconv.Itoa(pageSize))
			var page map[string]json.RawMessage
			var items []T
			var next string
			err := r.call(ctx, http.MethodGet, path+"?"+query.Encode(), nil, &page)
			if err == nil {
				err = errors.Join(json.Unmarshal(page[rows], &items), json.Unmarshal(page["next"], &next))
			}
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			query.Set("after", next)
		}
	}
}

// call sends in as JSON (nil: no body) and decodes the answer into out (nil: it does not matter).
func (r *Rollcall) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(r.URL, "/")+path, body)
	if err != nil {
		return err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.Token != "" {
		req.Header.Set("Authorization", "Bearer "+r.Token)
	}
	client := r.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if failed, ok := errors.AsType[*url.Error](err); ok {
		if at, ok := errors.AsType[*net.OpError](err); ok && at.Op == "dial" {
			return fmt.Errorf("no server answers at %s: %w", r.URL, failed.Err)
		}
		return fmt.Errorf("%s: %w", r.URL, failed.Err)
	} else if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode/100 != 2 {
		no := struct {
			Error *Error `json:"error"`
		}{&Error{}}
		if json.Unmarshal(answer, &no) != nil || no.Error == nil || no.Error.Message == "" {
			no.Error = &Error{Message: fmt.Sprintf("%s %s: the server answered %s", method, path, resp.Status)}
			if to := resp.Header.Get("Location"); to != "" {
				no.Error.Message += fmt.Sprintf(", to %.200q, which is not followed: give the URL of the server itself", to)
			}
		}
		no.Error.Status = resp.StatusCode
		return no.Error
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s %s: what answers at %s is no rollcall server, or not all of one's answer came: %w", method, path, r.URL, err)
	}
	return nil
}
