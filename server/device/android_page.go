package device

import (
	"html/template"
	"net/http"

	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/protocol/windows"
	"rollcall/server/delivery"
)

var androidPage = template.Must(template.New("android").Parse(`<!doctype html><html lang="en"><meta charset="utf-8"><title>Enrol this Android device</title>
<h1>Enrol an Android device</h1><p>This link is for one device{{with .User}} of {{.}}{{end}}, mode <code>{{.Mode}}</code>.</p><ol>
{{if .Setup}}<li>A device in its factory state, in its setup: tap the screen six times and scan a QR code with this text: <code>{{.QR}}</code></li>
<li>A device with the agent of this server: enrol it with the server and the code below.</li>
{{else}}<li>Install the agent of this server on the device, and enrol it there with the server and the code below. Your own data stays yours.</li>{{end}}
<li>Server: <code>{{.Server}}</code></li><li>Code: <code>{{.Token}}</code></li></ol></html>
`))

// enrolAndroid tells a person, on the device or at a PC, how to enrol an Android device with its link: there is no profile that a browser
// could take. Looking uses nothing up. Our own agent gets what a QR code says, and whose the device is.
func (h *Handler) enrolAndroid(w http.ResponseWriter, r *http.Request, now protocol.Time, token string, user delivery.UserID) error {
	t, err := h.cfg.Server.AndroidToken(r.Context(), now, token, "")
	if err != nil {
		return errTicket
	}
	p, err := h.Provisioning(token, t.Mode)
	if err != nil {
		return err
	}
	if asksForJSON(r) {
		if user != 0 {
			p.Bundle.User = h.nameOf(user)
		}
		w.Header().Set("Cache-Control", "no-store") // it holds a token
		writeWhole(w, http.StatusOK, windows.InvitationType, android.Append(nil, p))
		return nil
	}
	page := struct {
		User, Server, Token, QR string
		Mode                    android.Mode
		Setup                   bool // it can be enrolled in its setup
	}{Server: p.Bundle.ServerURL, Token: token, QR: string(android.Append(nil, p)), Mode: t.Mode, Setup: t.Mode.CompanyOwned()}
	if user != 0 {
		page.User = h.nameOf(user)
	}
	h.page(w, androidPage, page)
	return nil
}
