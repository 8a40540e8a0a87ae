package android

import "rollcall/protocol"

// A CommandType is what a command asks of a device. The words are those of Android Management API.
type CommandType string

// The types that rollcall's server gives and its devices know.
const (
	Lock                CommandType = "LOCK"
	ResetPassword       CommandType = "RESET_PASSWORD"
	Reboot              CommandType = "REBOOT"
	ClearAppData        CommandType = "CLEAR_APP_DATA"
	StartLostMode       CommandType = "START_LOST_MODE"
	StopLostMode        CommandType = "STOP_LOST_MODE"
	Wipe                CommandType = "WIPE"
	RelinquishOwnership CommandType = "RELINQUISH_OWNERSHIP"
	RequestDeviceInfo   CommandType = "REQUEST_DEVICE_INFO" // a whole status report in the next round
)

// A Command is one order for one device: LOCK, RESET_PASSWORD, REBOOT, CLEAR_APP_DATA, START_LOST_MODE, STOP_LOST_MODE, WIPE,
// RELINQUISH_OWNERSHIP or REQUEST_DEVICE_INFO.
type Command struct {
	ID         string        `json:"id"`
	Type       CommandType   `json:"type"`                // one of those above; another one ends as UNSUPPORTED
	CreateTime protocol.Time `json:"createTime,omitzero"` // when it was ordered
	ExpireTime protocol.Time `json:"expireTime,omitzero"` // from then on it is not carried out; zero: never

	NewPassword         string               `json:"newPassword,omitempty"`        // RESET_PASSWORD
	ResetPasswordFlags  []string             `json:"resetPasswordFlags,omitempty"` // RESET_PASSWORD
	ClearAppsDataParams *ClearAppsDataParams `json:"clearAppsDataParams,omitempty"`
	LostModeParams      *LostModeParams      `json:"startLostModeParams,omitempty"`
	WipeParams          *WipeParams          `json:"wipeParams,omitempty"`
	Order               string               `json:"order,omitempty"` // signed, with whatever ends management: see [Order]
}

// ClearAppsDataParams names the apps whose data goes.
type ClearAppsDataParams struct {
	PackageNames []string `json:"packageNames"`
}

// LostModeParams is what a lost device shows; one of the two at least.
type LostModeParams struct {
	LostMessage     string `json:"lostMessage,omitempty"`
	LostPhoneNumber string `json:"lostPhoneNumber,omitempty"`
}

// WipeParams say why, and what is kept.
type WipeParams struct {
	Reason        string   `json:"wipeReasonMessage,omitempty"`
	WipeDataFlags []string `json:"wipeDataFlags,omitempty"`
}

// A ResultState is how a command ended.
type ResultState string

// The states.
const (
	ResultDone  ResultState = "DONE"
	ResultError ResultState = "ERROR"
	ResultLater ResultState = "PENDING" // not now; the command stays
)

// UnmarshalText takes the words above; anything else is an error that lists them.
func (s *ResultState) UnmarshalText(b []byte) error {
	return oneOf(s, b, []ResultState{ResultDone, ResultError, ResultLater})
}

// A Result is what became of a command. ErrorCode is UNKNOWN, API_LEVEL, MANAGEMENT_MODE, INVALID_VALUE, UNSUPPORTED or EXPIRED, or
// what is special to the command: ALREADY_IN_LOST_MODE, NOT_IN_LOST_MODE, NO_ORDER. A command that is PENDING comes again.
type Result struct {
	Command             string               `json:"command"`
	State               ResultState          `json:"state"`
	ErrorCode           string               `json:"errorCode,omitempty"`
	ClearAppsDataStatus map[string]AppResult `json:"clearAppsDataStatus,omitempty"` // by package name
}

// Error codes of a [Result].
const (
	CodeAPILevel       = "API_LEVEL"
	CodeManagementMode = "MANAGEMENT_MODE"
	CodeInvalidValue   = "INVALID_VALUE"
	CodeUnsupported    = "UNSUPPORTED"
	CodeExpired        = "EXPIRED"
	CodeAlreadyLost    = "ALREADY_IN_LOST_MODE"
	CodeNotLost        = "NOT_IN_LOST_MODE"
	CodeNoOrder        = "NO_ORDER" // without the server's signature nobody leaves (HST-027)
)

// An AppResult is what became of one app's data.
type AppResult struct {
	Result string `json:"clearAppDataResult"` // SUCCESS, APP_NOT_FOUND, APP_PROTECTED or API_LEVEL
}

// Values of an [AppResult].
const (
	AppCleared  = "SUCCESS"
	AppNotFound = "APP_NOT_FOUND"
)

// Ends tells whether carrying out the command ends management.
func (t CommandType) Ends() bool { return t == Wipe || t == RelinquishOwnership }
