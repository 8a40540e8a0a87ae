//go:build unix

package apply

import (
	"io/fs"
	"syscall"
)

// ownerOf is whose a file is.
func ownerOf(st fs.FileInfo) *owner {
	s, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return &owner{int(s.Uid), int(s.Gid)}
}
