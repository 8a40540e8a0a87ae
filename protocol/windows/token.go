package windows

// A RequestSecurityToken asks for a certificate: a first one by PKCS#10, or a renewed one by PKCS#10 inside a CMS SignedData of
// the old certificate's (MS-WSTEP). Neither is looked into here: package certs does that.
type RequestSecurityToken struct {
	Renew   bool   // RequestType Renew in place of Issue
	Token   []byte // DER: PKCS#10, or with Renew PKCS#7
	Doubled bool   // the base64 was itself in base64, as in a renewal by hand
	Context []ContextItem
}

// A ContextItem is something that the device says of itself. Names may come more than once (WIN-015).
type ContextItem struct{ Name, Value string }

// Item returns the first value of a name; empty: there is none.
func (r *RequestSecurityToken) Item(name string) string {
	for _, i := range r.Context {
		if i.Name == name {
			return i.Value
		}
	}
	return ""
}

// Items returns all values of a name.
func (r *RequestSecurityToken) Items(name string) (values []string) {
	for _, i := range r.Context {
		if i.Name == name {
			values = append(values, i.Value)
		}
	}
	return values
}

// A RequestSecurityTokenResponse brings the certificate inside a provisioning document: see [DecodeDocument].
type RequestSecurityTokenResponse struct {
	Document []byte // XML, out of its base64
}

func (*RequestSecurityToken) element() (namespace, string, string) {
	return nsTrust, "RequestSecurityToken", ActionRST
}

func (*RequestSecurityTokenResponse) element() (namespace, string, string) {
	return nsTrust, "RequestSecurityTokenResponseCollection", ActionRSTRC
}
