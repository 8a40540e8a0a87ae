package entra

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// A token is signed with a key that the directory shows, and says of whom it is: a user on a device, or a device alone.
func TestToken(t *testing.T) {
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	d, err := New(func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal(d.Keys(), &keys); err != nil || len(keys.Keys) != 1 || !keys.Keys[0].IsPublic() {
		t.Fatalf("keys %s: %v", d.Keys(), err)
	}
	for _, upn := range []string{"ada@example.org", ""} {
		text, err := d.Token(upn, "d1")
		if err != nil {
			t.Fatal(err)
		}
		token, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.RS256})
		if err != nil {
			t.Fatal(err)
		}
		var c claims
		if err := token.Claims(keys, &c); err != nil {
			t.Fatal(err)
		}
		if err := c.Validate(jwt.Expected{Issuer: "https://sts.windows.net/" + Tenant + "/", AnyAudience: jwt.Audience{Audience}, Time: now}); err != nil {
			t.Error(err)
		}
		if c.UPN != upn || c.Device != "d1" || c.Tenant != Tenant || (c.Scope == "") != (upn == "") || !c.Expiry.Time().Equal(now.Add(life)) {
			t.Errorf("token of %q: %+v", upn, c)
		}
	}
}
