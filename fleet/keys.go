package fleet

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Keys are RSA-2048 keys of devices, each for one, made beforehand: to make one takes longer than all else of an enrolment.
type Keys struct {
	Beforehand int           // made by [MakeKeys]
	Took       time.Duration // that

	mu    sync.Mutex
	ready []*rsa.PrivateKey
	later int
}

// MakeKeys makes n keys on all processors, and tells progress now and then how many there are. Where ctx ends first, it gives its error.
func MakeKeys(ctx context.Context, n int, progress func(made int)) (*Keys, error) {
	k, begun := &Keys{Beforehand: n}, time.Now()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for range n {
		group.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			key, err := newRSAKey()
			if err != nil {
				return err
			}
			k.mu.Lock()
			defer k.mu.Unlock()
			k.ready = append(k.ready, key)
			progress(len(k.ready))
			return nil
		})
	}
	err := group.Wait()
	k.Took = time.Since(begun)
	return k, err
}

// Take gives a key that nobody else gets. Where none is left, it makes one.
func (k *Keys) Take() (key *rsa.PrivateKey, err error) {
	k.mu.Lock()
	if n := len(k.ready); n > 0 {
		key, k.ready = k.ready[n-1], k.ready[:n-1]
	} else {
		k.later++
	}
	k.mu.Unlock()
	if key == nil {
		key, err = newRSAKey()
	}
	return key, err
}

// Later returns how many keys were made as they were needed, because no more were left.
func (k *Keys) Later() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.later
}

func newRSAKey() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) }
