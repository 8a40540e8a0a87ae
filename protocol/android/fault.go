package android

// An Error is the body of every refusal: Google's, with the reason in its details.
type Error struct {
	Error ErrorBody `json:"error"`
}

// ErrorBody says what went wrong.
type ErrorBody struct {
	Code    int           `json:"code"` // HTTP
	Message string        `json:"message"`
	Status  string        `json:"status"`
	Details []ErrorDetail `json:"details,omitempty"`
}

// An ErrorDetail is a google.rpc.ErrorInfo, or an order to leave.
type ErrorDetail struct {
	Type     string            `json:"@type"` // type.googleapis.com/google.rpc.ErrorInfo, or rollcall/unenrollOrder
	Reason   string            `json:"reason,omitempty"`
	Domain   string            `json:"domain,omitempty"`   // rollcall
	Metadata map[string]string `json:"metadata,omitempty"` // rule, epoch, changedAt, notice, field
	JWS      string            `json:"jws,omitempty"`      // of rollcall/unenrollOrder: see [Order]
}

// Types of an [ErrorDetail], and its domain.
const (
	ErrorInfo     = "type.googleapis.com/google.rpc.ErrorInfo"
	UnenrollOrder = "rollcall/unenrollOrder"
	Domain        = "rollcall"
)

// Reasons of a refusal.
const (
	TokenInvalid     = "TOKEN_INVALID"
	TokenExpired     = "TOKEN_EXPIRED"
	TokenUsed        = "TOKEN_USED"
	AuthorityUnknown = "AUTHORITY_UNKNOWN"
	ConsentMissing   = "CONSENT_MISSING"
	Unlicensed       = "UNLICENSED"
	DeviceLimit      = "DEVICE_LIMIT"
	ModeNotAllowed   = "MODE_NOT_ALLOWED"
	DeviceMismatch   = "DEVICE_MISMATCH"

	AttestationMissing   = "ATTESTATION_MISSING"
	AttestationMalformed = "ATTESTATION_MALFORMED"
	AttestationForeign   = "ATTESTATION_FOREIGN_ROOT"
	AttestationRevoked   = "ATTESTATION_REVOKED"
	AttestationChallenge = "ATTESTATION_WRONG_CHALLENGE"
	AttestationLevel     = "ATTESTATION_SOFTWARE_LEVEL"

	NotRecognised       = "NOT_RECOGNISED"
	Malformed           = "MALFORMED"
	ProtocolUnsupported = "PROTOCOL_UNSUPPORTED"
	TooLarge            = "TOO_LARGE"
	Refused             = "REFUSED" // by the rule in the metadata
	AuthorityChanged    = "AUTHORITY_CHANGED"
	TryLater            = "TRY_LATER"
	Unenrolled          = "UNENROLLED" // an order to leave is in the next detail
)

// Statuses of an [ErrorBody] by their HTTP code.
var statuses = map[int]string{
	400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 405: "UNIMPLEMENTED", 410: "NOT_FOUND",
	413: "OUT_OF_RANGE", 415: "INVALID_ARGUMENT", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE",
}

// NewError makes a refusal with this HTTP code.
func NewError(code int, reason, message string, metadata map[string]string) *Error {
	return &Error{Error: ErrorBody{
		Code: code, Message: message, Status: statuses[code],
		Details: []ErrorDetail{{Type: ErrorInfo, Reason: reason, Domain: Domain, Metadata: metadata}},
	}}
}

// Info returns the reason of the refusal and what stands beside it; empty: it gives none.
func (e *Error) Info() (reason string, metadata map[string]string) {
	for i := range e.Error.Details {
		if d := &e.Error.Details[i]; d.Type == ErrorInfo && d.Domain == Domain {
			return d.Reason, d.Metadata
		}
	}
	return "", nil
}

// Order returns the order to leave that the refusal brings, unverified; empty: it brings none.
func (e *Error) Order() string {
	for i := range e.Error.Details {
		if d := &e.Error.Details[i]; d.Type == UnenrollOrder {
			return d.JWS
		}
	}
	return ""
}
