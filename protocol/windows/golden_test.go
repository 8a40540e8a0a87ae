package windows

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func envelope(b []byte) (any, error) { return DecodeEnvelope(b) }
func message(b []byte) (any, error) {
	var m Message
	err := DecodeMessage(b, &m)
	return &m, err
}

func document(b []byte) (any, error) {
	d, err := DecodeDocument(b)
	if err != nil {
		return nil, err
	}
	return ReadProvisioning(d)
}

func encoded(v any) []byte {
	switch v := v.(type) {
	case *Envelope:
		return EncodeEnvelope(nil, v)
	case *Message:
		return EncodeMessage(nil, v)
	case *Provisioning:
		return EncodeDocument(nil, v.Document())
	}
	panic("not a message")
}

var decoders = map[string]func([]byte) (any, error){
	"provisioning": document, "renewal-document": document,
	"package1": message, "package2": message, "package3": message, "package4": message, "shapes": message,
}

func decoderOf(name string) func([]byte) (any, error) {
	if d := decoders[name]; d != nil {
		return d
	}
	return envelope
}

// examples returns the messages of testdata: NAME.xml as windows.md, section 12 has it, and NAME.VARIANT.xml in other spellings.
// NAME.golden is how we write it.
func examples(t testing.TB) map[string][]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "*.xml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no testdata (%v)", err)
	}
	all := make(map[string][]string)
	for _, path := range paths {
		name, _, _ := strings.Cut(filepath.Base(path), ".")
		all[name] = append(all[name], path)
	}
	return all
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Every example of the specification is read, written as we write it, and read again; every spelling of it means the same (WIN-007).
func TestGolden(t *testing.T) {
	for name, paths := range examples(t) {
		decode := decoderOf(name)
		want, err := decode(read(t, filepath.Join("testdata", name+".xml")))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, path := range paths {
			got, err := decode(read(t, path))
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
				t.Errorf("%s: %v\n%s", path, err, diff)
			}
		}
		file := filepath.Join("testdata", name+".golden")
		made := encoded(want)
		if *update {
			if err := os.WriteFile(file, made, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(made, read(t, file)) {
			t.Errorf("%s: we write\n%s\nand not what %s has", name, made, file)
		}
		again, err := decode(made)
		if diff := cmp.Diff(want, again, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("%s: what we write is read as another: %v\n%s", name, err, diff)
		}
	}
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
