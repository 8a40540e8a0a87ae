//go:build !agentonly

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const addressFile = "address.json"

// An address is where the server of a data folder was started last, for administrators on the same machine: they reach it by the name in its
// certificate, whether this machine can find that name or not.
type address struct {
	URL    string `json:"url"`
	Listen string `json:"listen"` // host:port; an unspecified host is this machine to net.Dial
}

func (a address) write(dir string) error {
	b, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, addressFile), append(b, '\n'), 0o644)
}

// addressIn reads the address of a data folder's server; without one it is the default.
func addressIn(dir string) (a address, err error) {
	name := filepath.Join(dir, addressFile)
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return address{"https://" + defaultListen, defaultListen}, nil
	}
	if err != nil {
		return a, fmt.Errorf("the server's address in --data: %w", err)
	}
	if err := json.Unmarshal(b, &a); err != nil {
		return a, fmt.Errorf("%s is damaged: start the server again, or give --server: %w", name, err)
	}
	return a, nil
}
