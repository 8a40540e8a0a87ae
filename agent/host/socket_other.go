//go:build !linux

package host

import "path/filepath"

// socketIn names the socket of a state folder. A path that is too long for one has the agent run without: its log says so.
func socketIn(dir string) (name string, done func(), err error) {
	return filepath.Join(dir, socketFile), func() {}, nil
}
