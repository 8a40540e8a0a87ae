package api

import (
	"encoding/json"
	"fmt"
	"strings"

	"rollcall/server/authority"
)

// A wish is the body of a request that says in a few words what it wants changed, for the journal of one whose role does not
// reach that far (AUTH-08). A body with secrets in it is none.
type wish interface{ wish() string }

// mostWish bounds what the journal has of a wish, in bytes.
const mostWish = 400

// wantedBy is what a request that was not read for want of a role wants, as far as it says so: its query, and its body's wish.
func wantedBy(rt *route, c *call) string {
	out := ""
	if c.URL.RawQuery != "" {
		out = "?" + c.URL.RawQuery
	}
	if rt.in != nil {
		if w, ok := rt.in().(wish); ok && decode(c.Request, w) == nil {
			out = strings.TrimRight(out+" "+w.wish(), " ")
		}
	}
	if len(out) > mostWish {
		out = strings.ToValidUTF8(out[:mostWish], "") + "..."
	}
	return out
}

func (in *changeAuthority) wish() string {
	if !in.Authority.given {
		return ""
	}
	text := (&authority.Tenant{Authority: in.Authority.authority, Coexistence: in.Authority.coexistence}).Name()
	if in.Force {
		text += ", forced"
	}
	return text
}

func (in *licences) wish() string { return asGiven(in.Licences) }

func (in *settings) wish() string { return asGiven(in) }

func (in *putProfile) wish() string { return fmt.Sprintf("%q for %q", in.Name, in.Groups) }

// asGiven is a value as it came.
func asGiven(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // it was decoded from JSON
	}
	return string(b)
}
