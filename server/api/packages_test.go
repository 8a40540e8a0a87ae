package api

import (
	"crypto/tls"
	"encoding/base64"
	"strings"
	"testing"
)

// TestWIN067PackagesByAPI: a package is made with a certificate and its key, which only this answer has, listed with its count, and revoked.
func TestWIN067PackagesByAPI(t *testing.T) {
	o := newOffice(t)
	wanted := map[string]any{"name": "lab", "machines": 2, "lifetime_seconds": 3600}
	made := o.call("POST", "/rollcall/v1/packages", wanted, 201)
	bundle, err := base64.StdEncoding.DecodeString(made["bundle"].(string))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair(bundle, bundle); err != nil || made["thumbprint"] == "" || !strings.HasSuffix(made["discovery"].(string), "/EnrollmentServer/Discovery.svc") {
		t.Errorf("%v, %v", err, made)
	}
	o.call("POST", "/rollcall/v1/packages", wanted, 409)
	list := o.call("GET", "/rollcall/v1/packages", nil, 200)["packages"].([]any)
	one := list[0].(map[string]any)
	if len(list) != 1 || one["machines"] != 2.0 || one["admitted"] != 0.0 || one["revoked"] != false || one["bundle"] != nil {
		t.Errorf("%v", list)
	}
	o.call("DELETE", "/rollcall/v1/packages?name=lab", nil, 200)
	if one := o.call("GET", "/rollcall/v1/packages", nil, 200)["packages"].([]any)[0].(map[string]any); one["revoked"] != true {
		t.Errorf("%v", one)
	}
}
