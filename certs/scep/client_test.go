package scep

import (
	"bytes"
	"context"
	"crypto"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	fork "github.com/smallstep/pkcs7"
	library "github.com/smallstep/scep"

	"rollcall/certs"
)

// Client and server over a real connection: every pairing of keys and authorities.
func TestEnrol(t *testing.T) {
	for _, tt := range []struct {
		name string
		ca   *certs.Authority
		rsa  bool
	}{
		{"P-256 at an EC authority", ecAuthority(), false},
		{"RSA at an EC authority", ecAuthority(), true},
		{"P-256 at an RSA authority", rsaAuthority(), false},
		{"RSA at an RSA authority", rsaAuthority(), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(tt.ca, "c")
			var queries []string
			server := d.server()
			ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				queries = append(queries, r.URL.RawQuery)
				if r.Method == http.MethodPost && r.ContentLength <= 0 {
					t.Error("POST without Content-Length")
				}
				server.ServeHTTP(w, r)
			}))
			defer ts.Close()
			fingerprint := sha256.Sum256(tt.ca.Certificate().Raw)
			client := &Client{URL: ts.URL + "/scep?tenant=7", Name: "our CA", HTTP: ts.Client(), CAFingerprint: fingerprint[:]}
			r := enrolRequest("c")
			if tt.rsa {
				r.Key, r.Transport = rsaKey(), nil
			}
			c, err := client.Enrol(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if err := tt.ca.Verify(c, at); err != nil {
				t.Error(err)
			}
			if !r.Key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(c.PublicKey) {
				t.Error("certificate of another key")
			}
			if c.Subject.CommonName != "7f3a" {
				t.Errorf("subject %s: the CSR decided it (HST-039)", c.Subject)
			}
			want := []string{"message=our+CA&operation=GetCACaps&tenant=7", "message=our+CA&operation=GetCACert&tenant=7", "operation=PKIOperation&tenant=7"}
			if len(queries) != 3 || queries[0] != want[0] || queries[1] != want[1] || queries[2] != want[2] {
				t.Errorf("queries %q, want %q", queries, want)
			}
		})
	}
	r := enrolRequest("c")
	r.Transport = nil
	if _, err := clientOf(newDesk(ecAuthority(), "c").server()).Enrol(t.Context(), r); !errors.Is(err, certs.ErrKey) {
		t.Errorf("P-256 without a transport key: %v", err)
	}
}

// The protocol library reads what we write, and we read what it writes.
func TestAgainstLibrary(t *testing.T) {
	ca := ecAuthority()
	r := enrolRequest("c")
	ours := newDraft(ca, r)
	ours.signer.Certificate = must(selfSigned(rsaKey(), pkix.Name{CommonName: "now"}, time.Now().AddDate(-60, 0, 0), time.Now().AddDate(60, 0, 0)))
	msg, err := library.ParsePKIMessage(ours.sign())
	if err != nil {
		t.Fatal(err)
	}
	if err := msg.DecryptPKIEnvelope(ca.RA().Certificate, ca.RA().Key); err != nil {
		t.Fatal(err)
	}
	if msg.MessageType != library.PKCSReq || string(msg.TransactionID) != ours.id || msg.ChallengePassword != "c" || msg.CSR.Subject.CommonName != "device" {
		t.Errorf("the library reads %s %s %q %s", msg.MessageType, msg.TransactionID, msg.ChallengePassword, msg.CSR.Subject)
	}
	fork.ContentEncryptionAlgorithm = fork.EncryptionAlgorithmAES128CBC
	defer func() { fork.ContentEncryptionAlgorithm = fork.EncryptionAlgorithmDESCBC }()
	if err := fork.SetDefaultDigestAlgorithm(fork.OIDDigestAlgorithmSHA256); err != nil {
		t.Fatal(err)
	}
	csr := must(x509.ParseCertificateRequest(must(newEnrolment(trusted(ca), &r)).csr))
	theirs, err := library.NewCSRRequest(csr, &library.PKIMessage{
		MessageType: library.PKCSReq, Recipients: []*x509.Certificate{ca.RA().Certificate},
		SignerKey: transport().Key, SignerCert: ours.signer.Certificate,
	})
	if err != nil {
		t.Fatal(err)
	}
	d := newDesk(ca, "c")
	rep := must(d.server().respond(t.Context(), theirs.Raw))
	answer, err := library.ParsePKIMessage(rep, library.WithCACerts([]*x509.Certificate{ca.RA().Certificate, ca.Certificate()}))
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.DecryptPKIEnvelope(ours.signer.Certificate, transport().Key); err != nil {
		t.Fatal(err)
	}
	if answer.PKIStatus != library.SUCCESS || !bytes.Equal(answer.RecipientNonce, theirs.SenderNonce) || ca.Verify(answer.Certificate, at) != nil {
		t.Errorf("the library reads our answer as %s with %v", answer.PKIStatus, answer.Certificate)
	}
}

func TestAPL009Fingerprint(t *testing.T) {
	for name, ca := range map[string]*certs.Authority{"EC": ecAuthority(), "RSA": rsaAuthority()} {
		raw := ca.Certificate().Raw
		m, s1, s2 := md5.Sum(raw), sha1.Sum(raw), sha256.Sum256(raw)
		other := sha256.Sum256(ca.RA().Certificate.Raw)
		for _, tt := range []struct {
			name string
			pin  []byte
			want error
		}{
			{"none", nil, nil},
			{"MD5", m[:], nil},
			{"SHA-1", s1[:], nil},
			{"SHA-256", s2[:], nil},
			{"of another certificate", append([]byte{s2[0] ^ 1}, s2[1:]...), ErrCA},
			{"of odd length", s2[:31], ErrCA},
		} {
			d := newDesk(ca, "c")
			client := clientOf(d.server())
			client.CAFingerprint = tt.pin
			if _, err := client.Enrol(t.Context(), enrolRequest("c")); !errors.Is(err, tt.want) {
				t.Errorf("%s, fingerprint %s: %v, want %v", name, tt.name, err, tt.want)
			}
			if tt.want != nil && d.calls > 0 {
				t.Errorf("%s, fingerprint %s: the challenge was sent all the same", name, tt.name)
			}
		}
		if name == "EC" { // the pin is the CA's, not its registration authority's
			client := clientOf(newDesk(ca, "c").server())
			client.CAFingerprint = other[:]
			if _, err := client.Enrol(t.Context(), enrolRequest("c")); !errors.Is(err, ErrCA) {
				t.Errorf("fingerprint of the registration authority: %v", err)
			}
		}
	}
	// A registration authority that the pinned CA did not issue.
	strange := must(certs.Degenerate(transport().Certificate, ecAuthority().Certificate()))
	client := clientOf(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("operation") == "GetCACaps" {
			io.WriteString(w, "SCEPStandard")
			return
		}
		w.Header().Set("Content-Type", typeCARA)
		w.Write(strange)
	}))
	pin := sha256.Sum256(ecAuthority().Certificate().Raw)
	client.CAFingerprint = pin[:]
	if _, err := client.Enrol(t.Context(), enrolRequest("c")); !errors.Is(err, ErrCA) {
		t.Errorf("registration authority of nobody: %v", err)
	}
}

func TestAPL009Answers(t *testing.T) {
	ca := ecAuthority()
	key := ecKey()
	mine := must(ca.Issue(certs.IssueRequest{Public: key.Public(), Handle: "h", Now: at}))
	other := must(ca.Issue(certs.IssueRequest{Public: ecKey().Public(), Handle: "h", Now: at}))
	type reply struct { // a CertRep in the making
		kind, status, id string
		nonce            []byte
		certificate      *x509.Certificate
		to               *x509.Certificate
		signer           certs.Signer
		after            func([]byte) []byte
	}
	for _, tt := range []struct {
		name  string
		spoil func(*reply)
		want  error
	}{
		{"good", func(*reply) {}, nil},
		{"recipientNonce", func(r *reply) { r.nonce = newNonce() }, ErrAnswer},
		{"recipientNonce empty", func(r *reply) { r.nonce = nil }, ErrAnswer},
		{"transactionID", func(r *reply) { r.id += "0" }, ErrAnswer},
		{"signed by another CA", func(r *reply) { r.signer = rsaAuthority().RA() }, ErrAnswer},
		{"signed by one that names itself as ours", func(r *reply) { r.signer.Key = rsaKey() }, ErrAnswer},
		{"altered", func(r *reply) { r.after = func(b []byte) []byte { b[len(b)-1] ^= 1; return b } }, ErrAnswer},
		{"cut", func(r *reply) { r.after = func(b []byte) []byte { return b[:len(b)/2] } }, ErrAnswer},
		{"not CMS", func(r *reply) { r.after = func([]byte) []byte { return []byte("<html>") } }, ErrAnswer},
		{"over the cap", func(r *reply) { r.after = func([]byte) []byte { return make([]byte, maxMessage+1) } }, ErrAnswer},
		{"certificate for another key", func(r *reply) { r.certificate = other }, ErrAnswer},
		{"encrypted to another", func(r *reply) { r.to = ca.RA().Certificate }, ErrAnswer},
		{"unknown pkiStatus", func(r *reply) { r.status = "1" }, ErrAnswer},
		{"pkiStatus not a number", func(r *reply) { r.status = "ok" }, ErrAnswer},
		{"a request in place of an answer", func(r *reply) { r.kind = "19" }, ErrAnswer},
		{"FAILURE without failInfo", func(r *reply) { r.status = "2" }, ErrAnswer},
	} {
		t.Run(tt.name, func(t *testing.T) {
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					newDesk(ca).server().ServeHTTP(w, r)
					return
				}
				m := must(parseMessage(must(io.ReadAll(r.Body))))
				rep := reply{kind: "3", status: "0", id: string(m.transactionID.Bytes), nonce: m.senderNonce, certificate: mine, to: m.Signer, signer: ca.RA(), after: func(b []byte) []byte { return b }}
				tt.spoil(&rep)
				out := certs.Message{
					Content: must(certs.Encrypt(must(certs.Degenerate(rep.certificate)), rep.to)),
					Attributes: []certs.Attribute{
						{Type: oidMessageType, Value: rep.kind},
						{Type: oidPKIStatus, Value: rep.status},
						{Type: oidTransactionID, Value: rep.id},
						{Type: oidSenderNonce, Value: newNonce()},
						{Type: oidRecipientNonce, Value: rep.nonce},
					},
				}
				w.Write(rep.after(must(out.Sign(rep.signer))))
			})
			c, err := clientOf(handler).Enrol(t.Context(), EnrolRequest{Key: key, Transport: transport(), Now: at})
			if !errors.Is(err, tt.want) {
				t.Fatalf("Enrol = %v, want %v", err, tt.want)
			}
			if err == nil && !c.Equal(mine) {
				t.Error("another certificate")
			}
		})
	}
}

func TestAPL010Pending(t *testing.T) {
	ca := ecAuthority()
	for _, tt := range []struct {
		name             string
		pending, retries int
		polls            int
		waits            int
		want             error
	}{
		{"issued at once", 0, 3, 0, 0, nil},
		{"issued at the first poll", 1, 3, 1, 0, nil},
		{"issued at the third", 3, 3, 3, 2, nil},
		{"never", 99, 3, 3, 2, ErrPending},
		{"three by default", 99, 0, 3, 2, ErrPending},
		{"none", 99, -1, 0, 0, ErrPending},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(ca, "c")
			d.pending = tt.pending
			var waits []time.Duration
			r := enrolRequest("c")
			r.Retries, r.RetryDelay = tt.retries, 7*time.Second
			r.Wait = func(_ context.Context, delay time.Duration) error { waits = append(waits, delay); return nil }
			c, err := clientOf(d.server()).Enrol(t.Context(), r)
			if !errors.Is(err, tt.want) || err == nil && ca.Verify(c, at) != nil {
				t.Fatalf("Enrol = %v, want %v", err, tt.want)
			}
			if len(waits) != tt.waits {
				t.Errorf("waited %v, want %d times: the first poll is at once", waits, tt.waits)
			}
			for _, w := range waits {
				if w != 7*time.Second {
					t.Errorf("waited %s", w)
				}
			}
			if d.calls != tt.polls+1 {
				t.Errorf("%d messages, want 1 and %d polls", d.calls, tt.polls)
			}
			for i, asked := range d.asked {
				if asked.TransactionID != d.asked[0].TransactionID {
					t.Error("another transactionID in a poll")
				}
				if want := map[bool]MessageType{true: PKCSReq, false: CertPoll}[i == 0]; asked.Type != want {
					t.Errorf("message %d has type %d, want %d", i, asked.Type, want)
				}
			}
		})
	}
	d := newDesk(ca, "c")
	d.pending = 99
	ctx, cancel := context.WithCancel(t.Context())
	r := enrolRequest("c")
	r.RetryDelay = time.Hour
	server := d.server()
	client := clientOf(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		server.ServeHTTP(w, q)
		if d.calls == 2 { // the next poll is an hour away
			cancel()
		}
	}))
	if _, err := client.Enrol(ctx, r); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted while waiting: %v", err)
	}
}

func TestClientCapabilities(t *testing.T) {
	ca := ecAuthority()
	server := func(caps string, status int) http.Handler {
		s := newDesk(ca, "c").server()
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("operation") != "GetCACaps" {
				s.ServeHTTP(w, r)
				return
			}
			w.WriteHeader(status)
			io.WriteString(w, caps)
		})
	}
	for _, tt := range []struct {
		name, caps string
		status     int
		want       error
	}{
		{"standard", "SCEPStandard", 200, nil},
		{"one by one, CRLF, unknown words", "Foo\r\nAES\r\nSHA-256\r\nPOSTPKIOperation\r\n", 200, nil},
		{"no POST: by GET", "AES\nSHA-512", 200, nil},
		{"no AES", "SHA-256\nDES3\nPOSTPKIOperation", 200, ErrCaps},
		{"SHA-1 alone", "AES\nSHA-1", 200, ErrCaps},
		{"empty", "", 200, ErrCaps},
		{"error means none", "SCEPStandard", 404, ErrCaps},
	} {
		if _, err := clientOf(server(tt.caps, tt.status)).Enrol(t.Context(), enrolRequest("c")); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	r := EnrolRequest{Key: rsaKey(), Now: at, Renew: &certs.Signer{Key: rsaKey(), Certificate: must(ca.Issue(certs.IssueRequest{Public: rsaKey().Public(), Now: at}))}}
	if _, err := clientOf(server("SCEPStandard", 200)).Enrol(t.Context(), r); !errors.Is(err, ErrCaps) {
		t.Errorf("renewal that is not announced: %v", err)
	}
}

func TestClientStatus(t *testing.T) {
	ca := ecAuthority()
	s := newDesk(ca).server()
	client := clientOf(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.Header().Set("Retry-After", "900")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		s.ServeHTTP(w, r)
	}))
	status := (*StatusError)(nil)
	if _, err := client.Enrol(t.Context(), enrolRequest("c")); !errors.As(err, &status) || status.Status != 503 || status.RetryAfter != "900" {
		t.Errorf("Enrol = %v", err)
	}
	client.URL = "https://mdm.example/%zz"
	if _, err := client.Enrol(t.Context(), enrolRequest("c")); err == nil {
		t.Error("a URL that is none")
	}
	ts := httptest.NewServer(s)
	ts.Close()
	refused := &url.Error{}
	if _, err := (&Client{URL: ts.URL}).Enrol(t.Context(), enrolRequest("c")); !errors.As(err, &refused) {
		t.Errorf("nobody there: %v", err)
	}
}

func TestCACache(t *testing.T) {
	ca := ecAuthority()
	var questions atomic.Int32
	fail := true
	s := &Server{CA: ca, Now: func() time.Time { return at }, Issue: func(_ context.Context, r *Request) (*x509.Certificate, error) {
		return ca.Issue(certs.IssueRequest{Public: r.CSR.PublicKey, Handle: "h", Now: at})
	}}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			questions.Add(1)
			if fail {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
		}
		s.ServeHTTP(w, r)
	})
	var cache CACache
	enrol := func(ctx context.Context) error {
		client := clientOf(handler)
		client.Cache = &cache
		_, err := client.Enrol(ctx, enrolRequest("c"))
		return err
	}
	if err := enrol(t.Context()); err == nil {
		t.Fatal("enrolled at a broken server")
	}
	fail = false
	questions.Store(0)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := enrol(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := questions.Load(); n != 2 {
		t.Errorf("%d questions about the CA for 8 devices, want 2", n)
	}
	// The CA is replaced: one enrolment fails, the next asks again.
	ca = rsaAuthority()
	s.CA = ca
	if err := enrol(t.Context()); !errors.Is(err, ErrAnswer) {
		t.Errorf("answer of a new CA: %v", err)
	}
	if err := enrol(t.Context()); err != nil {
		t.Errorf("after that: %v", err)
	}
	// Whoever waits for another's question can give up.
	entered, release := make(chan struct{}), make(chan struct{})
	go cache.authority(context.Background(), "slow", func(context.Context) (*authority, error) {
		close(entered)
		<-release
		return nil, errors.New("late")
	})
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := cache.authority(ctx, "slow", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("gave up: %v", err)
	}
	close(release)
}

// FuzzAnswer gives a client whatever a server may send in place of an answer.
func FuzzAnswer(f *testing.F) {
	ca := ecAuthority()
	key := ecKey()
	e := must(newEnrolment(trusted(ca), &EnrolRequest{Key: key, Transport: transport(), Challenge: "c", Now: at}))
	d := newDesk(ca, "c")
	request := draft{kind: "19", id: e.transactionID, nonce: newNonce(), content: must(certs.Encrypt(e.csr, ca.RA().Certificate)), signer: e.signer}
	f.Add(must(d.server().respond(context.Background(), request.sign())))
	f.Add(must(newDesk(ca).server().respond(context.Background(), request.sign())))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := e.accept(body, request.nonce)
		if err == nil && !key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(c.PublicKey) {
			t.Error("certificate for another key")
		}
		a := &authority{}
		if list, err := certs.ParseDegenerate(body); err == nil {
			a.certificates = list
			_ = a.choose()
		}
	})
}

// BenchmarkClientEnrol is a whole enrolment; client-ns/op is the client's part of it.
func BenchmarkClientEnrol(b *testing.B) {
	ca := ecAuthority()
	s := &Server{CA: ca, Now: func() time.Time { return at }, Issue: func(_ context.Context, r *Request) (*x509.Certificate, error) {
		return ca.Issue(certs.IssueRequest{Public: r.CSR.PublicKey, Handle: "h", Now: at})
	}}
	var server time.Duration
	client := clientOf(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		s.ServeHTTP(w, r)
		server += time.Since(start)
	}))
	client.Cache = new(CACache)
	request := enrolRequest("c")
	b.ReportAllocs()
	for b.Loop() {
		request.Key = ecKey()
		if _, err := client.Enrol(context.Background(), request); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed()-server)/float64(b.N), "client-ns/op")
}
