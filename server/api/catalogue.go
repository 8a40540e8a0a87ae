package api

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/server"
	"rollcall/server/csp"
	"rollcall/server/policy"
)

type profile struct {
	Name       string             `json:"name"`
	Number     uint32             `json:"number"`
	Authority  protocol.Authority `json:"authority"` // whose it is
	Family     protocol.Family    `json:"family"`
	Identifier string             `json:"identifier"`
	Size       int                `json:"size"`
	Groups     []string           `json:"groups"`
}

type profiles struct {
	Profiles []profile `json:"profiles"`
}

type putProfile struct {
	Name      string             `json:"name"`
	Authority protocol.Authority `json:"authority,omitempty"` // whose it is; left out: the tenant's
	Document  []byte             `json:"document,omitempty"`  // base64; left out: only assign it
	Groups    []string           `json:"groups,omitempty"`
	Confirm   string             `json:"confirm,omitempty"` // id of a preview of the same change
}

func (h *Handler) getProfiles(*call) (any, error) { return profiles{h.profiles()}, nil }

// profiles lists the newest version of each authority's profiles, by name.
func (h *Handler) profiles() []profile {
	type key struct {
		authority protocol.Authority
		name      string
	}
	c := h.cfg.Server.Content()
	newest := map[key]profile{}
	for _, p := range c.Profiles {
		k := key{p.Authority, p.Name}
		if p.Removed {
			delete(newest, k)
			continue
		}
		newest[k] = profile{p.Name, uint32(p.Number), p.Authority, p.Family, p.Identifier, len(p.Payload), []string{}}
	}
	for _, a := range c.Assignments {
		k := key{a.Authority, a.Profile}
		if p, ok := newest[k]; ok {
			p.Groups = append(p.Groups, a.Group)
			newest[k] = p
		}
	}
	list := slices.AppendSeq([]profile{}, maps.Values(newest))
	slices.SortFunc(list, func(a, b profile) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Authority, b.Authority))
	})
	return list
}

// A profileMade is a profile after a change, and what that change did.
type profileMade struct {
	profile
	Preview *preview `json:"preview"`
}

func (h *Handler) putProfile(c *call) (any, error) {
	in := c.body.(*putProfile)
	change, err := in.change()
	if err != nil {
		return nil, err
	}
	whose := cmp.Or(in.Authority, h.cfg.Server.Content().Tenant.Slot(), protocol.Intune)
	p, err := h.cfg.Server.PutProfile(c.Context(), c.now, c.who, change, in.Confirm)
	if err != nil {
		return h.answered(c.Context(), p, err)
	}
	did, err := h.preview(c.Context(), p)
	if err != nil {
		return nil, err
	}
	list := h.profiles()
	return profileMade{list[slices.IndexFunc(list, func(p profile) bool { return p.Name == in.Name && p.Authority == whose })], did}, nil
}

// previewProfile says what storing or assigning a profile would do (AUTH-35).
func (h *Handler) previewProfile(c *call) (any, error) {
	change, err := c.body.(*putProfile).change()
	if err != nil {
		return nil, err
	}
	p, err := h.cfg.Server.PreviewProfile(c.Context(), c.now, change)
	return h.answered(c.Context(), p, err)
}

func (in *putProfile) change() (change server.ProfileChange, err error) {
	if err := goodName("name", in.Name); err != nil {
		return change, err
	}
	for i, g := range in.Groups {
		if err := goodName(fmt.Sprintf("groups[%d]", i), g); err != nil {
			return change, err
		}
	}
	if len(in.Document) == 0 && len(in.Groups) == 0 {
		return change, missing("document")
	}
	change = server.ProfileChange{Authority: in.Authority, Name: in.Name, Groups: in.Groups}
	if len(in.Document) == 0 {
		return change, nil
	}
	if csp.IsDocument(in.Document) {
		document, err := csp.Read(in.Document)
		if err != nil {
			return change, wrongValue("document", "%v", err)
		}
		change.Family, change.Identifier, change.Payload = document.Family, csp.Identifier(in.Name), in.Document
		return change, nil
	}
	if policy.IsDocument(in.Document) {
		document, err := policy.Read(in.Document)
		if err != nil {
			return change, wrongValue("document", "%v", err)
		}
		change.Family, change.Identifier, change.Payload = document.Family, policy.Identifier(in.Name), in.Document
		return change, nil
	}
	document, err := readProfile(in.Document)
	if err != nil {
		return change, err
	}
	change.Family, change.Identifier, change.Payload = document.Family(), document.Identifier, in.Document
	return change, nil
}

// readProfile reads a document as a device will: XML, or CMS around it. A profile that would enrol the device
// elsewhere is none of an administrator's documents.
func readProfile(document []byte) (*apple.Profile, error) {
	p, err := apple.OpenProfile(document, certs.Content)
	if err != nil {
		return nil, wrongValue("document", "%v", err)
	}
	if mdm, _, err := p.Enrolment(); mdm != nil || err != nil {
		return nil, wrongValue("document", "holds an MDM payload: devices get theirs when they enrol")
	}
	return p, nil
}

func (h *Handler) deleteProfile(c *call) (any, error) {
	r, err := c.removal()
	if err != nil {
		return nil, err
	}
	p, err := h.cfg.Server.TakeProfile(c.Context(), c.now, c.who, r, c.query["confirm"])
	return h.answered(c.Context(), p, err)
}

// previewRemoval says what taking a profile would do (AUTH-35).
func (h *Handler) previewRemoval(c *call) (any, error) {
	r, err := c.removal()
	if err != nil {
		return nil, err
	}
	p, err := h.cfg.Server.PreviewRemoval(c.Context(), c.now, r)
	return h.answered(c.Context(), p, err)
}

// removal reads which profile to take from whom.
func (c *call) removal() (server.ProfileRemoval, error) {
	r := server.ProfileRemoval{Name: c.query["name"], Groups: c.URL.Query()["group"]}
	if r.Name == "" {
		return r, missing("name")
	}
	if slices.Contains(r.Groups, "") {
		return r, missing("group")
	}
	if s, ok := c.query["authority"]; ok {
		if err := r.Authority.UnmarshalText([]byte(s)); err != nil {
			return r, wrongValue("authority", "%v", err)
		}
	}
	return r, nil
}

type warning struct {
	Rule    protocol.Rule `json:"rule"`
	Message string        `json:"message"`
}

type pushStatus struct {
	Topic     string        `json:"topic"` // empty: there is no certificate
	AppleID   string        `json:"apple_id"`
	NotBefore protocol.Time `json:"not_before"`
	NotAfter  protocol.Time `json:"not_after"`
	Suspended bool          `json:"suspended"`
	Stranded  int           `json:"stranded"` // enrolled devices that know another topic (AUTH-32)
	Warnings  []warning     `json:"warnings"`
}

func (h *Handler) getPush(c *call) (any, error) {
	out := pushStatus{Warnings: []warning{}}
	warn := func(rule protocol.Rule, format string, args ...any) {
		out.Warnings = append(out.Warnings, warning{rule, fmt.Sprintf(format, args...)})
	}
	cert, days := h.cfg.Server.PushStatus(c.now)
	if cert == nil {
		warn(protocol.RulePushGap, "there is no push certificate: Apple devices can neither enrol nor be woken")
		return out, nil
	}
	out.Topic, out.AppleID, out.NotBefore, out.NotAfter, out.Suspended = cert.Topic, cert.AppleID, cert.NotBefore, cert.NotAfter, cert.Suspended
	with := ""
	if cert.AppleID != "" {
		with = " with Apple ID " + cert.AppleID
	}
	switch {
	case days < 0:
		warn(protocol.RulePushExpired, "the push certificate has ended: renew it%s", with)
	case days > 0:
		warn(protocol.RulePushExpired, "the push certificate ends within %d days: renew it%s", days, with)
	}
	if cert.Suspended {
		warn(protocol.RulePushExpired, "the push service refuses the certificate: wake-ups are held until another one is uploaded")
	}
	v, err := h.cfg.Server.Verify(c.Context(), c.now)
	if err != nil {
		return nil, err
	}
	if out.Stranded = v.Stranded; v.Stranded > 0 {
		warn(protocol.RuleOtherTopic, "%d enrolled devices know another topic and cannot be reached: they have to enrol again; authority verify lists them", v.Stranded)
	}
	return out, nil
}

type pushUpload struct {
	Certificate []byte `json:"certificate"` // base64 of PEM with the key, or of PKCS#12
	Password    string `json:"password,omitempty"`
	AppleID     string `json:"apple_id,omitempty"`
	Confirm     bool   `json:"confirm,omitempty"`
	Preview     string `json:"preview,omitempty"` // instead of confirm: id of a preview of the same upload
	Count       int    `json:"count,omitempty"`   // with either: devices that it strands, as whoever wants it has typed (HST-071)
}

// A pushUploaded is what an upload did or would do, to each device too.
type pushUploaded struct {
	First      bool     `json:"first"` // there was none
	OtherTopic bool     `json:"other_topic"`
	ClosesGap  bool     `json:"closes_gap"` // AUTH-31
	Stranded   int      `json:"stranded"`   // devices that it cannot reach (AUTH-32)
	Preview    *preview `json:"preview"`
}

func (h *Handler) uploadPush(c *call) (any, error) {
	in := c.body.(*pushUpload)
	switch {
	case len(in.Certificate) == 0:
		return nil, missing("certificate")
	case in.Confirm && in.Preview != "":
		return nil, wrongValue("preview", "is given beside confirm")
	case in.Confirm:
		return h.uploaded(c, func() (server.PushUpload, error) {
			return h.cfg.Server.UploadPush(c.Context(), c.now, in.Certificate, in.Password, in.AppleID, true, in.Count)
		})
	}
	return h.uploaded(c, func() (server.PushUpload, error) {
		return h.cfg.Server.UploadPushShown(c.Context(), c.now, in.Certificate, in.Password, in.AppleID, in.Preview, in.Count)
	})
}

// previewPush says what an upload would do (AUTH-35).
func (h *Handler) previewPush(c *call) (any, error) {
	in := c.body.(*pushUpload)
	if len(in.Certificate) == 0 {
		return nil, missing("certificate")
	}
	return h.uploaded(c, func() (server.PushUpload, error) {
		return h.cfg.Server.PreviewPush(c.Context(), c.now, in.Certificate, in.Password)
	})
}

// uploaded answers what an upload did, or what it would do where confirming that would help.
func (h *Handler) uploaded(c *call, upload func() (server.PushUpload, error)) (any, error) {
	up, err := upload()
	if err != nil && up.Preview == nil {
		return nil, pushRefusal(err)
	}
	p, failed := h.preview(c.Context(), up.Preview)
	switch {
	case failed != nil:
		return nil, failed
	case err != nil:
		return nil, &unconfirmed{pushRefusal(err), p}
	}
	return pushUploaded{up.First, up.OtherTopic, up.ClosesGap, up.Stranded, p}, nil
}

// pushRefusal has what certs refuses refused by rule.
func pushRefusal(err error) error {
	for _, reason := range pushRefusals {
		if errors.Is(err, reason) {
			return &protocol.Refusal{Rule: protocol.RuleUpload, Reason: err.Error()}
		}
	}
	return err
}

type pushTest struct {
	Topic    string `json:"topic,omitempty"`            // left out: the present one, or a new one
	Lifetime int64  `json:"lifetime_seconds,omitempty"` // 0: a year, or longer where the present one would end no earlier (AUTH-34)
}

type pushMade struct {
	Certificate []byte        `json:"certificate"` // base64 of PEM with the key
	Topic       string        `json:"topic"`
	NotAfter    protocol.Time `json:"not_after"`
}

// makeTestPush makes what Apple's portal would give. It is not taken into use.
func (h *Handler) makeTestPush(c *call) (any, error) {
	in := c.body.(*pushTest)
	if h.cfg.TestPush == nil {
		return nil, &conflict{"this server uses the real push service, which takes Apple's certificates only"}
	}
	life, err := duration("lifetime_seconds", in.Lifetime, maxDuration/10)
	if err != nil {
		return nil, err
	}
	topic := in.Topic
	if topic == "" {
		topic = h.cfg.Server.World().Push.Topic
	}
	if topic == "" {
		topic = "com.apple.mgmt.External." + uuid.NewString()
	}
	if life == 0 {
		life = 365 * 24 * time.Hour
		if present, _ := h.cfg.Server.PushStatus(c.now); present != nil {
			life = max(life, present.NotAfter.Sub(c.now)+24*time.Hour)
		}
	}
	pem, err := h.cfg.TestPush(topic, c.now.Time(), c.now.Add(life).Time())
	if errors.Is(err, certs.ErrPushTopic) {
		return nil, wrongValue("topic", "%v", err)
	}
	return pushMade{pem, topic, c.now.Add(life)}, err
}
