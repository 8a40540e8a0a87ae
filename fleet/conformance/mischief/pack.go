package mischief

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"regexp"

	"rollcall/protocol/windows"
)

// Faults of servers of Windows devices that enrol by a provisioning package.

// signed tells whether a request for a certificate has an XML signature.
func (c *call) signed() bool {
	return c.asksToken() && bytes.Contains(c.body, []byte("<ds:Signature"))
}

// packed reads one whose signature verifies; nil: it is none.
func (c *call) packed() (e *windows.Envelope, rst *windows.RequestSecurityToken) {
	if !c.signed() {
		return nil, nil
	}
	e, err := windows.DecodeRequest(c.body)
	if err != nil {
		return nil, nil
	}
	rst, _ = e.Body.(*windows.RequestSecurityToken)
	return e, rst
}

// ofPackages is a fault in what packages bring alone.
func ofPackages(does func(c *call)) func(c *call) {
	return func(c *call) {
		if c.signed() {
			does(c)
			return
		}
		c.pass()
	}
}

var certificateRequest = regexp.MustCompile(`<BinarySecurityToken[^>]*PKCS10[^>]*>([^<]*)</`)

// unpacks admits the machine of a signed request that the server refuses, when that is so; e is nil where the signature does not verify. By
// is who was taken by the request's certificate before, by its HWDevID.
func unpacks(when func(e *windows.Envelope, rst *windows.RequestSecurityToken, by string) bool) func(c *call) {
	return func(c *call) {
		e, rst := c.packed()
		key, by := "", ""
		if rst != nil {
			key = "unpacked " + hex.EncodeToString(e.Header.Credential.Token)
			by = c.m.noted(key)
		}
		a := c.ask(c.body)
		switch {
		case c.signed() && a.status == windows.FaultStatus && when(e, rst, by):
			if found := certificateRequest.FindSubmatch(c.body); found != nil {
				if der, err := base64.StdEncoding.DecodeString(string(found[1])); err == nil && keyOf(der) != nil {
					c.admits(keyOf(der))
					return
				}
			}
		case rst != nil && a.status == http.StatusOK:
			c.m.note(key, rst.Item(windows.ItemHWDevID))
		}
		c.give(a)
	}
}

var (
	somebodysPackage = ofPackages(somebodysMachine)
	anySignature     = unpacks(func(e *windows.Envelope, _ *windows.RequestSecurityToken, _ string) bool { return e == nil })
	anyMachine       = unpacks(func(_ *windows.Envelope, rst *windows.RequestSecurityToken, by string) bool {
		return by != "" && by != rst.Item(windows.ItemHWDevID)
	})
	anyReplay = unpacks(func(_ *windows.Envelope, rst *windows.RequestSecurityToken, by string) bool {
		return by != "" && by == rst.Item(windows.ItemHWDevID)
	})
	anyBootstrap = unpacks(func(e *windows.Envelope, _ *windows.RequestSecurityToken, _ string) bool {
		return e != nil && strangers(e)
	})
	anyTime = unpacks(func(e *windows.Envelope, _ *windows.RequestSecurityToken, by string) bool {
		return e != nil && by == "" && !strangers(e)
	})
)

// strangers tells whether a request is signed by the certificate that no server has made.
func strangers(e *windows.Envelope) bool {
	cert, err := x509.ParseCertificate(e.Header.Credential.Token)
	return err == nil && cert.Subject.CommonName == "stranger"
}

// keepsMachine lets a machine go on that has come again by its package.
func keepsMachine(c *call) {
	_, rst := c.packed()
	c.keepsHardware(rst)
}
