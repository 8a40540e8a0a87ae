package mischief

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"rollcall/certs"
	"rollcall/protocol/windows"
)

// Faults of servers of Windows devices, while devices enrol.

// A judge has paths of its own before those of the protocol.

func (c *call) asksToken() bool { return c.postsBelow(windows.EnrollmentPath) }
func (c *call) discovers() bool { return c.postsBelow(windows.DiscoveryPath) }

func (c *call) postsBelow(path string) bool {
	return c.r.Method == http.MethodPost && strings.HasSuffix(c.r.URL.Path, path)
}

func (c *call) soap() bool {
	return c.r.Method == http.MethodPost && strings.HasPrefix(c.r.URL.Path, "/EnrollmentServer/") && strings.HasSuffix(c.r.URL.Path, ".svc")
}

// rst reads a request for a certificate; nil: it is none.
func (c *call) rst() (e *windows.Envelope, rst *windows.RequestSecurityToken) {
	if !c.asksToken() {
		return nil, nil
	}
	e, err := windows.DecodeEnvelope(c.body)
	if err != nil {
		return nil, nil
	}
	rst, _ = e.Body.(*windows.RequestSecurityToken)
	return e, rst
}

// fault says no in Windows' words.
func (c *call) fault(f windows.Fault) {
	header := windows.Header{Action: windows.ActionRSTRC}
	if e, _ := windows.DecodeEnvelope(c.body); e != nil {
		header.RelatesTo = e.Header.MessageID
	}
	c.envelope(windows.FaultStatus, &windows.Envelope{Header: header, Body: &f})
}

func (c *call) envelope(status int, e *windows.Envelope) {
	body := windows.EncodeEnvelope(nil, e)
	c.w.Header().Set("Content-Type", windows.SOAPContentType)
	c.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(status)
	c.w.Write(body)
}

// admits gives a certificate for a key that the server gave none for.
func (c *call) admits(key crypto.PublicKey) {
	cert, err := c.m.ca.Issue(certs.IssueRequest{Public: key, Handle: "mischief", Now: time.Now()})
	if err != nil {
		http.Error(c.w, err.Error(), http.StatusInternalServerError)
		return
	}
	p := windows.Provisioning{Client: cert.Raw, Store: windows.StoreUser, Application: windows.Application{ProviderID: "rollcall"}}
	c.envelope(http.StatusOK, &windows.Envelope{Body: &windows.RequestSecurityTokenResponse{Document: windows.EncodeDocument(nil, p.Document())}})
}

// keyOf is the key of a certificate request, whoever signed it.
func keyOf(der []byte) crypto.PublicKey {
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil
	}
	return csr.PublicKey
}

// takes admits whom the server refuses, when that is so. When sees the answer too.
func takes(when func(c *call, e *windows.Envelope, rst *windows.RequestSecurityToken) bool) func(c *call) {
	return func(c *call) {
		a := c.ask(c.body)
		if e, rst := c.rst(); rst != nil && a.status == windows.FaultStatus && when(c, e, rst) {
			der := rst.Token
			if rst.Renew {
				if signed, err := certs.ParseSigned(der); err == nil {
					der = signed.Content
				}
			}
			if key := keyOf(der); key != nil {
				c.admits(key)
				return
			}
		} else if rst != nil && a.status == http.StatusOK {
			c.m.note("taken by "+e.Header.Credential.Password, rst.Item(windows.ItemDeviceID))
			c.m.note("taken as "+rst.Item(windows.ItemDeviceID), "yes")
		}
		c.give(a)
	}
}

// declines refuses what the server takes, when that is so.
func declines(f windows.Fault, when func(c *call) bool) func(c *call) {
	return func(c *call) {
		if c.soap() && when(c) {
			c.fault(f)
			return
		}
		c.pass()
	}
}

var malformed = windows.Fault{Subcode: windows.SubcodeMessageFormat, Reason: "the request is malformed"}

// provisions changes the document that a device gets.
func provisions(pattern, with string) func(c *call) {
	found := regexp.MustCompile(pattern)
	return func(c *call) {
		a := c.ask(c.body)
		if c.asksToken() && a.status == http.StatusOK {
			a.body = binaryToken.ReplaceAllFunc(a.body, func(token []byte) []byte {
				part := binaryToken.FindSubmatch(token)
				document, err := base64.StdEncoding.DecodeString(string(part[2]))
				if err != nil {
					return token
				}
				document = found.ReplaceAll(document, []byte(with))
				return append(base64.StdEncoding.AppendEncode(bytes.Clone(part[1]), document), part[3]...)
			})
		}
		c.give(a)
	}
}

var binaryToken = regexp.MustCompile(`(BinarySecurityToken[^>]*>)([^<]*)(</)`)

var (
	newestVersion = rewrite((*call).discovers, `<EnrollmentVersion>[^<]*<`, `<EnrollmentVersion>9.0<`)
	pageAndMore   = rewrite((*call).discovers, `(<AuthPolicy>OnPremise</AuthPolicy>.*)</DiscoverResult>`, `$1<AuthenticationServiceUrl>https://rollcall.invalid/</AuthenticationServiceUrl></DiscoverResult>`)
	noPage        = rewrite((*call).discovers, `<AuthenticationServiceUrl>[^<]*</AuthenticationServiceUrl>`, ``)
	otherMessage  = rewrite((*call).soap, `<a:RelatesTo>[^<]*<`, `<a:RelatesTo>urn:uuid:0<`)
	otherHost     = rewrite(func(c *call) bool { return c.discovers() && bytes.Contains(c.body, []byte("WindowsPhone")) }, `(<EnrollmentPolicyServiceUrl>https://)[^:/<]*`, `${1}localhost`)
	oldSchema     = rewrite((*call).soap, `<policySchema>3<`, `<policySchema>2<`)
	shortKeys     = rewrite((*call).soap, `<minimalKeyLength>[0-9]*<`, `<minimalKeyLength>1024<`)
	noHash        = rewrite((*call).soap, `<hashAlgorithmOIDReference>[0-9]*<`, `<hashAlgorithmOIDReference>7<`)

	faultIsFine  = instead((*call).soap, windows.FaultStatus, http.StatusOK)
	otherWords   = rewrite((*call).soap, `:Authentication<`, `:Denied<`)
	otherLicence = rewrite((*call).asksToken, `UserLicense<`, `CustomServerError<`)
	otherLimit   = rewrite((*call).asksToken, `DeviceCapReached<`, `CustomServerError<`)
	otherCode    = rewrite((*call).asksToken, `:CertificateRequest<`, `:EnrollmentServer<`)

	prefixes  = declines(malformed, func(c *call) bool { return !bytes.Contains(c.body, []byte("<s:Envelope")) })
	slashless = declines(malformed, func(c *call) bool { return bytes.Contains(c.body, []byte(`2012/01/enrollment/"`)) })
	oneLine   = declines(malformed, func(c *call) bool { return c.discovers() && bytes.ContainsAny(c.body, "\r\n") })
	unwrapped = declines(malformed, func(c *call) bool {
		return c.asksToken() && bytes.Contains(c.body, []byte("\r\n</BinarySecurityToken>"))
	})
	oneMAC    = declines(malformed, func(c *call) bool { _, rst := c.rst(); return rst != nil && len(rst.Items(windows.ItemMAC)) > 1 })
	strictCSR = declines(windows.Fault{Subcode: windows.SubcodeCertificateRequest, Reason: "asn1: PrintableString contains invalid character"}, func(c *call) bool {
		_, rst := c.rst()
		return rst != nil && !rst.Renew && keyOf(rst.Token) == nil
	})
	noRenewals = declines(windows.Fault{Subcode: windows.SubcodeCertificateRequest, ErrorType: windows.ErrorNotEligibleToRenew, Reason: "not now"}, func(c *call) bool {
		_, rst := c.rst()
		return rst != nil && rst.Renew
	})

	anyCSR = takes(func(_ *call, _ *windows.Envelope, rst *windows.RequestSecurityToken) bool {
		return !rst.Renew && refusedKey(rst.Token)
	})
	anyToken = takes(func(_ *call, e *windows.Envelope, _ *windows.RequestSecurityToken) bool {
		return e.Header.Credential.Kind == windows.UserToken
	})
	anyJWT = takes(func(_ *call, e *windows.Envelope, _ *windows.RequestSecurityToken) bool {
		return e.Header.Credential.Kind == windows.JWT
	})
	passwordForAll = takes(func(c *call, e *windows.Envelope, rst *windows.RequestSecurityToken) bool {
		by := c.m.noted("taken by " + e.Header.Credential.Password)
		return by != "" && by != rst.Item(windows.ItemDeviceID)
	})
	anyDeviceID = takes(func(c *call, _ *windows.Envelope, rst *windows.RequestSecurityToken) bool {
		return c.m.noted("taken as "+rst.Item(windows.ItemDeviceID)) != ""
	})
	anyRenewer = takes(func(c *call, _ *windows.Envelope, rst *windows.RequestSecurityToken) bool {
		signed, err := certs.ParseSigned(rst.Token)
		return rst.Renew && err == nil && c.leaf() != nil && !bytes.Equal(signed.Signer.Raw, c.leaf())
	})
	earlyRenewer = takes(func(_ *call, _ *windows.Envelope, rst *windows.RequestSecurityToken) bool { return rst.Renew })

	wrongStore       = provisions(`Stores=My%5CSystem`, `Stores=My%5CUser`)
	otherStore       = provisions(`Stores=My%5CUser`, `Stores=My%5CSystem`)
	oneMore          = provisions(`</wap-provisioningdoc>`, `<characteristic type="RootCATrustedCertificates"/></wap-provisioningdoc>`)
	noNonce          = provisions(`<parm name="AAUTHDATA"[^>]*/>`, ``)
	noContainer      = provisions(`<characteristic type="PrivateKeyContainer"\s*(/>|></characteristic>)`, ``)
	untyped          = provisions(`(<parm name="RenewPeriod"[^>]*) datatype="integer"`, `$1`)
	otherProvider    = provisions(`(<characteristic type="Provider"><characteristic type=")[^"]*`, `${1}MS DM Server`)
	otherSubject     = provisions(`Subject=CN%3D`, `Subject=CN%3Dx`)
	noEnd            = provisions(`(name="NumberOfRemainingScheduledRetries" value=")0"`, `${1}5"`)
	dueAtOnce        = provisions(`(name="RenewPeriod" value=")[0-9]+"`, `${1}400"`)
	waitsForNobody   = provisions(`(name="SkipUserStatusPage" value=")true"`, `${1}false"`)
	somebodysMachine = provisions(`(<parm name="EntDMID")`, `<parm name="UPN" value="ann@example.org" datatype="string"/>$1`)
)

// refusedKey tells whether a certificate request is not its key's own, or the key is small.
func refusedKey(der []byte) bool {
	_, err := certs.CheckCSRKey(der, certs.Policy{})
	return err != nil
}

// noProbe answers POST alone.
func noProbe(c *call) {
	if c.r.Method == http.MethodGet && c.r.URL.Path == windows.DiscoveryPath {
		c.say(http.StatusMethodNotAllowed)
		return
	}
	c.pass()
}

// chunks sends certificates in two pieces.
func chunks(c *call) {
	a := c.ask(c.body)
	if !c.asksToken() || a.status != http.StatusOK {
		c.give(a)
		return
	}
	c.w.Header().Set("Content-Type", windows.SOAPContentType)
	c.w.WriteHeader(a.status)
	half := len(a.body) / 2
	c.w.Write(a.body[:half])
	_ = http.NewResponseController(c.w).Flush() // where it cannot, the whole comes at once
	c.w.Write(a.body[half:])
}

// onePolicy tells every device to use a password, whatever it offers.
func onePolicy(c *call) {
	if c.discovers() {
		c.give(c.ask(c.replaced("<AuthPolicy>Telepathy<", "<AuthPolicy>OnPremise<")))
		return
	}
	c.pass()
}

const signInPath = "/EnrollmentServer/SignIn"

// leadsAnywhere opens the sign-in page for whoever says where it leads.
func leadsAnywhere(c *call) {
	a := c.ask(c.body)
	if c.r.URL.Path == signInPath && a.status == http.StatusBadRequest {
		a.status = http.StatusOK
	}
	c.give(a)
}

// unescaped writes into the sign-in page what the address says.
func unescaped(c *call) {
	a := c.ask(c.body)
	if c.r.URL.Path == signInPath {
		a.body = append(a.body, c.r.URL.Query().Get("appru")...)
	}
	c.give(a)
}

// readsTypes passes over document types.
func readsTypes(c *call) {
	body := c.body
	if c.soap() || c.syncs() {
		body = documentType.ReplaceAll(body, nil)
	}
	c.give(c.ask(body))
}

var documentType = regexp.MustCompile(`<!DOCTYPE[^\[>]*(\[[^\]]*\])?\s*>`)

// passwordIsSpent takes no password with which a request was refused.
func passwordIsSpent(c *call) {
	e, rst := c.rst()
	if rst != nil && c.m.noted("refused "+e.Header.Credential.Password) != "" {
		c.fault(windows.Fault{Subcode: windows.SubcodeAuthentication, Reason: "the password was used"})
		return
	}
	a := c.ask(c.body)
	if rst != nil && a.status == windows.FaultStatus {
		c.m.note("refused "+e.Header.Credential.Password, "yes")
	}
	c.give(a)
}

// answersOnce refuses a request that it has answered.
func answersOnce(c *call) {
	_, rst := c.rst()
	if rst != nil && c.m.noted("asked "+string(rst.Token)) != "" {
		c.fault(windows.Fault{Subcode: windows.SubcodeAuthentication, Reason: "the password was used"})
		return
	}
	a := c.ask(c.body)
	if rst != nil && a.status == http.StatusOK {
		c.m.note("asked "+string(rst.Token), "yes")
	}
	c.give(a)
}

// leavesRecords shows devices as enrolled that it refused.
func leavesRecords(c *call) {
	_, rst := c.rst()
	a := c.ask(c.body)
	if rst != nil && a.status == windows.FaultStatus {
		c.m.note("refused "+rst.Item(windows.ItemDeviceID), "yes")
	}
	if id, ok := strings.CutPrefix(c.r.URL.Path, "/rollcall/v1/devices/"); ok && c.r.Method == http.MethodGet && a.status == http.StatusNotFound && c.m.noted("refused "+id) != "" {
		a.status = http.StatusOK
		a.body, _ = json.Marshal(map[string]string{"id": id, "life": "enrolled"}) // texts
	}
	c.give(a)
}

// keepsHardware lets a device go on whose hardware has enrolled anew.
func keepsHardware(c *call) {
	_, rst := c.rst()
	c.keepsHardware(rst)
}

func (c *call) keepsHardware(rst *windows.RequestSecurityToken) {
	a := c.ask(c.body)
	if rst != nil && a.status == http.StatusOK {
		id := rst.Item(windows.ItemDeviceID)
		if old := c.m.note("hardware "+rst.Item(windows.ItemHWDevID), id); old != "" && old != id {
			c.m.note("displaced "+old, "yes")
		}
	}
	if c.syncs() && a.status == http.StatusForbidden && c.m.noted("displaced "+c.sender()) != "" {
		a.status = http.StatusOK
	}
	c.give(a)
}

// firstBody reads the first of two bodies, and never sees the second.
func firstBody(c *call) {
	if c.asksToken() && bytes.Count(c.body, []byte("<s:Body>")) > 1 {
		if token := binaryToken.FindSubmatch(c.body); token != nil {
			if der, err := base64.StdEncoding.DecodeString(string(token[2])); err == nil && keyOf(der) != nil {
				c.admits(keyOf(der))
				return
			}
		}
	}
	c.pass()
}

// renewsSameKey renews a certificate without another key.
func renewsSameKey(c *call) {
	a := c.ask(c.body)
	_, rst := c.rst()
	if rst != nil && rst.Renew && a.status == windows.FaultStatus && c.r.TLS != nil && len(c.r.TLS.PeerCertificates) > 0 {
		leaf := c.r.TLS.PeerCertificates[0]
		if signed, err := certs.ParseSigned(rst.Token); err == nil {
			own, _ := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
			if key := keyOf(signed.Content); key != nil && own != nil && own.Equal(key) {
				c.admits(key)
				return
			}
		}
	}
	c.give(a)
}
