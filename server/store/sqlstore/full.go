package sqlstore

import (
	"errors"
	"slices"

	"rollcall/server/store"
)

// roomFor makes an error that says that there is no room for place a sentence; any other stays as it is.
func roomFor(place string, err error) error {
	full := slices.ContainsFunc(noRoom, func(no error) bool { return errors.Is(err, no) })
	if code, ok := codeOf(err); ok {
		full = full || code == codeIOWrite || code == codeIOTruncate || code == codeIOShmSize || code&0xff == codeFull
	}
	if !full || errors.Is(err, store.ErrFull) {
		return err
	}
	return &store.Full{Place: place, Err: err}
}
