package store

// Memory is a Store that lives as long as the process.
type Memory struct{ Store }

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{} }
