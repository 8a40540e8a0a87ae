package target

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/protocol"
)

// A seen is one request that the fake server got.
type seen struct {
	method, target, authorization string
	body                          map[string]any
}

// fake answers each request by its method and path, in turn.
func fake(t *testing.T, answers map[string][]string) (*Rollcall, *[]seen) {
	t.Helper()
	var got []seen
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		one := seen{method: r.Method, target: r.URL.RequestURI(), authorization: r.Header.Get("Authorization")}
		json.Unmarshal(b, &one.body)
		got = append(got, one)
		key := r.Method + " " + r.URL.EscapedPath()
		list := answers[key]
		if len(list) == 0 {
			t.Errorf("no answer for %s", key)
			w.WriteHeader(500)
			return
		}
		if len(list) > 1 {
			answers[key] = list[1:]
		}
		status, text, _ := strings.Cut(list[0], " ")
		var n int
		fmt.Sscan(status, &n)
		w.WriteHeader(n)
		io.WriteString(w, text)
	}))
	t.Cleanup(s.Close)
	return &Rollcall{URL: s.URL + "/", Token: "rollcall_x", HTTP: s.Client()}, &got
}

func TestListsComeInPages(t *testing.T) {
	r, got := fake(t, map[string][]string{"GET /rollcall/v1/devices": {
		`200 {"devices":[{"id":"A","platform":"ios","registered":"intune","last_seen":"2026-03-02T09:00:00Z","ended_at":""},{"id":"B","registered":"unknown"}],"next":"2"}`,
		`200 {"devices":[{"id":"C","registered":"office365"}],"next":""}`,
	}})
	var ids []string
	for d, err := range r.Devices(context.Background(), Filter{Platform: protocol.IOS, User: "a+b@x"}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, d.ID)
		if d.ID == "A" && (d.Platform != protocol.IOS || d.LastSeen == 0 || d.EndedAt != 0) {
			t.Errorf("device %+v", d)
		}
	}
	if strings.Join(ids, "") != "ABC" {
		t.Errorf("listed %v, want A B C", ids)
	}
	if want := "/rollcall/v1/devices?limit=1000&platform=ios&user=a%2Bb%40x"; (*got)[0].target != want {
		t.Errorf("asked %s, want %s", (*got)[0].target, want)
	}
	if want := "/rollcall/v1/devices?after=2&limit=1000&platform=ios&user=a%2Bb%40x"; (*got)[1].target != want {
		t.Errorf("asked %s, want %s", (*got)[1].target, want)
	}
	if (*got)[0].authorization != "Bearer rollcall_x" {
		t.Errorf("authorization %q", (*got)[0].authorization)
	}
}

func TestAListEndsWithItsError(t *testing.T) {
	r, _ := fake(t, map[string][]string{"GET /rollcall/v1/portals/intune/devices": {`200 {"devices":[{"id":"A"}],"next":"1"}`, `503 busy`}})
	n, failed := 0, 0
	for _, err := range r.Devices(context.Background(), Filter{Registered: protocol.Intune}) {
		if n++; err != nil {
			failed++
		}
	}
	if n != 2 || failed != 1 {
		t.Errorf("%d rows, %d errors; want one device and one error", n, failed)
	}
	for range r.Devices(context.Background(), Filter{Registered: protocol.Intune}) {
		break // a caller may stop at any row
	}
}

func TestErrorsNameTheRule(t *testing.T) {
	for _, tt := range []struct {
		name, answer string
		refused      bool
		text         string
	}{
		{"a rule refuses", `409 {"error":{"rule":"AUTH-32","message":"another topic"}}`, true, "AUTH-32: another topic"},
		{"bad input", `400 {"error":{"rule":"HST-014","message":"unknown field","field":"users[0].x"}}`, true, "HST-014: users[0].x: unknown field"},
		{"no JSON", `502 <html>`, false, "POST /rollcall/v1/apns: the server answered 502 Bad Gateway"},
		{"JSON of somebody else", `500 {"error":null}`, false, "POST /rollcall/v1/apns: the server answered 500 Internal Server Error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, _ := fake(t, map[string][]string{"POST /rollcall/v1/apns": {tt.answer}})
			err := r.UploadPush(context.Background(), PushUpload{Certificate: []byte("x")})
			if _, ok := errors.AsType[*protocol.Refusal](err); ok != tt.refused {
				t.Errorf("a refusal: %v, want %v", ok, tt.refused)
			}
			if err == nil || err.Error() != tt.text {
				t.Errorf("error %q, want %q", err, tt.text)
			}
		})
	}
}

func TestRequests(t *testing.T) {
	ctx := context.Background()
	at := protocol.At(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC))
	for _, tt := range []struct {
		name         string
		call         func(r *Rollcall) error
		method, path string
		answer, body string
	}{
		{"SetUp", func(r *Rollcall) error {
			return r.SetUp(ctx, Tenant{Authority: protocol.Office365, Release: 1910, Epoch: 7, ChangedAt: at, Lifetime: SecondsOf(1500 * time.Millisecond)})
		}, "POST", "/rollcall/v1/tenant", "{}", `{"authority":"office365","lifetime_seconds":2,"release":1910}`},
		{"Order", func(r *Rollcall) error {
			id, err := r.Order(ctx, "A/B", Order{Kind: Lock, PIN: "123456"})
			if err == nil && id != "C-1" {
				err = fmt.Errorf("ordered as %q, want C-1", id)
			}
			return err
		}, "POST", "/rollcall/v1/devices/A%2FB/lock", `{"command":"C-1"}`, `{"pin":"123456"}`},
		{"ApplyProfile", func(r *Rollcall) error { return r.ApplyProfile(ctx, "wifi", []byte("<x>"), []string{"g"}) }, "POST", "/rollcall/v1/profiles", "{}", `{"document":"PHg+","groups":["g"],"name":"wifi"}`},
		{"Unassign", func(r *Rollcall) error { return r.Unassign(ctx, "wifi", "R&D/EU; x") }, "DELETE", "/rollcall/v1/profiles?group=R%26D%2FEU%3B+x&name=wifi", "{}", `null`},
		{"RemoveProfile", func(r *Rollcall) error { return r.RemoveProfile(ctx, "a b") }, "DELETE", "/rollcall/v1/profiles?name=a+b", "{}", `null`},
		{"PutProfile", func(r *Rollcall) error {
			_, err := r.PutProfile(ctx, ProfileChange{Name: "mail", Authority: protocol.Office365, Groups: []string{"g"}, Confirm: "x"})
			return err
		}, "POST", "/rollcall/v1/profiles", "{}", `{"authority":"office365","confirm":"x","groups":["g"],"name":"mail"}`},
		{"PreviewProfile", func(r *Rollcall) error {
			_, err := r.PreviewProfile(ctx, ProfileChange{Name: "mail", Document: []byte("<x>"), Confirm: "not sent"})
			return err
		}, "POST", "/rollcall/v1/profiles/preview", "{}", `{"document":"PHg+","name":"mail"}`},
		{"TakeProfile", func(r *Rollcall) error {
			_, err := r.TakeProfile(ctx, ProfileRemoval{Name: "mail", Authority: protocol.Office365, Groups: []string{"a", "b"}, Confirm: "x"})
			return err
		}, "DELETE", "/rollcall/v1/profiles?authority=office365&confirm=x&group=a&group=b&name=mail", "{}", `null`},
		{"PreviewRemoval", func(r *Rollcall) error {
			_, err := r.PreviewRemoval(ctx, ProfileRemoval{Name: "mail", Confirm: "not sent"})
			return err
		}, "GET", "/rollcall/v1/profiles/preview?name=mail", "{}", `null`},
		{"AddSerials", func(r *Rollcall) error { return r.AddSerials(ctx, []Serial{{Serial: "C1", Awaiting: true}}) }, "POST", "/rollcall/v1/ade/serials", "{}", `{"serials":[{"awaiting":true,"serial":"C1"}]}`},
		{"Step", func(r *Rollcall) error { _, err := r.Step(ctx, at); return err }, "POST", "/rollcall/v1/clock", `{"now":"2026-03-02T09:00:00Z","next":""}`, `{"to":"2026-03-02T09:00:00Z"}`},
		{"MakeTestPush", func(r *Rollcall) error { _, err := r.MakeTestPush(ctx, "", time.Hour); return err }, "POST", "/rollcall/v1/apns/make-test", `{"certificate":"eA=="}`, `{"lifetime_seconds":3600}`},
		{"MakeToken", func(r *Rollcall) error { _, err := r.MakeToken(ctx, "x", "reader", 0); return err }, "POST", "/rollcall/v1/tokens", `{"token":"t"}`, `{"name":"x","role":"reader"}`},
		{"PreviewAuthority", func(r *Rollcall) error {
			p, err := r.PreviewAuthority(ctx, Change{Authority: "coexistence", Force: true, Confirm: "not sent"})
			if p.ID != "x" || p.Groups[0].To != protocol.Intune || p.Groups[0].Platforms[0].Devices != 3 {
				return fmt.Errorf("read %+v", p)
			}
			return err
		}, "POST", "/rollcall/v1/authority/preview", `{"id":"x","groups":[{"to":"intune","platforms":[{"platform":"ios","devices":3}]}]}`, `{"authority":"coexistence","force":true}`},
		{"SetAuthority", func(r *Rollcall) error {
			_, err := r.SetAuthority(ctx, Change{Authority: "sccm", Confirm: "x"})
			return err
		}, "POST", "/rollcall/v1/authority", `{}`, `{"authority":"sccm","confirm":"x"}`},
		{"SetLicences", func(r *Rollcall) error {
			_, err := r.SetLicences(ctx, []Licence{{UPN: "a@x", Intune: true}}, "")
			return err
		}, "POST", "/rollcall/v1/users/licences", `{}`, `{"licences":[{"intune":true,"upn":"a@x"}]}`},
		{"PreviewLicences", func(r *Rollcall) error { _, err := r.PreviewLicences(ctx, []Licence{{UPN: "a@x"}}); return err }, "POST", "/rollcall/v1/users/licences/preview", `{}`, `{"licences":[{"upn":"a@x"}]}`},
		{"Authority", func(r *Rollcall) error {
			s, err := r.Authority(ctx)
			if !s.Gap.Open || s.Authority != protocol.Office365 || s.Name != "coexistence" {
				return fmt.Errorf("read %+v", s)
			}
			return err
		}, "GET", "/rollcall/v1/authority", `{"authority":"office365","name":"coexistence","apns_gap":{"open":true}}`, `null`},
		{"VerifyAuthority", func(r *Rollcall) error { _, err := r.VerifyAuthority(ctx); return err }, "GET", "/rollcall/v1/authority/verify", `{}`, `null`},
		{"Readiness", func(r *Rollcall) error { _, err := r.Readiness(ctx, "intune"); return err }, "GET", "/rollcall/v1/authority/readiness?authority=intune", `{}`, `null`},
		{"SetSettings", func(r *Rollcall) error { return r.SetSettings(ctx, Settings{CleanUpDays: new(0), Units: new(-1)}) }, "POST", "/rollcall/v1/settings", `{}`, `{"clean_up_days":0,"intune_units":-1}`},
		{"Consent", func(r *Rollcall) error { return r.Consent(ctx, "a/b") }, "POST", "/rollcall/v1/consents/a%2Fb", `{}`, `{}`},
		{"PushCSR", func(r *Rollcall) error {
			pem, slot, err := r.PushCSR(ctx)
			if string(pem) != "x" || slot != protocol.Intune {
				return fmt.Errorf("read %q, %s", pem, slot)
			}
			return err
		}, "POST", "/rollcall/v1/apns/csr", `{"request":"eA==","slot":"intune"}`, `{}`},
		{"SupportMove", func(r *Rollcall) error { return r.SupportMove(ctx, "A") }, "POST", "/rollcall/v1/devices/A/support-move", `{}`, `{}`},
		{"Reenrol", func(r *Rollcall) error { _, err := r.Reenrol(ctx, "A"); return err }, "POST", "/rollcall/v1/devices/A/reenrol", `{"url":"u"}`, `{}`},
		{"Delete", func(r *Rollcall) error { return r.Delete(ctx, "A/B", 0) }, "DELETE", "/rollcall/v1/devices/A%2FB", `{}`, `null`},
		{"Delete, meant to erase", func(r *Rollcall) error { return r.Delete(ctx, "A/B", 1) }, "DELETE", "/rollcall/v1/devices/A%2FB?count=1", `{}`, `null`},
		{"PreviewDelete", func(r *Rollcall) error {
			d, err := r.PreviewDelete(ctx, DeleteOrder{Devices: []string{"A"}})
			if d.Erases != 1 || !slices.Equal(d.ByMode, []Erased{{"DEDICATED", 1}}) || d.Devices[0] != (Deleted{Device: "A", Mode: "DEDICATED", Erases: true}) {
				return fmt.Errorf("read %+v", d)
			}
			return err
		}, "POST", "/rollcall/v1/orders/delete/preview", `{"devices":[{"device":"A","mode":"DEDICATED","erases":true}],"erases":1,"by_mode":[{"mode":"DEDICATED","devices":1}]}`, `{"devices":["A"]}`},
		{"DeleteAll", func(r *Rollcall) error {
			d, err := r.DeleteAll(ctx, DeleteOrder{Devices: []string{"A"}, Count: 1})
			if d.Erases != 1 {
				return fmt.Errorf("read %+v", d)
			}
			return err
		}, "POST", "/rollcall/v1/orders/delete", `{"devices":[],"erases":1,"by_mode":[]}`, `{"count":1,"devices":["A"]}`},
		{"VerifyJournal", func(r *Rollcall) error { _, err := r.VerifyJournal(ctx); return err }, "GET", "/rollcall/v1/audit/verify", `{"sound":true}`, `null`},
		{"MakePackage", func(r *Rollcall) error {
			p, err := r.MakePackage(ctx, "x", 2, time.Hour)
			if string(p.Bundle) != "x" || p.Machines != 2 {
				return fmt.Errorf("read %+v", p)
			}
			return err
		}, "POST", "/rollcall/v1/packages", `{"name":"x","machines":2,"bundle":"eA=="}`, `{"lifetime_seconds":3600,"machines":2,"name":"x"}`},
		{"Packages", func(r *Rollcall) error { _, err := r.Packages(ctx); return err }, "GET", "/rollcall/v1/packages", `{"packages":[]}`, `null`},
		{"RevokePackage", func(r *Rollcall) error { return r.RevokePackage(ctx, "x") }, "DELETE", "/rollcall/v1/packages?name=x", "{}", `null`},
		{"RevokeToken", func(r *Rollcall) error { return r.RevokeToken(ctx, "x") }, "DELETE", "/rollcall/v1/tokens?name=x", "{}", `null`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path, _, _ := strings.Cut(tt.path, "?")
			r, got := fake(t, map[string][]string{tt.method + " " + path: {"200 " + tt.answer}})
			if err := tt.call(r); err != nil {
				t.Fatal(err)
			}
			body, _ := json.Marshal((*got)[0].body)
			if one := (*got)[0]; one.target != tt.path || string(body) != tt.body {
				t.Errorf("sent %s %s %s, want %s %s", one.method, one.target, body, tt.path, tt.body)
			}
		})
	}
}

func TestBulkGoesInBatches(t *testing.T) {
	users := make([]User, batchSize+1)
	upns := make([]string, batchSize+1)
	for i := range users {
		users[i].UPN = fmt.Sprint(i)
		upns[i] = fmt.Sprint(i)
	}
	links := func(n int) string {
		return fmt.Sprintf(`200 {"invitations":[%s]}`, strings.TrimSuffix(strings.Repeat(`{"url":"u"},`, n), ","))
	}
	r, got := fake(t, map[string][]string{"POST /rollcall/v1/users": {"200 {}"}, "POST /rollcall/v1/invitations": {links(batchSize), links(1), links(1)}})
	if err := r.AddUsers(context.Background(), users); err != nil || len(*got) != 2 {
		t.Errorf("%d requests (%v), want 2", len(*got), err)
	}
	if list, err := r.Invite(context.Background(), upns); err != nil || len(list) != len(upns) {
		t.Errorf("%d links (%v), want %d", len(list), err, len(upns))
	}
	if _, err := r.Invite(context.Background(), []string{"a", "b"}); err == nil {
		t.Error("one link for two users was taken")
	}
}
