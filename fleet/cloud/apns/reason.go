package apns

import "net/http"

// A Reason is the word with which the service refuses a push: "reason" in the JSON of its answer.
type Reason string

// The reasons of section 13.3 that this service gives, by itself or by a [Fault].
const (
	BadCollapseID             Reason = "BadCollapseId"
	BadDeviceToken            Reason = "BadDeviceToken"
	BadExpirationDate         Reason = "BadExpirationDate"
	BadMessageID              Reason = "BadMessageId"
	BadPriority               Reason = "BadPriority"
	BadTopic                  Reason = "BadTopic"
	DeviceTokenNotForTopic    Reason = "DeviceTokenNotForTopic"
	DuplicateHeaders          Reason = "DuplicateHeaders"
	IdleTimeout               Reason = "IdleTimeout"
	InvalidPushType           Reason = "InvalidPushType"
	MissingDeviceToken        Reason = "MissingDeviceToken"
	MissingTopic              Reason = "MissingTopic"
	PayloadEmpty              Reason = "PayloadEmpty"
	TopicDisallowed           Reason = "TopicDisallowed"
	BadCertificate            Reason = "BadCertificate"
	BadCertificateEnvironment Reason = "BadCertificateEnvironment"
	ExpiredProviderToken      Reason = "ExpiredProviderToken"
	Forbidden                 Reason = "Forbidden"
	InvalidProviderToken      Reason = "InvalidProviderToken"
	MissingProviderToken      Reason = "MissingProviderToken"
	UnrelatedKeyIDInToken     Reason = "UnrelatedKeyIdInToken"
	BadPath                   Reason = "BadPath"
	MethodNotAllowed          Reason = "MethodNotAllowed"
	ExpiredToken              Reason = "ExpiredToken"
	Unregistered              Reason = "Unregistered"
	PayloadTooLarge           Reason = "PayloadTooLarge"
	TooManyProviderTokens     Reason = "TooManyProviderTokenUpdates"
	TooManyRequests           Reason = "TooManyRequests"
	InternalServerError       Reason = "InternalServerError"
	ServiceUnavailable        Reason = "ServiceUnavailable"
	Shutdown                  Reason = "Shutdown"
)

var statuses = map[Reason]int{
	BadCollapseID:             http.StatusBadRequest,
	BadDeviceToken:            http.StatusBadRequest,
	BadExpirationDate:         http.StatusBadRequest,
	BadMessageID:              http.StatusBadRequest,
	BadPriority:               http.StatusBadRequest,
	BadTopic:                  http.StatusBadRequest,
	DeviceTokenNotForTopic:    http.StatusBadRequest,
	DuplicateHeaders:          http.StatusBadRequest,
	IdleTimeout:               http.StatusBadRequest,
	InvalidPushType:           http.StatusBadRequest,
	MissingDeviceToken:        http.StatusBadRequest,
	MissingTopic:              http.StatusBadRequest,
	PayloadEmpty:              http.StatusBadRequest,
	TopicDisallowed:           http.StatusBadRequest,
	BadCertificate:            http.StatusForbidden,
	BadCertificateEnvironment: http.StatusForbidden,
	ExpiredProviderToken:      http.StatusForbidden,
	Forbidden:                 http.StatusForbidden,
	InvalidProviderToken:      http.StatusForbidden,
	MissingProviderToken:      http.StatusForbidden,
	UnrelatedKeyIDInToken:     http.StatusForbidden,
	BadPath:                   http.StatusNotFound,
	MethodNotAllowed:          http.StatusMethodNotAllowed,
	ExpiredToken:              http.StatusGone,
	Unregistered:              http.StatusGone,
	PayloadTooLarge:           http.StatusRequestEntityTooLarge,
	TooManyProviderTokens:     http.StatusTooManyRequests,
	TooManyRequests:           http.StatusTooManyRequests,
	InternalServerError:       http.StatusInternalServerError,
	ServiceUnavailable:        http.StatusServiceUnavailable,
	Shutdown:                  http.StatusServiceUnavailable,
}

// Status returns the HTTP status that goes with r, 0 for a reason that Apple does not have.
func (r Reason) Status() int { return statuses[r] }
