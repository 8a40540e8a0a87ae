package target

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/apple"
)

func TestRollcallSteps(t *testing.T) {
	ctx := context.Background()
	r, got := fake(t, map[string][]string{
		"GET /rollcall/v1/clock":               {`200 {"now":"2026-03-02T09:00:00Z","driven":true,"next":""}`},
		"POST /rollcall/v1/users":              {`200 {}`},
		"POST /rollcall/v1/invitations":        {`201 {"invitations":[{"url":"https://x/e/1"}]}`},
		"POST /rollcall/v1/devices/A/security": {`200 {"command":"C-1"}`},
		"GET /rollcall/v1/devices/A":           {`200 {"id":"A","life":"enrolled","queue":2,"reachable":true}`, `404 {"error":{"message":"no such device"}}`},
		"GET /rollcall/v1/devices":             {`200 {"devices":[{"id":"A","life":"enrolled"}],"next":""}`},
		"POST /rollcall/v1/clock":              {`200 {"now":"2026-03-02T09:00:00Z"}`},
		"GET /rollcall/v1/authority":           {`200 {"authority":"intune","name":"intune"}`, `200 {"authority":"sccm","name":"sccm"}`, `200 {"authority":"office365","name":"coexistence"}`},
		"POST /rollcall/v1/authority/preview":  {`200 {"id":"p"}`},
		"POST /rollcall/v1/authority":          {`200 {}`},
		"POST /rollcall/v1/ade/serials":        {`200 {}`},
		"DELETE /rollcall/v1/users":            {`200 {}`, `404 {"error":{"message":"no such user"}}`, `409 {"error":{"message":"3 enrolled devices"}}`},
	})
	s, err := r.Steps(ctx, "x.invalid")
	if err != nil || s.Step == nil {
		t.Fatalf("steps %+v, %v: the clock is driven", s, err)
	}
	if e, err := s.Enrol(ctx, protocol.MacOS, 3); err != nil || e.URL != "https://x/e/1?platform=macos" {
		t.Errorf("enrolment %+v, %v", e, err)
	}
	if id, err := s.Queue(ctx, "A", Order{Kind: Security}); err != nil || id != "C-1" {
		t.Errorf("queued %q, %v", id, err)
	}
	if st, err := s.Known(ctx, "A"); err != nil || !st.Enrolled || st.Queue != 2 {
		t.Errorf("standing %+v, %v", st, err)
	}
	if _, err := s.Known(ctx, "A"); !IsNotFound(err) {
		t.Errorf("a device that is not there: %v", err)
	}
	if all, err := s.Devices(ctx); err != nil || len(all) != 1 || !strings.HasPrefix(all["A"], "enrolled") {
		t.Errorf("devices %v, %v", all, err)
	}
	if err := s.Assign(ctx, "C1", 3, true); err != nil {
		t.Error(err)
	}
	for i, want := range []string{"", "", "user conform-3@x.invalid"} { // gone; gone already; still there
		if err := s.Leave(ctx); (err != nil) != (want != "") || want != "" && !strings.Contains(err.Error(), want) {
			t.Errorf("time %d of leaving: %v", i, err)
		}
		if last := (*got)[len(*got)-1]; last.method != "DELETE" || last.target != "/rollcall/v1/users?upn=conform-3%40x.invalid" {
			t.Errorf("asked %s %s", last.method, last.target)
		}
	}
	for i, want := range []string{"sccm", "intune", ""} {
		err := s.SetAuthority(ctx)
		if want == "" {
			if err == nil || !strings.Contains(err.Error(), "coexistence") {
				t.Errorf("an authority that cannot be changed back: %v", err)
			}
			continue
		}
		if last := (*got)[len(*got)-1]; err != nil || last.body["authority"] != want || last.body["confirm"] != "p" {
			t.Errorf("change %d: %v, %v", i, last.body, err)
		}
	}
}

// TestWindowsSteps: a Windows device enrols by its user's name and the token of the link, and its documents are its user's.
func TestWindowsSteps(t *testing.T) {
	ctx := context.Background()
	r, got := fake(t, map[string][]string{
		"GET /rollcall/v1/clock":        {`200 {}`},
		"POST /rollcall/v1/users":       {`200 {}`},
		"POST /rollcall/v1/invitations": {`201 {"invitations":[{"url":"https://x/e/TOKEN"}]}`, `201 {"invitations":[{"url":"https://x/e/NOBODYS"}]}`},
		"GET /rollcall/v1/devices/PC":   {`200 {"id":"PC","user":"conform-2@x.invalid"}`, `200 {"id":"PC","user":"conform-2@x.invalid"}`},
		"POST /rollcall/v1/profiles":    {`200 {}`},
		"DELETE /rollcall/v1/profiles":  {`200 {}`},
		"POST /rollcall/v1/packages":    {`201 {"bundle":"cGVt"}`, `201 {"bundle":"cGVt"}`},
		"DELETE /rollcall/v1/packages":  {`200 {}`, `404 {"error":{"message":"gone"}}`},
		"DELETE /rollcall/v1/users":     {`200 {}`},
	})
	s, err := r.Steps(ctx, "x.invalid")
	if err != nil {
		t.Fatal(err)
	}
	if user, password, err := s.EnrolWindows(ctx, 2); err != nil || user != "conform-2@x.invalid" || password != "TOKEN" {
		t.Errorf("owner 2: %q %q, %v", user, password, err)
	}
	if user, password, err := s.Unlicensed(ctx); err != nil || user != "conform-unlicensed@x.invalid" || password != "NOBODYS" || (*got)[len(*got)-2].body["users"] == nil || strings.Contains(fmt.Sprint((*got)[len(*got)-2].body), "licence") {
		t.Errorf("without a licence: %q %q %v", user, password, err)
	}
	if user, password, err := s.EnrolWindows(ctx, 0); err != nil || user != "" || password != "NOBODYS" {
		t.Errorf("nobody: %q %q, %v", user, password, err)
	}
	if err := s.Profile(ctx, "PC", "conform-PC", []byte("document")); err != nil {
		t.Error(err)
	}
	if last := (*got)[len(*got)-1]; last.body["name"] != "conform-PC" || !strings.Contains(fmt.Sprint(last.body["groups"]), "conform-2@x.invalid") {
		t.Errorf("assigned %v", last.body)
	}
	if err := s.Profile(ctx, "PC", "conform-PC", nil); err != nil {
		t.Error(err)
	}
	names := map[any]bool{}
	for range 2 {
		bundle, err := s.Package(ctx, 3)
		last := (*got)[len(*got)-1]
		if names[last.body["name"]] = true; err != nil || string(bundle) != "pem" || last.body["machines"] != 3.0 {
			t.Errorf("a package: %q, %v, asked by %v", bundle, err, last.body)
		}
	}
	if len(names) != 2 {
		t.Errorf("two packages are called %v", names)
	}
	if err := s.Leave(ctx); err != nil {
		t.Error(err)
	}
	revoked := 0
	for _, x := range *got {
		if x.method == "DELETE" && strings.HasPrefix(x.target, "/rollcall/v1/packages?name=conform-") {
			revoked++
		}
	}
	if revoked != 2 {
		t.Errorf("%d packages are revoked at the end, want 2", revoked)
	}
}

func TestNanoMDMSteps(t *testing.T) {
	ctx := context.Background()
	var asked []string
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, key, _ := r.BasicAuth()
		asked = append(asked, r.Method+" "+r.URL.RequestURI()+" "+key)
		switch {
		case strings.Contains(r.URL.Path, "missing"):
			w.WriteHeader(http.StatusNotFound)
		case strings.HasPrefix(r.URL.Path, "/v1/enqueue/"):
			b := make([]byte, r.ContentLength)
			r.Body.Read(b)
			id, c, err := apple.DecodeCommand(b)
			if err != nil || id == "" || c.RequestType() != "SecurityInfo" {
				t.Errorf("queued %q, %v, %v", id, c, err)
			}
			if strings.HasSuffix(r.URL.Path, "/unpushed") {
				w.WriteHeader(http.StatusInternalServerError)
				w.Write([]byte(`{"status":{"unpushed":{"push_error":"no"}},"command_uuid":"` + id + `","request_type":"SecurityInfo"}`))
			}
		}
	}))
	defer h.Close()
	n := &NanoMDM{URL: h.URL + "/", Key: "k"}
	s := n.Steps([]byte("profile"))
	if e, err := s.Enrol(ctx, protocol.IOS, 1); err != nil || string(e.Profile) != "profile" {
		t.Errorf("enrolment %+v, %v", e, err)
	}
	if id, err := s.Queue(ctx, "A/B", Order{Kind: Security}); err != nil || id == "" {
		t.Errorf("queued %q, %v", id, err)
	}
	if _, err := s.Queue(ctx, "A", Order{Kind: Sync}); err != nil {
		t.Error(err)
	}
	if _, err := s.Queue(ctx, "missing", Order{Kind: Security}); !IsNotFound(err) {
		t.Errorf("a device that is not there: %v", err)
	}
	if id, err := s.Queue(ctx, "unpushed", Order{Kind: Security}); err != nil || id == "" {
		t.Errorf("a command that was queued and not pushed: %q, %v", id, err)
	}
	if _, err := s.Queue(ctx, "A", Order{Kind: Retire}); err == nil {
		t.Error("retire is no command of Apple's")
	}
	if err := s.UploadPush(ctx, []byte("pem"), false); err != nil {
		t.Error(err)
	}
	want := []string{"PUT /v1/enqueue/A%2FB k", "GET /v1/push/A k", "PUT /v1/enqueue/missing k", "PUT /v1/enqueue/unpushed k", "PUT /v1/pushcert k"}
	if strings.Join(asked, "\n") != strings.Join(want, "\n") {
		t.Errorf("asked\n%s\nwant\n%s", strings.Join(asked, "\n"), strings.Join(want, "\n"))
	}
	if s.Known != nil || s.Step != nil {
		t.Error("NanoMDM can neither tell how a device stands nor set its clock")
	}
}

func TestLines(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the lines of this test are for sh")
	}
	ctx := context.Background()
	out := filepath.Join(t.TempDir(), "out")
	l := Lines{
		"enrol": `echo "https://x/$ROLLCALL_PLATFORM"`, "queue": `echo "$ROLLCALL_DEVICE $ROLLCALL_COMMAND" > "` + out + `"`, "push": "true",
		"upload": `test "$ROLLCALL_CONFIRM" = yes || { echo never mind >&2; echo another topic >&2; exit 3; }`, "forget": "head -c 2000000 /dev/zero",
		"windows": `echo " ann "; echo "pw $ROLLCALL_USERLESS"`, "unlicensed": `echo bob; echo pw`, "package": `echo "pem $ROLLCALL_MACHINES"`, "profile": `test "$ROLLCALL_DEVICE $ROLLCALL_PROFILE $(cat)" = "A p document"`,
	}
	if err := l.Check(); err != nil {
		t.Fatal(err)
	}
	s := new(Steps)
	l.Over(s)
	if e, err := s.Enrol(ctx, protocol.IPadOS, 1); err != nil || e.URL != "https://x/ipados" {
		t.Errorf("enrolment %+v, %v", e, err)
	}
	if user, password, err := s.EnrolWindows(ctx, 0); err != nil || user != "ann" || password != "pw yes" {
		t.Errorf("a Windows device enrols by %q and %q, %v", user, password, err)
	}
	if user, password, err := s.Unlicensed(ctx); err != nil || user != "bob" || password != "pw" {
		t.Errorf("a user without a licence is %q with %q, %v", user, password, err)
	}
	if bundle, err := s.Package(ctx, 30); err != nil || string(bundle) != "pem 30\n" {
		t.Errorf("a package is %q, %v", bundle, err)
	}
	if err := s.Profile(ctx, "A", "p", []byte("document")); err != nil {
		t.Error(err)
	}
	id, err := s.Queue(ctx, "A", Order{Kind: Lock, PIN: "123456"})
	if b, _ := os.ReadFile(out); err != nil || string(b) != "A "+id+"\n" {
		t.Errorf("queue wrote %q, %v", b, err)
	}
	if err := s.UploadPush(ctx, []byte("pem"), false); err == nil || !strings.HasSuffix(err.Error(), "another topic") {
		t.Errorf("a line that fails: %v", err)
	}
	if err := s.UploadPush(ctx, []byte("pem"), true); err != nil {
		t.Error(err)
	}
	if err := s.Forget(ctx, "A"); err == nil || !strings.Contains(err.Error(), "printed more") {
		t.Errorf("a line that prints without end: %v", err)
	}
	short, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	if _, err := (Lines{"enrol": "sleep 600"}).enrol(short, protocol.IOS, 1); err == nil {
		t.Error("a line that hangs was waited for")
	}
	if err := (Lines{"dance": "true"}).Check(); err == nil {
		t.Error("dance is no step")
	}
	if err := (Lines{"step": "true"}).Check(); err == nil {
		t.Error("a clock that is set and cannot be read")
	}
	s = FromProfile([]byte("p"))
	if (Lines{"push": "true"}).Over(s); s.Enrol == nil || s.Queue != nil {
		t.Error("without a line for queue nothing can be queued; with a profile devices can enrol")
	}
}

// TestLinesThatTell: what lines print about a server, and what they print that is rubbish.
func TestLinesThatTell(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the lines of this test are for sh")
	}
	ctx, out := t.Context(), filepath.Join(t.TempDir(), "out")
	s := new(Steps)
	Lines{
		"known": `test "$ROLLCALL_DEVICE" = A && echo enrolled || echo gone`, "devices": `printf 'A enrolled, moved\n\nB\n'`,
		"assign": `echo "$ROLLCALL_SERIAL $ROLLCALL_AWAITING" > "` + out + `"`, "pushstate": `printf 'com.apple.mgmt.x\n2027-03-01T09:00:00Z\nit ends soon\n'`,
		"authority": "true", "clock": "echo 2026-03-01T10:00:00+01:00", "step": `echo "$ROLLCALL_TIME" > "` + out + `"`,
	}.Over(s)
	if a, err := s.Known(ctx, "A"); err != nil || !a.Enrolled {
		t.Errorf("A: %+v, %v", a, err)
	}
	if b, err := s.Known(ctx, "B"); err != nil || b.Enrolled {
		t.Errorf("B: %+v, %v", b, err)
	}
	if all, err := s.Devices(ctx); err != nil || len(all) != 2 || all["A"] != "enrolled, moved" || all["B"] != "" {
		t.Errorf("devices %v, %v", all, err)
	}
	written := func() string {
		b, err := os.ReadFile(out)
		if err != nil {
			t.Error(err)
		}
		return strings.TrimSpace(string(b))
	}
	if err := s.Assign(ctx, "C1", 1, true); err != nil || written() != "C1 yes" {
		t.Errorf("assign wrote %q, %v", written(), err)
	}
	nine := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	if p, err := s.PushState(ctx); err != nil || p.Topic != "com.apple.mgmt.x" || !p.NotAfter.Time().Equal(nine.AddDate(1, 0, 0)) || len(p.Warnings) != 1 {
		t.Errorf("push certificate %+v, %v", p, err)
	}
	if at, err := s.Clock(ctx); err != nil || !at.Equal(nine) {
		t.Errorf("clock %s, %v", at, err)
	}
	if err := s.Step(ctx, nine); err != nil || written() != "2026-03-01T09:00:00Z" {
		t.Errorf("step wrote %q, %v", written(), err)
	}
	if err := s.SetAuthority(ctx); err != nil {
		t.Error(err)
	}
	for _, rubbish := range []string{"true", "echo topic", `printf 'topic\nsoon\n'`, "echo '<html>'"} {
		l := Lines{"pushstate": rubbish, "clock": rubbish}
		if _, err := l.pushState(ctx); err == nil || !strings.Contains(err.Error(), "want") {
			t.Errorf("pushstate %s: %v", rubbish, err)
		}
		if _, err := l.clock(ctx); err == nil || !strings.Contains(err.Error(), "want a time") {
			t.Errorf("clock %s: %v", rubbish, err)
		}
	}
}
