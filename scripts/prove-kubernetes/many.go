package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
	"github.com/bellhop-mesh/bellhop/scripts/prove/callers"
)

// The size of a large cluster, and what a proxy may take for it.
const (
	manyServices = 2000
	perService   = 10
	manyCalled   = 50 // of them; only these have servers
	writers      = 8
	loadedMax    = 5 * time.Second
	rssMax       = 80 << 20
	changeMax    = 200 * time.Millisecond
)

func many(i int) string { return fmt.Sprintf("many.S%04d", i) }

// fill makes all Services, with their slices.
func (s *stage) fill() error {
	var pairs []string
	for i := range manyServices {
		for j := range perService {
			s.last++
			p := &pod{addr: fmt.Sprintf("10.99.%d.%d:%d", i/25, 1+i%25*perService+j, port), uid: s.last} // nobody listens or calls there
			if i < manyCalled {
				p.addr = fmt.Sprintf("10.98.200.%d:%d", 1+j, 20000+i)
				pairs = append(pairs, many(i), p.addr)
			}
			s.pods[many(i)] = append(s.pods[many(i)], p)
		}
	}
	if _, err := s.ServeAll(pairs); err != nil {
		return err
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	var first error
	for w := range writers {
		all.Go(func() {
			for i := w; i < manyServices; i += writers {
				if err := s.create(many(i)); err != nil {
					mu.Lock()
					first = err
					mu.Unlock()
					return
				}
			}
		})
	}
	all.Wait()
	return first
}

// scale is a cluster of 20,000 endpoints: its first load, its memory, one change.
func scale(ctx context.Context, s *stage, t *prove.Table) error {
	if err := s.fill(); err != nil {
		return err
	}
	var called []string
	for i := range manyCalled {
		called = append(called, many(i))
	}
	begun := time.Now()
	if err := s.begin(ctx, called...); err != nil {
		return err
	}
	if err := s.Endpoints(ctx, manyServices*perService); err != nil {
		return err
	}
	callers.Seen(t, fmt.Sprintf("%d Services with %d endpoints each: start to all in the table", manyServices, perService), time.Since(begun), loadedMax)
	begun = time.Now()
	n, err := s.Under(ctx, func() error {
		if err := callers.Wait(ctx, 5*time.Second); err != nil {
			return err
		}
		return s.Memory(t, rssMax)
	})
	callers.Calls(t, fmt.Sprintf("%d Services of %d", manyCalled, manyServices), n, time.Since(begun))
	if err == nil {
		err = s.OneByOne(ctx, t, many(0), "the slice was written", changeMax, func(i int) (time.Duration, error) { return s.grow(ctx, i) })
	}
	return err
}

// grow adds the i-th server more to the first service.
func (s *stage) grow(ctx context.Context, i int) (time.Duration, error) {
	p, err := s.start(many(0), fmt.Sprintf("10.98.200.%d:20000", 1+perService+i))
	if err != nil {
		return 0, err
	}
	s.pods[many(0)] = append(s.pods[many(0)], p)
	return s.told(ctx, many(0))
}
