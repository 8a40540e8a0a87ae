package device

import (
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"github.com/sirupsen/logrus"

	"rollcall/protocol/windows"
	"rollcall/server/delivery"
)

// signInPath is the web page of AuthPolicy Federated, which a device opens in a browser of its own (windows.md section 2).
const signInPath = "/EnrollmentServer/SignIn"

var signInForm = template.Must(template.New("form").Parse(`<!doctype html><html lang="en"><meta charset="utf-8"><title>Enrol this device</title>
<h1>Enrol this device</h1>{{with .Wrong}}<p role="alert">{{.}}</p>{{end}}
<form method="post" action="{{.Action}}"><p><label>Code of your invitation <input name="code" autocomplete="off" autofocus required></label></p>
<p><button>Enrol</button></p></form></html>
`))

var signedIn = template.Must(template.New("back").Parse(`<!doctype html><html lang="en"><meta charset="utf-8"><title>Working...</title>
<form method="post" action="{{.Back}}"><input type="hidden" name="wresult" value="{{.Token}}"><noscript><button>Go on</button></noscript></form>
<script>document.forms[0].submit()</script></html>
`))

var enrolPage = template.Must(template.New("pc").Parse(`<!doctype html><html lang="en"><meta charset="utf-8"><title>Enrol this PC</title>
<h1>Enrol this PC</h1><ol><li><a href="{{.Link}}">Open Settings</a>, or go there: Accounts, Access work or school, Enroll only in device management.</li>
{{with .User}}<li>User name: <code>{{.}}</code></li>{{end}}<li>Server, where it is asked for: <code>{{.Server}}</code></li>
<li>Password: <code>{{.Token}}</code></li></ol></html>
`))

// enrolPC tells a person at a PC how to enrol it with an enrolment link: Windows takes no profile from a browser. Our own agent is told
// the same, and the key of orders.
func (h *Handler) enrolPC(w http.ResponseWriter, r *http.Request, token string, user delivery.UserID) {
	page := struct {
		Link                template.URL // of a scheme of Windows' own
		User, Server, Token string
	}{Server: h.cfg.Enrolment.URL + windows.DiscoveryPath, Token: token}
	if user != 0 {
		page.User = h.nameOf(user)
	}
	if asksForJSON(r) {
		i := windows.Invitation{Server: page.Server, User: page.User, Token: token}
		if seal := h.cfg.Enrolment.Seal; seal != nil {
			i.Seal = seal.Key().SPKI()
		}
		body, err := json.Marshal(&i)
		if err != nil {
			h.enrolRefuse(w, r, "", err)
			return
		}
		w.Header().Set("Cache-Control", "no-store") // it holds a token
		writeWhole(w, http.StatusOK, windows.InvitationType, body)
		return
	}
	page.Link = template.URL("ms-device-enrollment:?" + url.Values{"mode": {"mdm"}, "username": {page.User}, "servername": {page.Server}}.Encode())
	h.page(w, enrolPage, page)
}

// signIn asks for the token of an enrolment link and hands it back to the device, which brings it as its user token. Where the page
// leads is the device's to say, as far as it is an app of the device's (WIN-009).
func (h *Handler) signIn(w http.ResponseWriter, r *http.Request) {
	back := r.URL.Query().Get("appru")
	if !leadsToDevice(back) {
		h.cfg.Log.WithFields(logrus.Fields{"rule": "WIN-009", "remote": r.RemoteAddr}).Warn("sign-in refused: it would lead elsewhere than to the device")
		http.Error(w, "this page is opened by a device that enrols", http.StatusBadRequest)
		return
	}
	page := struct{ Wrong, Action string }{Action: signInPath + "?" + url.Values{"appru": {back}}.Encode()}
	switch r.Method {
	case http.MethodGet:
	case http.MethodPost:
		code := ""
		r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
		if r.ParseForm() == nil {
			code = strings.TrimSpace(r.PostForm.Get("code"))
		}
		if no := h.tooMany(r, code); no != nil {
			w.Header().Set("Retry-After", seconds(no.RetryAfter.Seconds()))
			http.Error(w, no.Error(), http.StatusServiceUnavailable)
			return
		}
		if _, err := h.cfg.Server.Ticket(r.Context(), h.now(), code); err == nil {
			h.page(w, signedIn, struct {
				Back  template.URL // its scheme was looked at
				Token string
			}{template.URL(back), code})
			return
		}
		page.Wrong = "This code is unknown, used or too old."
	default:
		w.Header().Set("Allow", "GET, POST")
		http.Error(w, "wrong method", http.StatusMethodNotAllowed)
		return
	}
	h.page(w, signInForm, page)
}

func (h *Handler) page(w http.ResponseWriter, t *template.Template, data any) {
	var b strings.Builder
	if err := t.Execute(&b, data); err != nil {
		h.cfg.Log.WithError(err).Error("sign-in")
		http.Error(w, "something failed here; please try again", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	writeWhole(w, http.StatusOK, "text/html; charset=utf-8", []byte(b.String()))
}
