package conformance

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

var gapStatements = []Statement{}

// portal makes push certificates, as Apple's portal does for whoever asks with the same Apple ID. Only a simulated push
// service takes them.
var portal = sync.OnceValues(func() (*certs.Authority, error) {
	return certs.NewAuthority(certs.P256, "rollcall conform push", time.Now().AddDate(-1, 0, 0))
})

// pushPEM is a push certificate with its key.
func (a *asking) pushPEM(topic string, from, until time.Time) []byte {
	ca, err := portal()
	var p *certs.Push
	if err == nil {
		p, err = certs.MakePush(ca, topic, from, until)
	}
	var pem []byte
	if err == nil {
		pem, err = p.PEM()
	}
	if err != nil {
		a.unasked("no push certificate: %v", err)
	}
	return pem
}

// upload gives the server a push certificate and returns its refusal.
func (a *asking) upload(pem []byte, confirm bool) error {
	a.needs(a.Steps.UploadPush != nil, "upload a push certificate")
	ctx, cancel := a.administrator()
	defer cancel()
	err := a.Steps.UploadPush(ctx, pem, confirm)
	a.settle()
	return err
}

// topic is that of the server's push certificate.
func (a *asking) topic() string { return a.pushState().topic }

type pushState struct {
	topic    string
	notAfter time.Time
}

func (a *asking) pushState() pushState {
	a.needs(a.Steps.PushState != nil, "tell about its push certificate")
	ctx, cancel := a.administrator()
	defer cancel()
	s, err := a.Steps.PushState(ctx)
	if err != nil {
		a.unasked("the push certificate: %v", err)
	}
	return pushState{s.Topic, s.NotAfter.Time()}
}

// freshPush renews a push certificate that would end soon, under its topic.
func (a *asking) freshPush() {
	s := a.pushState()
	if s.notAfter.After(a.now().AddDate(0, 0, 400)) {
		return
	}
	if err := a.upload(a.pushPEM(s.topic, a.now().Add(-time.Hour), a.now().AddDate(0, 0, 500)), false); err != nil {
		a.unasked("the push certificate could not be renewed: %v", err)
	}
}

var (
	_ = rsa.GenerateKey
	_ = rand.Reader
	_ = errors.New
	_ = fmt.Sprint
	_ = http.StatusOK
	_ = regexp.MustCompile
	_ = slices.Contains[[]string]
	_ = strconv.Itoa
	_ = strings.Fields
	_ = protocol.IOS
	_ = apple.CommandType
)
