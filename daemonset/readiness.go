package daemonset

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Readiness says whether this process should be sent calls: it was started, is not closing, and one call made now comes
// back right through the data path. Safe for concurrent use.
type Readiness struct {
	probe func(context.Context) error

	mu      sync.Mutex
	started bool
	closing bool

	probing sync.Mutex // one probe at a time, and none more often than probeEvery
	last    time.Time
	result  error
}

// Bounds of a probe: whoever asks often gets the last answer.
const (
	probeEvery   = 500 * time.Millisecond
	probeTimeout = 2 * time.Second
)

// NewReadiness makes one that is not ready yet. probe makes one call through the data path.
func NewReadiness(probe func(context.Context) error) *Readiness { return &Readiness{probe: probe} }

// Started says that the start is over: its own call was answered.
func (r *Readiness) Started() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.started = true
}

// Closing makes it not ready any more, for good.
func (r *Readiness) Closing() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closing = true
}

var (
	errStarting = errors.New("starting")
	errClosing  = errors.New("closing")
)

// Check is nil when ready; else it says why not. It may take as long as one call.
func (r *Readiness) Check(ctx context.Context) error {
	r.mu.Lock()
	started, closing := r.started, r.closing
	r.mu.Unlock()
	switch {
	case closing:
		return errClosing
	case !started:
		return errStarting
	}
	r.probing.Lock()
	defer r.probing.Unlock()
	if time.Since(r.last) < probeEvery {
		return r.result
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err := r.probe(ctx)
	if err != nil {
		err = fmt.Errorf("a call through the data path failed: %w", err)
	}
	r.last, r.result = time.Now(), err
	return err
}
