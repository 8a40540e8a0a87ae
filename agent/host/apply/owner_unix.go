//go:build unix

package apply

import (
	"io/fs"
	"syscall"
)

// namesOf is how many names a file has.
func namesOf(st fs.FileInfo) uint64 {
	s, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return uint64(s.Nlink)
}

// ownerOf is whose a file is.
func ownerOf(st fs.FileInfo) *owner {
	s, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return &owner{int(s.Uid), int(s.Gid)}
}
