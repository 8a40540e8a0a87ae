package population

import (
	"archive/zip"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"rollcall/fleet/plan"
)

// An input is one file of an export.
type input struct {
	fsys fs.FS
	name string // in fsys
	path string // as messages show it
}

// An export is the files of a folder by what they hold.
type export struct {
	managedJSON, entraJSON, usersJSON        []input
	managedCSV, entraCSV, usersCSV           []input
	tenant, organization, skus, apns, unused []input
}

// managed tells whether the devices come from Intune; if not, from the directory.
func (x *export) managed() bool { return len(x.managedJSON)+len(x.managedCSV) > 0 && !x.directory() }

// directory tells whether the directory's JSON outweighs a console's CSV: JSON wins over CSV.
func (x *export) directory() bool { return len(x.managedJSON) == 0 && len(x.entraJSON) > 0 }

func (x *export) all() []input {
	return slices.Concat(x.managedJSON, x.entraJSON, x.usersJSON, x.managedCSV, x.entraCSV, x.usersCSV, x.tenant, x.organization, x.skus, x.apns)
}

// folder opens what path names: a folder, or the only file to be read of one.
func folder(path string) (fsys fs.FS, only string, err error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, "", err
	case info.IsDir():
		return os.DirFS(path), "", nil
	}
	return os.DirFS(filepath.Dir(path)), filepath.Base(path), nil
}

// recognise sorts the files of fsys, which messages call dir, or only one of them: JSON by its name, CSV by its
// columns.
func recognise(fsys fs.FS, dir, only string) (*export, error) {
	var x export
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		f := input{fsys, e.Name(), filepath.Join(dir, e.Name())}
		if only != "" {
			f.path = dir
		}
		if e.Type()&fs.ModeType == 0 && (only == "" || only == f.name) {
			if err := x.add(f); err != nil {
				return nil, err
			}
		}
	}
	if len(x.managedJSON)+len(x.entraJSON)+len(x.managedCSV)+len(x.entraCSV) == 0 {
		return nil, plan.Errors{{File: dir, Rule: ruleExport, Message: "no devices here; want managedDevices.json, devices.json or the console's CSV"}}
	}
	return &x, nil
}

func (x *export) add(f input) error {
	name := strings.ToLower(f.name)
	switch ext := path.Ext(name); ext {
	case ".csv", ".zip":
		return x.table(f)
	case ".json", ".jsonl", ".ndjson":
	default:
		return nil
	}
	for _, kind := range []struct {
		prefix string
		list   *[]input
	}{
		{"manageddevices", &x.managedJSON}, {"devices", &x.entraJSON}, {"users", &x.usersJSON}, {"tenant", &x.tenant},
		{"organization", &x.organization}, {"subscribedskus", &x.skus}, {"apns", &x.apns},
	} {
		if strings.HasPrefix(name, kind.prefix) {
			*kind.list = append(*kind.list, f)
			break
		}
	}
	return nil
}

// text opens f as UTF-8; a zip holds one CSV.
func (f input) text() (io.ReadCloser, error) {
	file, err := f.fsys.Open(f.name)
	if err != nil {
		return nil, err
	}
	if !strings.EqualFold(path.Ext(f.name), ".zip") {
		return textFile{plainText(file), file}, nil
	}
	packed, err := unzip(file)
	if err != nil {
		file.Close()
		return nil, plan.Errors{{File: f.path, Rule: ruleExport, Message: err.Error()}}
	}
	return textFile{plainText(packed), file}, nil
}

// unzip finds the CSV in a zip.
func unzip(file fs.File) (io.Reader, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	at, ok := file.(io.ReaderAt)
	if !ok {
		return nil, zip.ErrFormat
	}
	archive, err := zip.NewReader(at, info.Size())
	if err != nil {
		return nil, err
	}
	for _, f := range archive.File {
		if strings.EqualFold(path.Ext(f.Name), ".csv") {
			return f.Open()
		}
	}
	return nil, fs.ErrNotExist
}

type textFile struct {
	io.Reader
	io.Closer
}

// plainText takes off a byte order mark, and makes UTF-8 of the UTF-16 that PowerShell's > writes.
func plainText(r io.Reader) io.Reader {
	return transform.NewReader(r, unicode.BOMOverride(transform.Nop))
}
