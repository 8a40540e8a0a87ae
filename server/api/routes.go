package api

import (
	"net/http"

	"rollcall/protocol"
	"rollcall/server/store"
)

// A route is one thing that the API can do. The table is data: handler, authorisation test and OpenAPI document
// are made of it.
type route struct {
	method, path string
	summary      string
	open         bool       // needs no token
	needs        store.Role // the least role that may; NoRole: nobody
	journals     bool       // its device puts refusals into the journal itself
	asks         bool       // it changes nothing, whatever its method
	query        []param
	in           func() any // a new body for decode; nil: the request has none
	out          any        // an answer, for its type
	made         bool       // success is 201
	serve        func(h *Handler, c *call) (any, error)
}

// admits tells whether an administrator of this role may.
func (r *route) admits(role store.Role) bool { return r.needs != store.NoRole && role >= r.needs }

// changes tells whether the route is there to change something.
func (r *route) changes() bool { return r.method != http.MethodGet && !r.asks }

func (r *route) success() int {
	if r.made {
		return http.StatusCreated
	}
	return http.StatusOK
}

// A param is one parameter of a query.
type param struct {
	Name    string
	Type    string // string, integer, or strings, which may be given more than once
	Meaning string
}

var page = []param{
	{"after", "string", "cursor: the next of the page before"},
	{"limit", "integer", "rows of a page, at most 1000; 100 when it is left out"},
}

// removal says which profile to take from whom.
var removal = []param{
	{"name", "string", "of the profile"},
	{"group", "strings", "a group that loses it; left out: all, and the profile is forgotten"},
	{"authority", "string", "whose profile; left out: the tenant's"},
}

func body[T any]() func() any { return func() any { return new(T) } }

// An order is one thing an administrator can ask of a device.
type order struct {
	name    string
	kind    protocol.CommandKind
	summary string
}

var orders = []order{
	{"sync", protocol.NoCommand, "wake the device"},
	{"lock", protocol.Lock, "lock its screen; a Mac with a PIN"},
	{"wipe", protocol.Erase, "erase it"},
	{"restart", protocol.Restart, "restart it"},
	{"reset-passcode", protocol.ResetPasscode, "give an Android device or work profile another passcode, or none"},
	{"clear-app-data", protocol.ClearAppData, "remove what apps keep on an Android device"},
	{"start-lost-mode", protocol.StartLostMode, "lock a lost Android device of the company's, with a message for who finds it"},
	{"stop-lost-mode", protocol.StopLostMode, "take it out of that"},
	{"retire", protocol.Retire, "take it out of management, personal data left alone (AUTH-53)"},
	{"information", protocol.DeviceInformation, "ask what it is"},
	{"security", protocol.SecurityInfo, "ask how it is protected"},
	{"profile-list", protocol.ProfileList, "ask for its profiles"},
	{"certificate-list", protocol.CertificateList, "ask for its certificates"},
	{"application-list", protocol.InstalledApplicationList, "ask for its applications"},
}

func routes() []route {
	rs := []route{
		{method: "GET", path: "/healthz", summary: "is the server there", open: true, out: health{}, serve: (*Handler).health},
		{method: "GET", path: "/rollcall/v1/openapi.json", summary: "this document", open: true, out: document{}, serve: (*Handler).openAPI},

		{
			method: "POST", path: "/rollcall/v1/tenant", needs: store.IntuneAdministrator, summary: "set the tenant up (AUTH-01)", in: body[setUp](), out: tenant{},
			serve: (*Handler).setUp,
		},
		{
			method: "GET", path: "/rollcall/v1/authority", needs: store.Reader, summary: "the tenant's authority, the gap in its push certificates, and who is still to come",
			out: state{}, serve: (*Handler).getAuthority,
		},
		{
			method: "POST", path: "/rollcall/v1/authority", needs: store.IntuneAdministrator, summary: "change the authority (AUTH-04); some changes want the id of a preview",
			in: body[changeAuthority](), out: preview{}, serve: (*Handler).setAuthority,
		},
		{
			method: "POST", path: "/rollcall/v1/authority/preview", needs: store.Reader, asks: true, summary: "what a change of authority would do now (AUTH-35)",
			in: body[changeAuthority](), out: preview{}, serve: (*Handler).previewAuthority,
		},
		{
			method: "GET", path: "/rollcall/v1/authority/verify", needs: store.Reader, summary: "compare expected and listed devices (AUTH-39)", out: verification{},
			serve: (*Handler).verifyAuthority,
		},
		{
			method: "GET", path: "/rollcall/v1/authority/readiness", needs: store.Reader, summary: "users with devices and nothing assigned (AUTH-38)", out: readiness{},
			query: []param{{"authority", "string", "before a change to this one; left out: under the present one"}}, serve: (*Handler).readiness,
		},
		{method: "GET", path: "/rollcall/v1/settings", needs: store.Reader, summary: "the tenant's settings", out: settings{}, serve: (*Handler).getSettings},
		{
			method: "POST", path: "/rollcall/v1/settings", needs: store.IntuneAdministrator, summary: "change settings; what is left out stays as it is", in: body[settings](),
			out: settings{}, serve: (*Handler).setSettings,
		},
		{
			method: "GET", path: "/rollcall/v1/consents", needs: store.Reader, summary: "data-sharing consents, and what is shared (AUTH-05, AUTH-07)", out: consents{},
			serve: (*Handler).getConsents,
		},
		{
			method: "POST", path: "/rollcall/v1/consents/{service}", needs: store.IntuneAdministrator, summary: "grant a data-sharing consent, for good (AUTH-05)",
			in: body[done](), out: consents{}, serve: (*Handler).grantConsent,
		},
		{method: "GET", path: "/rollcall/v1/clock", needs: store.Reader, summary: "the server's time and when it next has something to do", out: clock{}, serve: (*Handler).getClock},
		{
			method: "POST", path: "/rollcall/v1/clock", needs: store.IntuneAdministrator, summary: "step a driven clock and do what is due by then", in: body[step](), out: clock{},
			serve: (*Handler).step,
		},
		{
			method: "POST", path: "/rollcall/v1/clock/confirm", needs: store.IntuneAdministrator,
			summary: "say that the clock is right after it was set: what waited for that goes on (HST-110)", in: body[done](), out: clock{}, serve: (*Handler).confirmClock,
		},

		{method: "GET", path: "/rollcall/v1/users", needs: store.Reader, summary: "list users", query: page, out: userPage{}, serve: (*Handler).getUsers},
		{method: "POST", path: "/rollcall/v1/users", needs: store.IntuneAdministrator, summary: "add users, or change them by UPN", in: body[putUsers](), out: count{}, serve: (*Handler).putUsers},
		{
			method: "DELETE", path: "/rollcall/v1/users", needs: store.IntuneAdministrator, summary: "remove a user who has no enrolled device",
			query: []param{{"upn", "string", "of the user"}}, out: done{}, serve: (*Handler).removeUser,
		},
		{
			method: "POST", path: "/rollcall/v1/users/licences", needs: store.IntuneAdministrator, summary: "say what users hold: all of it, or what comes and goes; devices move (AUTH-23)",
			in: body[licences](), out: preview{}, serve: (*Handler).setLicences,
		},
		{
			method: "POST", path: "/rollcall/v1/users/licences/preview", needs: store.Reader, asks: true, summary: "what a change of licences would do now (AUTH-35)",
			in: body[licences](), out: preview{}, serve: (*Handler).previewLicences,
		},
		{
			method: "POST", path: "/rollcall/v1/invitations", needs: store.Helpdesk, summary: "make single-use enrolment links", in: body[invite](), out: invitations{}, made: true,
			serve: (*Handler).invite,
		},
		{method: "GET", path: "/rollcall/v1/packages", needs: store.Reader, summary: "list provisioning packages for Windows devices", out: pkgs{}, serve: (*Handler).getPackages},
		{
			method: "POST", path: "/rollcall/v1/packages", needs: store.IntuneAdministrator, summary: "make a provisioning package with a bootstrap certificate, whose key is shown this once (WIN-067)",
			in: body[newPackage](), out: packageMade{}, made: true, serve: (*Handler).makePackage,
		},
		{
			method: "DELETE", path: "/rollcall/v1/packages", needs: store.IntuneAdministrator, summary: "end a provisioning package; what enrolled by it stays",
			query: []param{{"name", "string", "of the package"}}, out: done{}, serve: (*Handler).revokePackage,
		},
		{
			method: "POST", path: "/rollcall/v1/ade/serials", needs: store.IntuneAdministrator, summary: "assign devices to the tenant for automated enrolment", in: body[putSerials](), out: count{},
			serve: (*Handler).putSerials,
		},

		{method: "GET", path: "/rollcall/v1/profiles", needs: store.Reader, summary: "list profiles", out: profiles{}, serve: (*Handler).getProfiles},
		{
			method: "POST", path: "/rollcall/v1/profiles", needs: store.IntuneAdministrator, summary: "store the newest version of a profile, or assign it", in: body[putProfile](), out: profileMade{},
			serve: (*Handler).putProfile,
		},
		{
			method: "DELETE", path: "/rollcall/v1/profiles", needs: store.IntuneAdministrator, summary: "take a profile from groups, or from everybody", out: preview{}, serve: (*Handler).deleteProfile,
			query: append([]param{{"confirm", "string", "id of a preview of the same removal"}}, removal...),
		},
		{
			method: "POST", path: "/rollcall/v1/profiles/preview", needs: store.Reader, asks: true, summary: "what storing or assigning a profile would do now (AUTH-35)",
			in: body[putProfile](), out: preview{}, serve: (*Handler).previewProfile,
		},
		{
			method: "GET", path: "/rollcall/v1/profiles/preview", needs: store.Reader, summary: "what taking a profile would do now (AUTH-35)", query: removal,
			out: preview{}, serve: (*Handler).previewRemoval,
		},

		{method: "GET", path: "/rollcall/v1/apns", needs: store.Reader, summary: "the push certificate and what is wrong with it", out: pushStatus{}, serve: (*Handler).getPush},
		{
			method: "POST", path: "/rollcall/v1/apns", needs: store.IntuneAdministrator, summary: "upload a push certificate (AUTH-34)", in: body[pushUpload](), out: pushUploaded{},
			serve: (*Handler).uploadPush,
		},
		{
			method: "POST", path: "/rollcall/v1/apns/preview", needs: store.Reader, asks: true, summary: "what the upload of a push certificate would do now (AUTH-35)",
			in: body[pushUpload](), out: pushUploaded{}, serve: (*Handler).previewPush,
		},
		{
			method: "POST", path: "/rollcall/v1/apns/csr", needs: store.IntuneAdministrator, summary: "make a key and a request for the push certificate (AUTH-34)",
			in: body[done](), out: csr{}, made: true, serve: (*Handler).pushCSR,
		},
		{
			method: "POST", path: "/rollcall/v1/apns/make-test", needs: store.IntuneAdministrator, summary: "make a push certificate for a simulated push service", in: body[pushTest](),
			out: pushMade{}, made: true, serve: (*Handler).makeTestPush,
		},

		{
			method: "GET", path: "/rollcall/v1/journal", needs: store.Reader, summary: "what happened, oldest first; with wait, as soon as it happens",
			query: journalQuery, out: journal{}, serve: (*Handler).getJournal,
		},
		{
			method: "GET", path: "/rollcall/v1/audit/verify", needs: store.Reader, summary: "is the journal as it was written (HST-074)", out: verified{},
			serve: (*Handler).verifyJournal,
		},
		{method: "GET", path: "/rollcall/v1/tokens", needs: store.GlobalAdministrator, summary: "list tokens of this API", out: tokens{}, serve: (*Handler).getTokens},
		{
			method: "POST", path: "/rollcall/v1/tokens", needs: store.GlobalAdministrator, summary: "make a token; it is shown this once", in: body[newToken](), out: tokenMade{}, made: true,
			serve: (*Handler).makeToken,
		},
		{
			method: "DELETE", path: "/rollcall/v1/tokens", needs: store.GlobalAdministrator, summary: "revoke a token", query: []param{{"name", "string", "of the token"}}, out: done{},
			serve: (*Handler).revokeToken,
		},

		{
			method: "GET", path: "/rollcall/v1/devices", needs: store.Reader, summary: "list devices, those too that are enrolling or have ended", out: devicePage{}, serve: (*Handler).getDevices,
			query: append([]param{{"platform", "string", "ios, ipados, macos, android or windows"}, {"user", "string", "UPN"}}, page...),
		},
		{
			method: "GET", path: "/rollcall/v1/devices/{id}", needs: store.Reader, summary: "one device: its commands, profiles, identity and latest report", out: details{},
			serve: (*Handler).getDevice,
		},
		{
			method: "DELETE", path: "/rollcall/v1/devices/{id}", needs: store.Helpdesk, journals: true,
			summary: "retire it, and remove its record once it has heard; at once where it is not enrolled (AUTH-53); an Android device with no other way out erases itself, which wants count=1 (HST-071)",
			query:   []param{{"count", "integer", "1, to say that it is meant to erase itself"}}, out: deleted{}, serve: (*Handler).deleteDevice,
		},
		{
			method: "POST", path: "/rollcall/v1/devices/{id}/support-move", needs: store.Helpdesk, journals: true,
			summary: "have a userless device move at its next check-in (AUTH-18)", in: body[done](), out: done{}, serve: (*Handler).supportMove,
		},
		{
			method: "POST", path: "/rollcall/v1/devices/{id}/reenrol", needs: store.Helpdesk, journals: true,
			summary: "unenrol it at its next check-in and make a link to enrol again (AUTH-44)", in: body[done](), out: invitation{}, made: true, serve: (*Handler).reenrol,
		},
		{
			method: "POST", path: "/rollcall/v1/orders/wipe", needs: store.Helpdesk, journals: true,
			summary: "erase several devices; wants their number, and an hour has a bound (HST-071)", in: body[wipe](), out: wiped{}, serve: (*Handler).wipe,
		},
		{
			method: "POST", path: "/rollcall/v1/orders/wipe/preview", needs: store.Reader, asks: true, summary: "which devices a wipe would erase (HST-071)",
			in: body[wipe](), out: wiped{}, serve: (*Handler).previewWipe,
		},
		{
			method: "POST", path: "/rollcall/v1/orders/delete", needs: store.Helpdesk, journals: true,
			summary: "delete several devices; of those that erase themselves by it it wants the number, and an hour has a bound (HST-071)", in: body[deletion](), out: deleted{}, serve: (*Handler).delete,
		},
		{
			method: "POST", path: "/rollcall/v1/orders/delete/preview", needs: store.Reader, asks: true, summary: "what a deletion would do to devices, and which it would erase (HST-071)",
			in: body[deletion](), out: deleted{}, serve: (*Handler).previewDelete,
		},
		{
			method: "GET", path: "/rollcall/v1/portals/{authority}/devices", needs: store.Reader, summary: "list the devices that an authority manages (AUTH-45)", query: page,
			out: devicePage{}, serve: (*Handler).getPortal,
		},
	}
	for _, o := range orders {
		rs = append(rs, route{
			method: "POST", path: "/rollcall/v1/devices/{id}/" + o.name, needs: store.Helpdesk, journals: true, summary: o.summary, in: body[orderBody](), out: ordered{},
			serve: func(h *Handler, c *call) (any, error) { return h.order(c, o.kind) },
		})
	}
	return rs
}
