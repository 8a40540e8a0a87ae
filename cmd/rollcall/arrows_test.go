//go:build !agentonly

package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// The tree of the house: the line each package stands on, its tower, and the arrows it may draw to its own line.
// A package imports only what stands on a lower line of its own tower or of none.
type room struct {
	line   int
	tower  string // "device", "server" or "": both may look at it
	beside []string
}

var rooms = map[string]room{
	"protocol":         {line: 0},
	"protocol/apple":   {line: 0, beside: []string{"protocol"}},
	"protocol/android": {line: 0, beside: []string{"protocol"}},
	"protocol/windows": {line: 0, beside: []string{"protocol"}},
	"protocol/lang":    {line: 0, beside: []string{"protocol"}},
	"protocol/wake":    {line: 0},
	"certs":            {line: 0},
	"certs/scep":       {line: 0, beside: []string{"certs"}},
	"certs/est":        {line: 0, beside: []string{"certs"}},

	"agent":              {line: 1, tower: "device"},
	"agent/dialect":      {line: 2, tower: "device"},
	"agent/link":         {line: 2, tower: "device", beside: []string{"agent/dialect"}},
	"agent/courier":      {line: 2, tower: "device"},
	"agent/host":         {line: 3, tower: "device"},
	"agent/host/apply":   {line: 2, tower: "device"},
	"agent/host/daemon":  {line: 3, tower: "device"},
	"fleet/plan":         {line: 2, tower: "device"},
	"fleet/population":   {line: 3, tower: "device"},
	"fleet/target":       {line: 3, tower: "device"},
	"fleet/cloud":        {line: 2, tower: "device"},
	"fleet/cloud/apns":   {line: 3, tower: "device"},
	"fleet/cloud/entra":  {line: 3, tower: "device"},
	"fleet/cloud/wns":    {line: 3, tower: "device"},
	"fleet/cloud/google": {line: 3, tower: "device"},
	"fleet":              {line: 4, tower: "device", beside: []string{"fleet/ledger"}},
	"fleet/ledger":       {line: 4, tower: "device"},
	"fleet/report":       {line: 4, tower: "device"},
	"fleet/load":         {line: 5, tower: "device"},
	"fleet/apply":        {line: 5, tower: "device"},

	"server/logs":               {line: 0, tower: "server"},
	"server/authority":          {line: 1, tower: "server"},
	"server/renewal":            {line: 1, tower: "server"},
	"server/csp":                {line: 1, tower: "server"},
	"server/policy":             {line: 1, tower: "server"},
	"server/delivery":           {line: 1, tower: "server", beside: []string{"server/authority", "server/renewal"}},
	"server/store":              {line: 2, tower: "server"},
	"server/store/storetest":    {line: 2, tower: "server", beside: []string{"server/store"}},
	"server/store/sqlstore/wal": {line: 1, tower: "server"},
	"server/store/sqlstore":     {line: 2, tower: "server", beside: []string{"server/store"}},
	"server/push":               {line: 2, tower: "server"},
	"server/issuer":             {line: 2, tower: "server", beside: []string{"server/store"}},
	"server":                    {line: 3, tower: "server"},
	"server/device":             {line: 4, tower: "server"},
	"server/metrics":            {line: 4, tower: "server"},
	"server/api":                {line: 4, tower: "server"},

	"fleet/rehearsal":            {line: 5},
	"fleet/conformance":          {line: 5, tower: "device"},
	"fleet/conformance/mischief": {line: 1, tower: "device"},
	"fleet/cloud/streamtest":     {line: 3, tower: "device"},
	"cmd/rollcall":               {line: 6},
}

// Borrowed packages with one home each; what stands below a home may use it too.
var homes = map[string]string{
	"github.com/micromdm/plist":    "protocol/apple",
	"go.mozilla.org/pkcs7":         "certs",
	"github.com/smallstep/pkcs7":   "certs",
	"github.com/smallstep/scep":    "certs",
	"github.com/coreos/go-oidc":    "server/device",
	"modernc.org/sqlite":           "server/store/sqlstore",
	"github.com/pressly/goose":     "server/store/sqlstore",
	"github.com/spf13/cobra":       "cmd/rollcall",
	"golang.org/x/text/message":    "protocol/lang",
	"github.com/shirou/gopsutil":   "agent/host",
	"github.com/kardianos/service": "agent/host/daemon",
}

// Packages that are pure: no clock, goroutine, file, socket or logger comes in by an import.
var pure = []string{"protocol", "protocol/apple", "protocol/android", "protocol/windows", "agent", "agent/dialect", "fleet/ledger", "server/authority", "server/csp", "server/delivery", "server/policy", "server/renewal"}

var impure = []string{"os", "net", "net/http", "log", "log/slog", "context", "os/exec", "math/rand", "github.com/sirupsen/logrus"}

func TestArrows(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "rollcall/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(fields[0], "rollcall/")
		here, known := rooms[pkg]
		if !known {
			t.Errorf("%s has no place in the tree: give it a line, and say so in README", pkg)
			continue
		}
		for _, imported := range fields[1:] {
			for lib, home := range homes {
				if strings.HasPrefix(imported, lib) && pkg != home && !strings.HasPrefix(pkg, home+"/") {
					t.Errorf("%s imports %s, whose one home is %s", pkg, imported, home)
				}
			}
			if slices.Contains(pure, pkg) && slices.Contains(impure, imported) {
				t.Errorf("%s is pure and imports %s", pkg, imported)
			}
			to, ours := strings.CutPrefix(imported, "rollcall/")
			if !ours {
				continue
			}
			there := rooms[to]
			switch {
			case strings.HasPrefix(to, "fleet/cloud/") && pkg != "cmd/rollcall":
				t.Errorf("%s imports %s: only cmd and tests may", pkg, to)
			case here.tower != "" && there.tower != "" && here.tower != there.tower:
				t.Errorf("%s imports %s: the towers never touch", pkg, to)
			case there.line > here.line, there.line == here.line && !slices.Contains(here.beside, to):
				t.Errorf("%s imports %s: no such arrow", pkg, to)
			}
		}
	}
}

func TestArrowsOfTheAgent(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-tags", "agentonly", "rollcall/cmd/rollcall").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	deps := strings.Fields(string(out))
	for _, dep := range deps {
		for _, out := range []string{"rollcall/server", "rollcall/fleet", "modernc.org/", "github.com/expr-lang/"} {
			if strings.HasPrefix(dep, out) {
				t.Errorf("a program for devices alone links %s", dep)
			}
		}
	}
	for _, in := range []string{"rollcall/agent", "rollcall/agent/dialect", "rollcall/agent/link", "rollcall/agent/host"} {
		if !slices.Contains(deps, in) {
			t.Errorf("a program for devices alone does not link %s", in)
		}
	}
}
