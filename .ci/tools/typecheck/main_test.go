package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestTypecheck: a mistake is found wherever it stands (in what a package imports, for one system or tag alone), and nothing to check is a
// failure too.
func TestTypecheck(t *testing.T) {
	tool := filepath.Join(t.TempDir(), "typecheck")
	if out, err := exec.Command("go", "build", "-o", tool, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	module := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":                "module example\n\ngo 1.26\n",
		"main/main.go":          "package main\n\nimport \"example/below\"\n\nfunc main() { below.Do() }\n",
		"below/below.go":        "package below\n\nfunc Do() {}\n",
		"below/wrong_plan9.go":  "package below\n\nvar _ int = \"text\"\n",
		"below/wrong_tag.go":    "//go:build wrong\n\npackage below\n\nvar _ = missing\n",
		"only/only_windows.go":  "package only\n",
		"empty/no_go_here.text": "",
	} {
		name = filepath.Join(module, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name, system string
		args         []string
		good         bool
	}{
		{"nothing wrong", "linux", []string{"./main"}, true},
		{"wrong for this system", "plan9", []string{"./main"}, false},
		{"wrong with this tag", "linux", []string{"-tags", "wrong", "./main"}, false},
		{"only for another system", "linux", []string{"./only"}, false},
		{"the other system", "windows", []string{"./only"}, true},
		{"no such package", "linux", []string{"./absent"}, false},
		{"no package matches", "linux", []string{"./empty/..."}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := exec.Command(tool, tt.args...)
			c.Dir = module
			c.Env = append(os.Environ(), "GOOS="+tt.system, "GOARCH=amd64", "GOFLAGS=", "GOWORK=off")
			if out, err := c.CombinedOutput(); (err == nil) != tt.good {
				t.Errorf("%v, want good: %v\n%s", err, tt.good, out)
			}
		})
	}
}
