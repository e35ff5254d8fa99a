package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
	"github.com/bellhop-mesh/bellhop/scripts/prove/callers"
)

const (
	goneMax = time.Second // from a slice that names nobody to calls that are refused
	backMax = time.Second // from a slice that names somebody to his first reply
	atZero  = 5 * time.Second
)

// toZero scales a service to nothing while it is called, and back: that nothing is there is believed at once. Its calls are
// refused meanwhile, with the one right code; other services' calls feel nothing.
func toZero(ctx context.Context, s *stage, t *prove.Table) error {
	if err := s.ordinary(ctx); err != nil {
		return err
	}
	service := shop[0]
	var zero, whole atomic.Bool // the slice was told to be empty; pods were seen to be back
	refused := make(chan time.Time, 1)
	s.Load.Excuse(func(name string, err error, at time.Time) bool {
		if name != service || !zero.Load() || whole.Load() || !strings.Contains(err.Error(), "service "+service+" has no endpoint") {
			return false
		}
		select {
		case refused <- at:
		default:
		}
		return true
	})
	var gone, back time.Duration
	begun := time.Now()
	n, err := s.Under(ctx, func() (err error) {
		if gone, err = s.empty(ctx, service, &zero, refused); err != nil {
			return err
		}
		if err := callers.Wait(ctx, atZero); err != nil {
			return err
		}
		if err := s.add(service, 4); err != nil {
			return err
		}
		back, err = s.told(ctx, service)
		whole.Store(true)
		return err
	})
	callers.Calls(t, "a service is scaled to 0 and back, calls not refused as they must", n, time.Since(begun))
	if err != nil {
		return err
	}
	t.Note("… calls to it that were refused for want of an endpoint", fmt.Sprint(n.Excused))
	callers.Seen(t, "… from an empty slice to the first refused call", gone, goneMax)
	callers.Seen(t, "… from pods in the slice to the first reply", back, backMax)
	if n.Excused == 0 {
		return errors.New("no call was refused: nothing was proved")
	}
	return nil
}

// empty has all pods of a service terminate, and then the slice name nobody; then the servers end.
func (s *stage) empty(ctx context.Context, service string, zero *atomic.Bool, refused <-chan time.Time) (time.Duration, error) {
	old := s.pods[service]
	for _, p := range old {
		p.is = terminating
	}
	if err := s.tell(service); err != nil {
		return 0, err
	}
	if err := callers.Wait(ctx, callers.Settle); err != nil {
		return 0, err
	}
	s.pods[service] = nil
	zero.Store(true)
	emptied := time.Now()
	if err := s.tell(service); err != nil {
		return 0, err
	}
	gone, err := callers.Until(ctx, refused, emptied)
	if err != nil {
		return 0, err
	}
	for _, p := range old {
		s.Peers[p.addr].Stop(callers.Drained)
	}
	return gone, nil
}
