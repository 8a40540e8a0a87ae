package conformance

import (
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"rollcall/certs"
	"rollcall/protocol/apple"
)

// An offer is an enrolment that a device is offered by a link of its own, and all that came of it. The judge's lock guards it.
type offer struct {
	judge   *judge
	number  int
	path    string
	profile apple.Profile
	signed  bool
	scep    lies

	opened   bool
	kept     int // bytes
	messages []*message
	scepLog  []pkiMessage
	csr      *x509.CertificateRequest // the latest
	leaves   []*x509.Certificate      // issued
	queue    []*order
	declares *declaring // nil: nothing is declared
	// answer decides about a message in place of the usual, which is 200 and the next command; nil: the usual.
	answer func(m *message) *reply
}

// A message is what a device said, and what it was answered.
type message struct {
	*Exchange
	kind   string // MessageType, or Status of a report
	dict   dict
	uuid   string // CommandUUID
	at     time.Time
	handed string // CommandUUID of the command in the answer
}

// A reply is an answer that a check wants given.
type reply struct {
	status int
	kind   string // content type
	body   string
	header map[string]string
	cut    bool // none: the connection is cut
}

// An order is a command that waits or has been reported.
type order struct {
	id      string
	command apple.Command
	data    []byte // of a DeclarativeManagement, in place of command
	put     bool   // off: NotNow in this conversation
	reports []*message
	ended   bool
}

const (
	deviceTopic = "com.apple.mgmt.External.c0f0c0f0-0000-4000-8000-c0f0c0f0c0f0"
	mostRead    = 16 << 20 // bytes of a message
	mostKept    = 64 << 20 // bytes of all that is kept of one offer's messages
)

// uuid makes one for an offer's documents and commands.
func (o *offer) uuid(n int) string {
	return fmt.Sprintf("C0F0C0F0-0000-4000-8000-%04X%08X", n, o.number)
}

// offer makes an enrolment. Change, unless nil, has the last word on its profile.
func (t *trial) offer(change func(o *offer)) *offer {
	j := t.judge
	j.mu.Lock()
	n := len(j.offers) + 1
	j.mu.Unlock()
	o := &offer{judge: j, number: n, path: fmt.Sprintf("/%d", n)}
	o.profile = apple.Profile{
		Identifier: "rollcall.conform", UUID: o.uuid(1), DisplayName: "rollcall conform device", Organization: "rollcall",
		Payloads: []apple.Payload{
			{Type: apple.MDMPayload, Identifier: "rollcall.conform.mdm", UUID: o.uuid(2), MDM: &apple.MDM{
				IdentityCertificateUUID: o.uuid(3), Topic: deviceTopic, ServerURL: j.house.url + o.path + "/mdm", CheckInURL: j.house.url + o.path + "/checkin",
				SignMessage: j.Signs, AccessRights: apple.AllRights, CheckOutWhenRemoved: true,
			}},
			{Type: apple.SCEPPayload, Identifier: "rollcall.conform.scep", UUID: o.uuid(3), SCEP: &apple.SCEP{
				URL: j.house.url + o.path + "/scep", Subject: [][][]string{{{"CN", "rollcall-conform"}}}, Challenge: "conform", Keysize: 2048, KeyType: "RSA", KeyUsage: 5,
			}},
			{Type: apple.RootPayload, Identifier: "rollcall.conform.root", UUID: o.uuid(4), Certificate: j.ca.Certificate().Raw},
		},
	}
	if change != nil {
		change(o)
	}
	j.mu.Lock()
	j.offers[o.path] = o
	j.mu.Unlock()
	return o
}

// mdm and identity are the two payloads that checks change.
func (o *offer) mdm() *apple.MDM       { return o.profile.Payloads[0].MDM }
func (o *offer) identity() *apple.SCEP { return o.profile.Payloads[1].SCEP }

// serve is what devices see.
func (j *judge) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostRead))
	if err != nil {
		http.Error(w, "the body is too long, or breaks off", http.StatusBadRequest)
		return
	}
	i := strings.IndexByte(r.URL.Path[min(1, len(r.URL.Path)):], '/')
	path, rest := r.URL.Path, ""
	if i >= 0 {
		path, rest = r.URL.Path[:i+1], r.URL.Path[i+1:]
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if h := j.hosts[path]; h != nil {
		defer j.tell()
		h.serve(w, r, rest, body)
		return
	}
	o := j.offers[path]
	if o == nil {
		http.NotFound(w, r)
		return
	}
	defer j.tell()
	switch {
	case rest == "" && r.Method == http.MethodGet:
		o.opened = true
		o.giveProfile(w)
	case rest == "/scep":
		o.pki(w, r, body)
	case (rest == "/checkin" || rest == "/mdm") && r.Method == http.MethodPut:
		o.hear(w, r, body)
	default:
		http.Error(w, "want GET of the link, SCEP, or PUT of a message", http.StatusMethodNotAllowed)
	}
}

func (o *offer) giveProfile(w http.ResponseWriter) {
	raw := apple.EncodeProfile(&o.profile)
	if o.signed {
		ra := o.judge.ca.RA()
		signed, err := certs.SignAttached(raw, ra, time.Now())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		raw = signed
	}
	w.Header().Set("Content-Type", apple.ProfileType)
	w.Write(raw)
}

// from tells whose message it is: the identity that TLS or the signature shows; nil: none that was issued here.
func (o *offer) from(r *http.Request, body []byte) *x509.Certificate {
	var leaf *x509.Certificate
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		leaf = r.TLS.PeerCertificates[0]
	} else if der, err := base64.StdEncoding.DecodeString(r.Header.Get("Mdm-Signature")); err == nil && len(der) > 0 {
		if leaf, err = certs.VerifyDetached(der, body, o.judge.ca, time.Now(), certs.Policy{Legacy: true}); err != nil {
			return nil
		}
	}
	if leaf == nil || !slices.ContainsFunc(o.leaves, leaf.Equal) {
		return nil
	}
	return leaf
}

// hear takes a message and answers it.
func (o *offer) hear(w http.ResponseWriter, r *http.Request, body []byte) {
	const each = 4 << 10 // that a message takes beside its body
	if o.kept += len(body) + each; o.kept > mostKept {
		http.Error(w, "the judge has heard enough", http.StatusServiceUnavailable)
		return
	}
	m := &message{at: time.Now(), Exchange: &Exchange{Request: "PUT " + r.URL.Path, Header: shownHeader(r.Header), Sent: shown(body, mostShown), body: body, header: r.Header}}
	var err error
	m.dict, err = readPlist(body)
	m.kind, m.uuid = m.dict.text("MessageType"), m.dict.text("CommandUUID")
	if m.kind == "" {
		m.kind = m.dict.text("Status")
	}
	m.What = "the device: " + strings.TrimSpace(m.kind+" "+m.uuid)
	a := &reply{status: http.StatusOK}
	switch {
	case err != nil || m.kind == "":
		m.kind, m.Error = "", fmt.Sprintf("not a message: %v", err)
		a.status = http.StatusBadRequest
	case o.from(r, body) == nil:
		m.kind, m.Error = "", "it comes with no identity that was issued to it"
		a.status = http.StatusBadRequest
	default:
		if m.kind == "DeclarativeManagement" {
			a = o.declares.asked(m.dict.text("Endpoint"))
		}
		if o.answer != nil {
			if special := o.answer(m); special != nil {
				a = special
			}
		}
		if a.status == http.StatusOK && !a.cut && strings.HasSuffix(r.URL.Path, "/mdm") {
			a = o.next(m, a)
		}
	}
	o.messages = append(o.messages, m)
	if a.cut {
		m.Error = "(the judge cut the connection)"
		if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
			c.Close()
		}
		return
	}
	if a.kind != "" {
		w.Header().Set("Content-Type", a.kind)
	}
	m.Status, m.Received = a.status, shown([]byte(a.body), mostShown)
	w.WriteHeader(a.status)
	io.WriteString(w, a.body)
}

// next takes a report and hands out the next command.
func (o *offer) next(m *message, a *reply) *reply {
	if m.kind == "Idle" {
		for _, c := range o.queue {
			c.put = false
		}
	}
	for _, c := range o.queue {
		if c.id != m.uuid || m.kind == "Idle" {
			continue
		}
		c.reports = append(c.reports, m)
		if c.put = m.kind == "NotNow"; !c.put {
			c.ended = true
		}
	}
	for _, c := range o.queue {
		if !c.ended && !c.put {
			m.handed = c.id
			a.kind, a.body = apple.AnswerType, c.text()
			break
		}
	}
	return a
}

// order queues a command.
func (o *offer) order(c apple.Command) *order {
	o.judge.mu.Lock()
	defer o.judge.mu.Unlock()
	one := &order{id: o.uuid(0x100 + len(o.queue)), command: c}
	o.queue = append(o.queue, one)
	return one
}

// clear drops what waits.
func (o *offer) clear() {
	o.judge.mu.Lock()
	defer o.judge.mu.Unlock()
	for _, c := range o.queue {
		c.ended = true
	}
}

// decide has f answer o's messages from now on; nil: as usual.
func (o *offer) decide(f func(m *message) *reply) {
	o.judge.mu.Lock()
	defer o.judge.mu.Unlock()
	o.answer = f
}

// heard are the messages of a kind so far; of all when it is empty.
func (o *offer) heard(kind string) (list []*message) {
	o.judge.mu.Lock()
	defer o.judge.mu.Unlock()
	for _, m := range o.messages {
		if m.kind != "" && (kind == "" || m.kind == kind) {
			list = append(list, m)
		}
	}
	return list
}

// since are the messages after the first n.
func (o *offer) since(n int) []*message { return o.heard("")[n:] }

// last is the latest message of a kind; nil: there is none.
func (o *offer) last(kind string) *message {
	list := o.heard(kind)
	if len(list) == 0 {
		return nil
	}
	return list[len(list)-1]
}

// joined tells whether the device has said both words of an enrolment.
func (o *offer) joined() bool {
	return len(o.heard("Authenticate")) > 0 && slices.ContainsFunc(o.heard("TokenUpdate"), func(m *message) bool { return m.Status == http.StatusOK })
}

// report is the latest report of a command; nil: there is none.
func (c *order) report(o *offer) *message {
	o.judge.mu.Lock()
	defer o.judge.mu.Unlock()
	if len(c.reports) == 0 {
		return nil
	}
	return c.reports[len(c.reports)-1]
}
