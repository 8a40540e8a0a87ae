// Package storetest is what any store must pass. Start with [Run].
package storetest

import (
	"testing"

	"rollcall/server/store"
)

// Run tests the stores that open makes, each empty. Reopen, where given, closes a store and opens what it left, so that
// what must survive is tested as well.
func Run(t *testing.T, open func(t *testing.T) store.Store, reopen ...func(t *testing.T, s store.Store) store.Store) {
}
