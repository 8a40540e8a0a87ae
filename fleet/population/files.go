package population

import (
	"archive/zip"
	"bufio"
	"bytes"
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
	empty                                    []input // of devices, without a record
}

// managed tells whether the devices come from Intune; if not, from the directory.
func (x *export) managed() bool { return len(x.managedJSON)+len(x.managedCSV) > 0 && !x.directory() }

// directory tells whether the directory's JSON outweighs a console's CSV: JSON wins over CSV.
func (x *export) directory() bool { return len(x.managedJSON) == 0 && len(x.entraJSON) > 0 }

// devices are the files that the devices are read from.
func (x *export) devices() []input {
	for _, list := range [][]input{x.managedJSON, x.entraJSON, x.managedCSV} {
		if len(list) > 0 {
			return list
		}
	}
	return x.entraCSV
}

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
	if err := x.withoutEmpty(); err != nil {
		return nil, err
	}
	return &x, nil
}

// withoutEmpty takes away the files of devices that hold not one record, as long as another does: an empty page must
// not win over a full one of another kind. The error names them where there is no other: no tenant is empty (HST-122).
func (x *export) withoutEmpty() error {
	lists := []*[]input{&x.managedJSON, &x.entraJSON, &x.managedCSV, &x.entraCSV}
	for _, list := range lists {
		var full []input
		for _, f := range *list {
			empty, err := f.empty()
			switch {
			case err != nil:
				return err
			case empty:
				x.empty = append(x.empty, f)
			default:
				full = append(full, f)
			}
		}
		*list = full
	}
	for _, list := range lists {
		if len(*list) > 0 {
			return nil
		}
	}
	return noRecord(x.empty)
}

// noRecord is the error that files of devices hold none.
func noRecord(files []input) error {
	var errs plan.Errors
	for _, f := range files {
		errs = append(errs, &plan.Error{File: f.path, Rule: ruleExport, Message: "no device record in this file; export the devices again, all pages of them"})
	}
	return errs
}

// empty tells whether f ends before a first record, good or bad.
func (f input) empty() (bool, error) {
	if !f.json() {
		t, err := newTable(f)
		if err != nil {
			return false, err
		}
		defer t.close()
		_, bad, err := t.next()
		return bad == nil && err == io.EOF, nil
	}
	r, err := f.text()
	if err != nil {
		return false, err
	}
	defer r.Close()
	return newElements(r).read(func([]byte, place) error { return errEnough }, func(place, error) error { return errEnough }) == nil, nil
}

// json tells JSON from a table.
func (f input) json() bool { return strings.Contains(strings.ToLower(path.Ext(f.name)), "json") }

func (x *export) add(f input) error {
	name := strings.ToLower(f.name)
	switch path.Ext(name) {
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
		{"manageddevices", &x.managedJSON},
		{"devices", &x.entraJSON},
		{"users", &x.usersJSON},
		{"tenant", &x.tenant},
		{"organization", &x.organization},
		{"subscribedskus", &x.skus},
		{"apns", &x.apns},
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
	from := io.Reader(file)
	if strings.EqualFold(path.Ext(f.name), ".zip") {
		if from, err = unzip(file); err != nil {
			file.Close()
			return nil, plan.Errors{{File: f.path, Rule: ruleExport, Message: err.Error()}}
		}
	}
	plain, ok := plainText(from)
	if !ok {
		file.Close()
		return nil, plan.Errors{{File: f.path, Line: 1, Column: 1, Rule: ruleExport, Message: "not UTF-8; save the file as UTF-8"}}
	}
	return textFile{plain, file}, nil
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

// plainText takes off a byte order mark, also one that a converter has put before the file's own, and makes UTF-8 of the UTF-16 that
// PowerShell's > writes. Without a mark UTF-16 is not ok: one byte of two is zero.
func plainText(r io.Reader) (plain io.Reader, ok bool) {
	b := bufio.NewReader(transform.NewReader(r, unicode.BOMOverride(transform.Nop)))
	head, _ := b.Peek(4)
	if bytes.HasPrefix(head, []byte("\ufeff")) {
		b.Discard(len("\ufeff"))
	}
	return b, bytes.IndexByte(head, 0) < 0
}
