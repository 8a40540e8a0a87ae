package load

import (
	"reflect"
	"strings"
	"testing"

	"rollcall/fleet/ledger"
	"rollcall/fleet/plan"
)

// A limit may name each figure of a load and of its ledger, however deep, and none beside them (HST-016).
func TestHST016Figures(t *testing.T) {
	n := 0
	taken := func(key string) bool {
		var l plan.Limit
		return l.UnmarshalText([]byte(key+" == 0")) == nil
	}
	var walk func(key string, of reflect.Type)
	walk = func(key string, of reflect.Type) {
		switch of.Kind() {
		case reflect.Pointer:
			walk(key, of.Elem())
			return
		case reflect.Map:
			walk(key+".ios", of.Elem())
			return
		case reflect.Struct:
			for i := range of.NumField() {
				f := of.Field(i)
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				switch {
				case name == "" && f.Anonymous:
					walk(key, f.Type)
				case name != "" && name != "-":
					walk(key+"."+name, f.Type)
				}
			}
			return
		}
		if n++; !taken(key) {
			t.Errorf("a limit on %s is refused", key)
		}
		if taken(key + ".nothing") {
			t.Errorf("a limit on %s.nothing is taken", key)
		}
	}
	walk("load", reflect.TypeFor[Section]())
	walk("ledger", reflect.TypeFor[ledger.Result]())
	if n < 80 {
		t.Errorf("only %d figures", n)
	}
}
