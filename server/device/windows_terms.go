package device

import (
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"rollcall/protocol"
	"rollcall/protocol/windows"
	"rollcall/server/authority"
)

// termsPath is the page of the terms of use, whose address the directory's MDM application tells devices (windows.md section 2).
const termsPath = "/EnrollmentServer/TermsOfUse"

// termsLife is how long after the page was shown a device may enrol.
const termsLife = time.Hour

var termsForm = template.Must(template.New("terms").Parse(`<!doctype html><html lang="en"><meta charset="utf-8"><title>Terms of use</title>
<h1>Terms of use</h1><div style="white-space: pre-wrap">{{.Terms}}</div>
<form method="post" action="{{.Action}}"><input type="hidden" name="redirect_uri" value="{{.Back}}"><input type="hidden" name="blob" value="{{.Blob}}">
<p><button name="accept" value="yes">Accept</button> <button name="accept" value="no">Decline</button></p></form></html>
`))

// leadsToDevice tells whether an address that a device gave is one of an app of its own (WIN-009).
func leadsToDevice(back string) bool {
	u, err := url.Parse(back)
	return err == nil && (u.Scheme == "ms-app" || u.Scheme == "ms-appx-web")
}

// terms shows the terms of use to a user of the directory, and leads back with what became of it: always by 302. That the page was shown
// is in a blob, for this user and these terms; the device brings it along as its EnrollmentData.
func (h *Handler) terms(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	back := r.FormValue("redirect_uri")
	if !leadsToDevice(back) {
		h.cfg.Log.WithFields(logrus.Fields{"rule": "WIN-009", "remote": r.RemoteAddr}).Warn("terms of use refused: they would lead elsewhere than to the device")
		http.Error(w, "this page is opened by a device that enrols", http.StatusBadRequest)
		return
	}
	if no := h.tooMany(r, ""); no != nil {
		w.Header().Set("Retry-After", seconds(no.RetryAfter.Seconds()))
		http.Error(w, no.Error(), http.StatusServiceUnavailable)
		return
	}
	answer := func(pairs ...string) {
		u, _ := url.Parse(back) // leadsToDevice has read it
		q := u.Query()
		for i := 0; i < len(pairs); i += 2 {
			q.Set(pairs[i], pairs[i+1])
		}
		u.RawQuery = q.Encode()
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Location", u.String())
		w.WriteHeader(http.StatusFound)
	}
	if r.Method == http.MethodPost {
		if r.PostFormValue("accept") == "yes" {
			answer("IsAccepted", "true", "OpaqueBlob", r.PostFormValue("blob"))
		} else {
			answer("IsAccepted", "false")
		}
		return
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		answer("error", "invalid_request", "error_description", "a token of the directory is missing")
		return
	}
	now := h.now()
	claims, err := h.cfg.Windows.Verify(r.Context(), now, strings.TrimSpace(token))
	if err != nil {
		h.cfg.Log.WithError(err).WithFields(logrus.Fields{"rule": "HST-043", "remote": r.RemoteAddr}).Warn("terms of use refused: the token does not hold")
		answer("error", "unauthorized_client", "error_description", "the token of the directory is refused")
		return
	}
	user, known := h.cfg.Server.UserByUPN(claims.UPN)
	if !known {
		answer("error", "access_denied", "error_description", "the user of the token is not known here")
		return
	}
	blob := h.blob(user.UPN, now.Time())
	if h.cfg.Windows.Terms == "" {
		answer("IsAccepted", "true", "OpaqueBlob", blob)
		return
	}
	h.page(w, termsForm, struct{ Terms, Action, Back, Blob string }{h.cfg.Windows.Terms, termsPath, back, blob})
}

// blob says that a user was shown the terms in force then.
func (h *Handler) blob(upn string, shown time.Time) string {
	at := strconv.FormatInt(shown.Unix(), 36)
	return at + "." + base64.RawURLEncoding.EncodeToString(h.account(at+"\x00"+strings.ToLower(upn)+"\x00"+h.cfg.Windows.Terms, "terms"))
}

// accepted tells whether the user of a device of the directory has accepted the terms of use, if there are any: nil, or the fault. Nobody
// sits at one that enrols by itself.
func (h *Handler) accepted(now protocol.Time, who *applicant, data string) error {
	if h.cfg.Windows.Terms == "" || who.way == authority.GroupPolicy || who.way == authority.CoManagement {
		return nil
	}
	text, _, _ := strings.Cut(data, ".")
	shown, err := strconv.ParseInt(text, 36, 64)
	if s := time.Unix(shown, 0); err == nil && !s.After(now.Time()) && now.Time().Sub(s) <= termsLife && hmac.Equal([]byte(data), []byte(h.blob(h.nameOf(who.user), s))) {
		return nil
	}
	return &enrolFault{
		subcode: windows.SubcodeAuthorization, kind: windows.ErrorInvalidEnrollmentData, err: errors.New("the terms of use were not accepted, or too long ago"),
	}
}
