package windows

// An Invitation is what an enrolment link tells rollcall's own agent, as JSON, that enrols a machine as a Windows device. A browser on a
// Windows device gets a page with the same.
type Invitation struct {
	Server string `json:"server"`         // URL of discovery
	User   string `json:"user,omitempty"` // UPN; empty: a device without a user
	Token  string `json:"token"`          // the password
	Seal   []byte `json:"seal,omitempty"` // key that the server signs orders with that end management, SPKI; empty: it signs none
}

// InvitationType is its media type.
const InvitationType = "application/json"
