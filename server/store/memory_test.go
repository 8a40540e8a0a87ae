package store_test

import (
	"testing"

	"rollcall/server/store"
	"rollcall/server/store/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return store.NewMemory() })
}
