package api

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"rollcall/server/store"
)

func (o *office) journal(query string) (details []string, got map[string]any) {
	o.t.Helper()
	got = o.call("GET", "/rollcall/v1/journal?limit=1000&"+query, nil, 200)
	for _, l := range got["lines"].([]any) {
		l := l.(map[string]any)
		details = append(details, fmt.Sprint(l["what"], " ", l["detail"]))
	}
	return details, got
}

func TestJournalFilters(t *testing.T) {
	o := newOffice(t)
	all, _ := o.journal("")
	later := o.now() + 1e6
	o.clock.now = later.Time()
	o.call("POST", "/rollcall/v1/devices/"+o.device+"/restart", map[string]any{}, 200)
	for _, tt := range []struct {
		query string
		want  int
		each  string // what each line has
	}{
		{"", len(all) + 1, ""},
		{"since=" + later.String(), 1, "RestartDevice"},
		{"device=" + o.device, 7, ""},
		{"device=" + o.device + "&what=registered", 1, "registered intune"},
		{"what=registered", 1, "registered intune"},
		{"actor=token:admin", 1, "RestartDevice"},
		{"actor=device&rule=AUTH-11", 1, "registered intune"},
		{"rule=AUTH-99", 0, ""},
		{fmt.Sprintf("after=%d", len(all)), 1, "RestartDevice"},
	} {
		got, page := o.journal(tt.query)
		if len(got) != tt.want {
			t.Errorf("%q picks %d lines, want %d: %q", tt.query, len(got), tt.want, got)
		}
		for _, l := range got {
			if !strings.Contains(l, tt.each) {
				t.Errorf("%q picks %q", tt.query, l)
			}
		}
		if page["last"] != fmt.Sprint(len(all)+1) {
			t.Errorf("%q: last %v, want the end %d: what was looked through is not looked at again", tt.query, page["last"], len(all)+1)
		}
	}
	for query, field := range map[string]string{"since=yesterday": "since", "wait=31": "wait", "wait=-1": "wait", "wait=x": "wait"} {
		if no := o.call("GET", "/rollcall/v1/journal?"+query, nil, 400)["error"].(map[string]any); no["field"] != field {
			t.Errorf("%s: %v", query, no)
		}
	}
	o.call("GET", "/rollcall/v1/journal?device=nobody", nil, 404)
}

// A request that waits is answered by the line that it waits for and by none before it.
func TestJournalWaits(t *testing.T) {
	o := newOffice(t)
	_, page := o.journal("")
	ask := func(token string) chan *httptest.ResponseRecorder {
		answer := make(chan *httptest.ResponseRecorder, 1)
		r := httptest.NewRequest("GET", "/rollcall/v1/journal?wait=30&what=command+queued&after="+page["last"].(string), nil)
		r.Header.Set("Authorization", token)
		go func() {
			w := httptest.NewRecorder()
			o.h.ServeHTTP(w, r)
			answer <- w
		}()
		return answer
	}
	waiting := ask("Bearer " + o.token)
	o.call("POST", "/rollcall/v1/users", map[string]any{"users": []any{map[string]any{"upn": "cy@example.org"}}}, 200) // not what is waited for
	o.call("POST", "/rollcall/v1/devices/"+o.device+"/restart", map[string]any{}, 200)
	var got journal
	if w := <-waiting; json.Unmarshal(w.Body.Bytes(), &got) != nil || len(got.Lines) != 1 || got.Lines[0].Detail != "RestartDevice" {
		t.Errorf("answered %d %s, want the one line", w.Code, w.Body)
	}

	page["last"] = got.Last
	reader := o.as(store.Reader)
	waiting = ask(reader)
	o.call("DELETE", "/rollcall/v1/tokens?name=reader", nil, 200)
	if w := <-waiting; w.Code != 401 { // HST-063, whether it came before or after
		t.Errorf("a token that was revoked meanwhile got %d %s", w.Code, w.Body)
	}

	waiting = ask("Bearer " + o.token)
	o.h.End()
	o.h.End()
	if w := <-waiting; w.Code != 200 || json.Unmarshal(w.Body.Bytes(), &got) != nil || len(got.Lines) != 0 {
		t.Errorf("at the server's end answered %d %s, want no lines", w.Code, w.Body)
	}
}
