package registry

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	firstRetry = time.Second      // after a run that failed; doubles up to
	lastRetry  = 30 * time.Second // this
)

// RunAgain runs run, and again whenever it fails, later and later, until it returns nil or ctx ends. failed gets each error
// and about how long the pause is. Many hosts lose one registry together and shall not return together: the pause varies.
// It waits for run, which has to end with ctx.
func RunAgain(ctx context.Context, run func() error, failed func(err error, in time.Duration)) {
	pause := firstRetry
	for {
		started := time.Now()
		err := run()
		if ctx.Err() != nil || err == nil {
			return
		}
		if time.Since(started) > 2*lastRetry {
			pause = firstRetry
		}
		failed(err, pause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		pause = min(2*pause, lastRetry)
	}
}
