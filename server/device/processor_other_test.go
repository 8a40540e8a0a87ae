//go:build !unix

package device

import "time"

var started = time.Now()

// processorTime is as far as this system tells it: what the wall clock says.
func processorTime() int64 { return int64(time.Since(started)) }
