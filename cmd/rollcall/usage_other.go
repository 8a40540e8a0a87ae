//go:build !unix && !agentonly

package main

import "time"

// usage is not known on this system: zeros.
func usage() (cpu time.Duration, peak int64) { return 0, 0 }

// openFiles is not known either.
func openFiles() uint64 { return 0 }
