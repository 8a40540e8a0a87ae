package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// apples is Apple's YAML of one message or command, as much of it as is held against here.
type apples struct {
	Payload struct {
		RequestType string `yaml:"requesttype"`
	} `yaml:"payload"`
	PayloadKeys  []applesKey `yaml:"payloadkeys"`
	ResponseKeys []applesKey `yaml:"responsekeys"`
}

type applesKey struct {
	Key      string         `yaml:"key"`
	Type     string         `yaml:"type"`
	Presence string         `yaml:"presence"`
	OS       map[string]any `yaml:"supportedOS"`
	SubKeys  []applesKey    `yaml:"subkeys"`
}

// spoken are what devices and servers are held against.
var spoken = []string{
	"Authenticate", "TokenUpdate", "CheckOut", "DeviceInformation", "SecurityInfo", "ProfileList", "InstallProfile", "RemoveProfile", "CertificateList",
	"InstalledApplicationList", "DeviceLock", "EraseDevice", "ClearPasscode", "RestartDevice", "ShutDownDevice", "DeviceConfigured",
}

// TestSchema holds schema.txt against Apple's own schema, and writes it with -update.
func TestSchema(t *testing.T) {
	shared := os.Getenv("ROLLCALL_SHARED")
	if shared == "" {
		t.Skip("ROLLCALL_SHARED is not set: Apple's schema is not at hand")
	}
	var lines []string
	var keys func(mark, path string, list []applesKey)
	keys = func(mark, path string, list []applesKey) {
		for _, k := range list {
			kind, at := strings.Trim(k.Type, "<>"), path+k.Key
			line := fmt.Sprintf("%s %s %s", mark, at, kind)
			if k.Presence == "required" && k.OS == nil {
				line += " required"
			}
			lines = append(lines, line)
			switch kind {
			case "array":
				if len(k.SubKeys) == 1 {
					item := k.SubKeys[0]
					lines = append(lines, fmt.Sprintf("%s %s.* %s", mark, at, strings.Trim(item.Type, "<>")))
					keys(mark, at+".*.", item.SubKeys)
				}
			case "dictionary":
				keys(mark, at+".", k.SubKeys)
			}
		}
	}
	for _, folder := range []string{"checkin", "commands"} {
		paths, _ := filepath.Glob(filepath.Join(shared, "spec/apple-schema/mdm", folder, "*.yaml"))
		for _, path := range paths {
			b, err := os.ReadFile(path)
			var a apples
			if err == nil {
				err = yaml.Unmarshal(b, &a)
			}
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if slices.Contains(spoken, a.Payload.RequestType) {
				lines = append(lines, a.Payload.RequestType)
				keys(">", "", a.PayloadKeys)
				keys("<", "", a.ResponseKeys)
			}
		}
	}
	text := strings.Join(lines, "\n") + "\n"
	if *update {
		if err := os.WriteFile("schema.txt", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if text != schemaText {
		t.Error("schema.txt is not what Apple's schema says; -update writes it")
	}
}
