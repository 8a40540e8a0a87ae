package host

import (
	"fmt"
	"os"
	"path/filepath"
)

// longest is how long the name of a Unix socket may be.
const longest = 107

// socketIn names the socket of a state folder. One with a long path is named by way of the open folder, until done is called.
func socketIn(dir string) (name string, done func(), err error) {
	name = filepath.Join(dir, socketFile)
	if len(name) <= longest {
		return name, func() {}, nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", f.Fd(), socketFile), func() { f.Close() }, nil
}
