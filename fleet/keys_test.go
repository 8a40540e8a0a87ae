package fleet

import (
	"context"
	"errors"
	"testing"
)

// A pool whose run is over before it is made has no key, and says why.
func TestMakeKeysEnds(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	k, err := MakeKeys(ctx, 2, func(made int) { t.Errorf("%d keys made", made) })
	if !errors.Is(err, context.Canceled) || len(k.ready) != 0 {
		t.Errorf("%d keys, %v", len(k.ready), err)
	}
}
