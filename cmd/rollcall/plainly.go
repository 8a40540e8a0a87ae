package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// A plainError says in people's words what Go's packages say of files in theirs.
type plainError struct {
	error
	text string
}

func (p *plainError) Error() string { return p.text }
func (p *plainError) Unwrap() error { return p.error }

// plainly is err without the name of a system call, wherever a file is at fault: the file and what is wrong with it.
func plainly(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, at := range filesAtFault(err) {
		text = strings.ReplaceAll(text, at.Error(), ofFile(at))
	}
	if text == err.Error() {
		return err
	}
	return &plainError{err, text}
}

// filesAtFault are the files' errors that err is made of.
func filesAtFault(err error) (all []*fs.PathError) {
	if at, ok := err.(*fs.PathError); ok {
		return append(all, at)
	}
	switch x := err.(type) {
	case interface{ Unwrap() error }:
		if inner := x.Unwrap(); inner != nil {
			all = filesAtFault(inner)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range x.Unwrap() {
			all = append(all, filesAtFault(inner)...)
		}
	}
	return all
}

// ofFile says what is wrong with a file.
func ofFile(at *fs.PathError) string {
	switch folder := filepath.Dir(at.Path); {
	case errors.Is(at.Err, fs.ErrNotExist):
		if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
			return fmt.Sprintf("%s: there is no folder %s", at.Path, folder)
		}
		return at.Path + ": no such file"
	case errors.Is(at.Err, fs.ErrPermission):
		return at.Path + ": this user may not " + mayNot(at.Op)
	case errors.Is(at.Err, syscall.EISDIR):
		return at.Path + ": this is a folder; want a file"
	case errors.Is(at.Err, syscall.ENOTDIR):
		for inside, above := at.Path, folder; inside != above; inside, above = above, filepath.Dir(above) { // the one that is not may stand further up
			if st, err := os.Stat(inside); err == nil && !st.IsDir() {
				return fmt.Sprintf("%s: %s is no folder", at.Path, inside)
			}
		}
		return at.Path + ": it is no folder"
	}
	return at.Path + ": " + at.Err.Error()
}

// mayNot is what a system call would have done.
func mayNot(op string) string {
	switch op {
	case "mkdir":
		return "make it"
	case "open":
		return "open it"
	}
	return op + " it"
}

// temporary makes a file beside one that is to be written whole or not at all, for its owner's eyes only. Where that cannot be, the error
// names the file that was asked for.
func temporary(name string) (*os.File, error) {
	tmp, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*") // 0600
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		at.Path = name
	}
	return tmp, err
}
