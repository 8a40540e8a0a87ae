package windows

import (
	"encoding/base64"
	"strconv"
	"time"
)

// EncodeEnvelope appends e as SOAP 1.2, without a declaration of XML. Of a credential that signs it writes the token alone: see
// [SignEnvelope].
func EncodeEnvelope(dst []byte, e *Envelope) []byte { return appendEnvelope(dst, e, nil) }

// appendEnvelope writes what of was made of e's parts in their places; nil: they are written as e has them.
func appendEnvelope(dst []byte, e *Envelope, of *signedParts) []byte {
	h := &e.Header
	request, secured := false, h.Credential.Kind != NoCredential || !h.Created.IsZero() || !h.Expires.IsZero()
	switch e.Body.(type) {
	case *Discover, *GetPolicies, *RequestSecurityToken:
		request = true
	}
	dst = append(dst, `<s:Envelope`...)
	dst = appendBinding(dst, "s", nsSOAP12)
	dst = appendBinding(dst, "a", nsAddressing)
	if secured {
		dst = appendBinding(dst, "u", nsUtility)
		dst = appendBinding(dst, "wsse", nsSecurity)
	}
	dst = append(dst, `><s:Header>`...)
	action := h.Action
	if action == "" {
		_, _, action = e.Body.element()
	}
	if action != "" {
		dst = append(dst, `<a:Action s:mustUnderstand="1">`...)
		dst = append(appendText(dst, action), `</a:Action>`...)
	}
	if h.MessageID != "" {
		dst = appendElement(dst, "a:MessageID", h.MessageID)
	}
	if request {
		dst = append(dst, `<a:ReplyTo><a:Address>`+anonymous+`</a:Address></a:ReplyTo>`...)
	}
	if h.To != "" {
		dst = append(dst, `<a:To s:mustUnderstand="1">`...)
		dst = append(appendText(dst, h.To), `</a:To>`...)
	}
	if h.ActivityID != "" {
		dst = append(dst, `<ActivityId CorrelationId="`...)
		dst = append(appendEscaped(dst, h.ActivityID, true), '"')
		dst = append(appendDefault(dst, nsDiagnostics), '>')
		dst = append(appendText(dst, h.ActivityID), `</ActivityId>`...)
	}
	if h.RelatesTo != "" {
		dst = appendElement(dst, "a:RelatesTo", h.RelatesTo)
	}
	if secured {
		dst = append(dst, `<wsse:Security s:mustUnderstand="1">`...)
		if of != nil {
			dst = append(dst, of.security...)
		} else {
			if !h.Created.IsZero() || !h.Expires.IsZero() {
				dst = append(dst, `<u:Timestamp u:Id="_0">`...)
				dst = appendTime(dst, "u:Created", h.Created)
				dst = append(appendTime(dst, "u:Expires", h.Expires), `</u:Timestamp>`...)
			}
			dst = appendCredential(dst, &h.Credential)
		}
		dst = append(dst, `</wsse:Security>`...)
	}
	dst = append(dst, `</s:Header>`...)
	if of != nil {
		dst = append(dst, of.body...)
	} else {
		dst = append(appendBody(append(dst, `<s:Body>`...), e.Body), `</s:Body>`...)
	}
	return append(dst, `</s:Envelope>`...)
}

// appendBody writes what is in a Body; a request as Exclusive XML Canonicalization has it.
func appendBody(dst []byte, body Body) []byte {
	switch b := body.(type) {
	case *Discover:
		dst = appendDiscover(dst, b)
	case *DiscoverResponse:
		dst = appendDiscoverResponse(dst, b)
	case *GetPolicies:
		dst = append(appendDefault(append(dst, `<GetPolicies`...), nsPolicy), '>')
		dst = append(dst, `<client><lastUpdate`+nilled+`></lastUpdate><preferredLanguage`+nilled+`></preferredLanguage></client>`...)
		dst = append(dst, `<requestFilter`+nilled+`></requestFilter></GetPolicies>`...)
	case *GetPoliciesResponse:
		dst = appendPolicies(dst, b)
	case *RequestSecurityToken:
		dst = appendRequest(dst, b)
	case *RequestSecurityTokenResponse:
		dst = appendCollection(dst, b)
	case *Fault:
		dst = appendFault(dst, b)
	}
	return dst
}

// nilled says of an element that it is not there.
const nilled = ` xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:nil="true"`

func appendBinding(dst []byte, prefix string, ns namespace) []byte {
	dst = append(append(append(dst, ` xmlns:`...), prefix...), `="`...)
	return append(append(dst, namespaces[ns]...), '"')
}

func appendDefault(dst []byte, ns namespace) []byte {
	return append(append(append(dst, ` xmlns="`...), namespaces[ns]...), '"')
}

func appendTime(dst []byte, name string, t time.Time) []byte {
	if t.IsZero() {
		return dst
	}
	return appendElement(dst, name, t.UTC().Format("2006-01-02T15:04:05.000Z"))
}

func appendCredential(dst []byte, c *Credential) []byte {
	kind := ""
	switch c.Kind {
	case NoCredential:
		return dst
	case Password:
		dst = append(dst, `<wsse:UsernameToken>`...)
		dst = appendElement(dst, "wsse:Username", c.Username)
		dst = append(dst, `<wsse:Password wsse:Type="`+passwordText+`">`...)
		return append(appendText(dst, c.Password), `</wsse:Password></wsse:UsernameToken>`...)
	case UserToken, X509:
		kind = typeUserToken
	case JWT:
		kind = typeJWT
	}
	dst = append(dst, `<wsse:BinarySecurityToken`...)
	if kind != "" {
		dst = append(append(append(dst, ` ValueType="`...), kind...), '"')
	}
	dst = append(dst, ` EncodingType="`+encodingBase64+`">`...)
	dst = base64.StdEncoding.AppendEncode(dst, c.Token)
	return append(dst, `</wsse:BinarySecurityToken>`...)
}

func appendDiscover(dst []byte, d *Discover) []byte {
	dst = append(appendDefault(append(dst, `<Discover`...), nsDiscovery), `><request>`...)
	dst = appendElement(dst, "EmailAddress", d.EmailAddress)
	dst = appendElement(dst, "RequestVersion", d.RequestVersion.String())
	dst = appendElement(dst, "DeviceType", d.DeviceType)
	dst = appendElement(dst, "ApplicationVersion", d.ApplicationVersion)
	dst = appendElement(dst, "OSEdition", strconv.FormatUint(uint64(d.OSEdition), 10))
	if d.OSVersion != "" {
		dst = appendElement(dst, "OSVersion", d.OSVersion)
	}
	dst = append(dst, `<AuthPolicies>`...)
	for _, p := range d.AuthPolicies {
		dst = appendElement(dst, "AuthPolicy", p)
	}
	return append(dst, `</AuthPolicies></request></Discover>`...)
}

func appendDiscoverResponse(dst []byte, d *DiscoverResponse) []byte {
	dst = append(appendDefault(append(dst, `<DiscoverResponse`...), nsDiscovery), `><DiscoverResult>`...)
	dst = appendElement(dst, "AuthPolicy", d.AuthPolicy)
	dst = appendElement(dst, "EnrollmentVersion", d.EnrollmentVersion.String())
	if d.PolicyURL != "" {
		dst = appendElement(dst, "EnrollmentPolicyServiceUrl", d.PolicyURL)
	}
	dst = appendElement(dst, "EnrollmentServiceUrl", d.EnrollmentURL)
	if d.AuthenticationURL != "" {
		dst = appendElement(dst, "AuthenticationServiceUrl", d.AuthenticationURL)
	}
	return append(dst, `</DiscoverResult></DiscoverResponse>`...)
}

// appendPolicies writes what means nothing as not there, as XCEP wants it.
func appendPolicies(dst []byte, r *GetPoliciesResponse) []byte {
	p := &r.Policy
	none := func(names ...string) {
		for _, name := range names {
			dst = append(append(append(dst, '<'), name...), ` xsi:nil="true"/>`...)
		}
	}
	open := func(tags string) { dst = append(dst, tags...) }
	references := 0
	reference := func(name, value string) {
		if value == "" {
			none(name)
			return
		}
		dst = appendNumber(dst, name, int64(references))
		references++
	}
	dst = append(appendBinding(appendDefault(append(dst, `<GetPoliciesResponse`...), nsPolicy), "xsi", nsSchema), `><response>`...)
	dst = appendElement(dst, "policyID", r.PolicyID)
	none("policyFriendlyName", "nextUpdateHours", "policiesNotChanged")
	open(`<policies><policy><policyOIDReference>0</policyOIDReference>`)
	none("cAs")
	open(`<attributes>`)
	dst = appendElement(dst, "commonName", p.CommonName)
	dst = appendNumber(dst, "policySchema", int64(p.Schema))
	open(`<certificateValidity>`)
	dst = appendNumber(dst, "validityPeriodSeconds", int64(p.Validity/time.Second))
	dst = appendNumber(dst, "renewalPeriodSeconds", int64(p.Renewal/time.Second))
	open(`</certificateValidity><permission>`)
	dst = appendElement(dst, "enroll", strconv.FormatBool(p.Enroll))
	dst = appendElement(dst, "autoEnroll", strconv.FormatBool(p.AutoEnroll))
	open(`</permission><privateKeyAttributes>`)
	dst = appendNumber(dst, "minimalKeyLength", int64(p.MinimalKeyLength))
	none("keySpec", "keyUsageProperty", "permissions")
	reference("algorithmOIDReference", p.PublicKeyAlgorithm)
	if len(p.Providers) == 0 {
		none("cryptoProviders")
	} else {
		open(`<cryptoProviders>`)
		for _, provider := range p.Providers {
			dst = appendElement(dst, "provider", provider)
		}
		open(`</cryptoProviders>`)
	}
	open(`</privateKeyAttributes><revision><majorRevision>101</majorRevision><minorRevision>0</minorRevision></revision>`)
	none("supersededPolicies", "privateKeyFlags", "subjectNameFlags", "enrollmentFlags", "generalFlags")
	reference("hashAlgorithmOIDReference", p.HashAlgorithm)
	none("rARequirements", "keyArchivalAttributes", "extensions")
	open(`</attributes></policy></policies></response>`)
	none("cAs")
	open(`<oIDs>`)
	const groupHash, groupPublicKey = 1, 3 // XCEP, section 3.1.4.1.3.16
	references = 0
	oid := func(value string, group int64) {
		if value == "" {
			return
		}
		open(`<oID>`)
		dst = appendElement(dst, "value", value)
		dst = appendNumber(dst, "group", group)
		dst = appendNumber(dst, "oIDReferenceID", int64(references))
		dst = append(appendElement(dst, "defaultName", oidNames[value]), `</oID>`...)
		references++
	}
	oid(p.PublicKeyAlgorithm, groupPublicKey)
	oid(p.HashAlgorithm, groupHash)
	return append(dst, `</oIDs></GetPoliciesResponse>`...)
}

// oidNames are what Windows calls them.
var oidNames = map[string]string{
	OIDSHA256: "szOID_NIST_sha256", OIDSHA384: "szOID_NIST_sha384", OIDSHA512: "szOID_NIST_sha512", OIDSHA1: "szOID_OIWSEC_sha1",
	OIDRSA: "szOID_RSA_RSA",
}

func appendRequest(dst []byte, r *RequestSecurityToken) []byte {
	kind, value := requestIssue, typePKCS10
	if r.Renew {
		kind, value = requestRenew, typePKCS7
	}
	dst = append(appendDefault(append(dst, `<RequestSecurityToken`...), nsTrust), '>')
	dst = appendElement(dst, "TokenType", tokenType)
	dst = appendElement(dst, "RequestType", kind)
	dst = append(appendDefault(append(dst, `<BinarySecurityToken`...), nsSecurity), ` EncodingType="`+encodingBase64+`" ValueType="`...)
	dst = append(append(dst, value...), `">`...)
	token := r.Token
	if r.Doubled {
		token = base64.StdEncoding.AppendEncode(nil, token)
	}
	dst = append(base64.StdEncoding.AppendEncode(dst, token), `</BinarySecurityToken>`...)
	dst = append(appendDefault(append(dst, `<AdditionalContext`...), nsContext), '>')
	for _, item := range r.Context {
		dst = append(appendEscaped(append(dst, `<ContextItem Name="`...), item.Name, true), `">`...)
		dst = append(appendElement(dst, "Value", item.Value), `</ContextItem>`...)
	}
	return append(dst, `</AdditionalContext></RequestSecurityToken>`...)
}

func appendCollection(dst []byte, r *RequestSecurityTokenResponse) []byte {
	dst = append(appendDefault(append(dst, `<RequestSecurityTokenResponseCollection`...), nsTrust), `><RequestSecurityTokenResponse>`...)
	dst = appendElement(dst, "TokenType", tokenType)
	dst = append(appendDefault(append(dst, `<DispositionMessage`...), nsWSTEP), `/><RequestedSecurityToken>`...)
	dst = append(appendDefault(append(dst, `<BinarySecurityToken`...), nsSecurity), ` ValueType="`+typeProvisioning+`" EncodingType="`+encodingBase64+`">`...)
	dst = append(base64.StdEncoding.AppendEncode(dst, r.Document), `</BinarySecurityToken></RequestedSecurityToken>`...)
	dst = append(appendDefault(append(dst, `<RequestID`...), nsWSTEP), `>0</RequestID>`...)
	return append(dst, `</RequestSecurityTokenResponse></RequestSecurityTokenResponseCollection>`...)
}

func appendFault(dst []byte, f *Fault) []byte {
	prefix := "s"
	for _, row := range subcodes {
		if row.name == f.Subcode {
			prefix = row.prefix
		}
	}
	dst = append(dst, `<s:Fault><s:Code><s:Value>s:Receiver</s:Value><s:Subcode>`...)
	dst = appendElement(dst, "s:Value", prefix+":"+string(f.Subcode))
	dst = append(dst, `</s:Subcode></s:Code><s:Reason><s:Text xml:lang="en-US">`...)
	dst = append(appendText(dst, f.Reason), `</s:Text></s:Reason>`...)
	if f.ErrorType != "" || f.Message != "" || f.TraceID != "" {
		dst = append(appendDefault(append(dst, `<s:Detail><DeviceEnrollmentServiceError`...), nsWSTEP), '>')
		dst = appendElement(dst, "ErrorType", string(f.ErrorType))
		dst = appendElement(dst, "Message", f.Message)
		dst = append(appendElement(dst, "TraceId", f.TraceID), `</DeviceEnrollmentServiceError></s:Detail>`...)
	}
	return append(dst, `</s:Fault>`...)
}
