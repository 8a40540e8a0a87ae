package google

import (
	"math"
	"net/http"
	"strconv"
	"time"

	"rollcall/fleet/cloud"
)

// A failure is how a request is refused: google.rpc.Status as JSON.
type failure struct {
	Code    int    `json:"code"` // HTTP status
	Message string `json:"message"`
	Status  string `json:"status"` // google.rpc.Code
	Details []any  `json:"details,omitempty"`

	fcm   string        // errorCode; empty: not FCM's own
	retry time.Duration // Retry-After; 0: none
}

// word is the most exact name of a failure.
func (f *failure) word() string {
	if f.fcm != "" {
		return f.fcm
	}
	return f.Status
}

type fcmError struct {
	Type string `json:"@type"`
	Code string `json:"errorCode"`
}

type badRequest struct {
	Type       string      `json:"@type"`
	Violations []violation `json:"fieldViolations"`
}

type violation struct {
	Field       string `json:"field"`
	Description string `json:"description"`
}

type errorInfo struct {
	Type   string `json:"@type"`
	Reason string `json:"reason"`
	Domain string `json:"domain"`
}

const (
	typeFCM     = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
	typeRequest = "type.googleapis.com/google.rpc.BadRequest"
	typeInfo    = "type.googleapis.com/google.rpc.ErrorInfo"
)

// codes are FCM's own errors (android.md, section 10).
var codes = map[string]failure{
	"INVALID_ARGUMENT":       {Code: 400, Status: "INVALID_ARGUMENT", Message: "Request contains an invalid argument."},
	"UNREGISTERED":           {Code: 404, Status: "NOT_FOUND", Message: "Requested entity was not found."},
	"SENDER_ID_MISMATCH":     {Code: 403, Status: "PERMISSION_DENIED", Message: "SenderId mismatch"},
	"QUOTA_EXCEEDED":         {Code: 429, Status: "RESOURCE_EXHAUSTED", Message: "Quota exceeded for quota metric 'Messages' and limit 'Messages per minute'."},
	"UNAVAILABLE":            {Code: 503, Status: "UNAVAILABLE", Message: "The service is currently unavailable."},
	"INTERNAL":               {Code: 500, Status: "INTERNAL", Message: "Internal error encountered."},
	"THIRD_PARTY_AUTH_ERROR": {Code: 401, Status: "UNAUTHENTICATED", Message: "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or other valid authentication credential."},
}

// retryLater is Retry-After of a refusal that a fault makes up.
const retryLater = time.Minute

// fail is one of FCM's own errors.
func fail(code string) *failure {
	f := codes[code]
	f.fcm, f.Details = code, []any{fcmError{typeFCM, code}}
	return &f
}

// invalid is the refusal of a field.
func invalid(field, description string) *failure {
	f := fail("INVALID_ARGUMENT")
	f.Message = description
	f.Details = append(f.Details, badRequest{typeRequest, []violation{{field, description}}})
	return f
}

// unreadable is the refusal of a body that is not what the interface takes: FCM never saw it.
func unreadable(field, description string) *failure {
	return &failure{Code: 400, Status: "INVALID_ARGUMENT", Message: description, Details: []any{badRequest{typeRequest, []violation{{field, description}}}}}
}

var (
	unauthenticated = &failure{
		Code: 401, Status: "UNAUTHENTICATED",
		Message: "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.",
		Details: []any{errorInfo{typeInfo, "ACCESS_TOKEN_TYPE_UNSUPPORTED", "googleapis.com"}},
	}
	insufficientScope = &failure{
		Code: 403, Status: "PERMISSION_DENIED", Message: "Request had insufficient authentication scopes.",
		Details: []any{errorInfo{typeInfo, "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "googleapis.com"}},
	}
	otherProject = &failure{
		Code: 403, Status: "PERMISSION_DENIED", Message: "Permission 'cloudmessaging.messages.create' denied on the resource of this project (or it may not exist).",
		Details: []any{errorInfo{typeInfo, "IAM_PERMISSION_DENIED", "cloudresourcemanager.googleapis.com"}},
	}
)

// write answers with f.
func (f *failure) write(w http.ResponseWriter) {
	if f.retry > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(int64(math.Ceil(f.retry.Seconds())), 10))
	}
	if f.Code == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="https://accounts.google.com/"`)
	}
	cloud.WriteJSON(w, f.Code, map[string]*failure{"error": f})
}

// notFound is what an unknown path gets: a page, and no word of anything that was forgotten.
func notFound(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	w.WriteHeader(http.StatusNotFound)
	w.Write([]byte("<!DOCTYPE html><title>Error 404 (Not Found)!!1</title><p>The requested URL was not found on this server.\n"))
}
