package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
)

// What bellhop says of itself: mallocs and CPU profiles.

const (
	mallocsMetric = "go_memstats_mallocs_total"
	callsMetric   = "bellhop_calls_total"
)

// during runs f while there is load on a path, once connections and buffers have been made.
func (r *rig) during(ctx context.Context, p path, duration time.Duration, f func() error) error {
	ended := make(chan error, 1)
	go func() {
		_, err := r.load(ctx, p, duration)
		ended <- err
	}()
	time.Sleep(2 * warmup)
	return errors.Join(f(), <-ended)
}

// allocations returns the mallocs of the process per call, between two looks at its metrics in the middle of a load.
// What a look itself allocates is measured without load, and taken off.
func (r *rig) allocations(ctx context.Context, p path) (float64, error) {
	idle, _, err := r.mallocs(ctx, 100*time.Millisecond)
	if err != nil {
		return 0, err
	}
	var busy, calls float64
	err = r.during(ctx, p, 1500*time.Millisecond, func() (err error) {
		busy, calls, err = r.mallocs(ctx, time.Second)
		return err
	})
	if err != nil {
		return 0, err
	}
	if calls <= 0 {
		return 0, fmt.Errorf("%s did not grow under load", callsMetric)
	}
	return max(0, busy-idle) / calls, nil
}

// mallocs returns how much both counters grow from one look to the next.
func (r *rig) mallocs(ctx context.Context, wait time.Duration) (mallocs, calls float64, err error) {
	if _, err := prove.Scrape(ctx, r.bellhop.Admin); err != nil { // makes the connection
		return 0, 0, err
	}
	a, err := prove.Scrape(ctx, r.bellhop.Admin)
	if err != nil {
		return 0, 0, err
	}
	time.Sleep(wait)
	b, err := prove.Scrape(ctx, r.bellhop.Admin)
	if err != nil {
		return 0, 0, err
	}
	if a[mallocsMetric] == 0 {
		return 0, 0, fmt.Errorf("/metrics has no %s", mallocsMetric)
	}
	return b[mallocsMetric] - a[mallocsMetric], b.Sum(callsMetric) - a.Sum(callsMetric), nil
}

// profiles writes a CPU profile of bellhop for each of its paths: dir/PATH.pprof.
func (r *rig) profiles(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, p := range r.paths {
		if p.mode == "" {
			continue
		}
		err := r.during(ctx, p, 4*time.Second, func() error {
			b, err := prove.Get(ctx, r.bellhop.Admin, "/debug/pprof/profile?seconds=3")
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, p.name+".pprof"), b, 0o644)
		})
		if err != nil {
			return fmt.Errorf("profile of %s: %w", p.name, err)
		}
	}
	return nil
}
