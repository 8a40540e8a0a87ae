//go:build !linux && !agentonly

package main

// freeMemory is not known on this system.
func freeMemory() int64 { return 0 }
