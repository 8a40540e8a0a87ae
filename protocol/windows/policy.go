package windows

import "time"

// Object identifiers of a [Policy], dotted.
const (
	OIDSHA256 = "2.16.840.1.101.3.4.2.1"
	OIDSHA384 = "2.16.840.1.101.3.4.2.2"
	OIDSHA512 = "2.16.840.1.101.3.4.2.3"
	OIDSHA1   = "1.3.14.3.2.26"
	OIDRSA    = "1.2.840.113549.1.1.1"
)

// GetPolicies asks what key to make and how to ask for a certificate (MS-XCEP).
type GetPolicies struct{}

// A GetPoliciesResponse holds the first policy of the answer, which is what clients go by.
type GetPoliciesResponse struct {
	PolicyID string
	Policy   Policy
}

// A Policy is one policy of XCEP, its references to object identifiers resolved (WIN-010). Of it all, MinimalKeyLength,
// HashAlgorithm, PublicKeyAlgorithm and Providers change what a client does.
type Policy struct {
	CommonName         string
	Schema             int // policySchema; 3 when it is made
	Validity, Renewal  time.Duration
	Enroll, AutoEnroll bool
	MinimalKeyLength   int      // bits
	HashAlgorithm      string   // dotted; empty: none said
	PublicKeyAlgorithm string   // dotted; empty: none said
	Providers          []string // of keys, the first one that works
}

func (*GetPolicies) element() (namespace, string, string) {
	return nsPolicy, "GetPolicies", ActionGetPolicies
}

func (*GetPoliciesResponse) element() (namespace, string, string) {
	return nsPolicy, "GetPoliciesResponse", ActionGetPoliciesResponse
}
