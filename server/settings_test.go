package server

import (
	"reflect"
	"testing"

	"rollcall/server/authority"
	"rollcall/server/delivery"
)

// TestSettingsInWords: what changes is journaled in words, and each setting has some.
func TestSettingsInWords(t *testing.T) {
	is := delivery.Settings{Gap: authority.GapSettings{NotOnCoexistence: true}, DeviceLimit: 5}
	if got, want := differs(&Settings{}, &Settings{Settings: is}), "no gap when Intune is added: true, was false; devices a user may have: 5, was 0"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	var named func(reflect.Type)
	named = func(s reflect.Type) {
		for i := range s.NumField() {
			if f := s.Field(i); f.Type.Kind() == reflect.Struct {
				named(f.Type)
			} else if settingWords[f.Name] == "" {
				t.Errorf("%s has no words", f.Name)
			}
		}
	}
	named(reflect.TypeFor[Settings]())
}
