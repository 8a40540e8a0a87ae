//go:build !agentonly

package main

import "testing"

// TestHST067Cell: a cell of a list is no formula, and no byte of it commands the terminal that shows it.
func TestHST067Cell(t *testing.T) {
	for cell, want := range map[string]string{
		"Ann's iPad": "Ann's iPad", "=1+1": "'=1+1", " =1": "' =1", "-2": "'-2", "a\x1b[31mb": "a[31mb", "\x1b=1": "'=1", "\t=1": "'=1",
		"one\r\ntwo": "onetwo", "c\u009b2Jd": "c2Jd", "x\u202ey": "xy", "bad\xff": "bad\uFFFD", "": "",
	} {
		if got := harmless(cell); got != want {
			t.Errorf("%q: %q, want %q", cell, got, want)
		}
	}
}
