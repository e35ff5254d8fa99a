package main

import (
	"context"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
	"github.com/bellhop-mesh/bellhop/scripts/prove/callers"
)

// passes is how often an address passes to another service, in each of two orders.
const passes = 3

// address has a pod of one service end, and a pod of another one begin at its address and port, as a cluster does that gives
// addresses out anew at once: first in the order in which the old slice has forgotten the address before, then in the
// order in which it still says that the old pod terminates.
func address(ctx context.Context, s *stage, t *prove.Table) error {
	if err := s.ordinary(ctx); err != nil {
		return err
	}
	for _, order := range []struct {
		event     string
		forgotten bool // by the old slice, before the new pod is there
	}{
		{"three addresses pass to another service", true},
		{"three addresses pass while the old slice says that they terminate", false},
	} {
		if err := s.add(shop[0], passes); err != nil { // it always has some that are ready
			return err
		}
		if err := s.tell(shop[0]); err != nil {
			return err
		}
		begun := time.Now()
		n, err := s.Under(ctx, func() error {
			for range passes {
				if err := s.pass(ctx, shop[0], shop[1], order.forgotten); err != nil {
					return err
				}
			}
			return nil
		})
		callers.Calls(t, order.event, n, time.Since(begun))
		if err != nil {
			return err
		}
	}
	return nil
}

// pass has the oldest pod of a service end, and its address pass to another one.
func (s *stage) pass(ctx context.Context, from, to string, forgotten bool) error {
	old := s.pods[from][0]
	old.is = terminating
	if err := s.tell(from); err != nil {
		return err
	}
	forget := func() error {
		s.remove(from, old)
		return s.tell(from)
	}
	if err := callers.Wait(ctx, callers.Settle/2); err != nil {
		return err
	}
	if forgotten {
		if err := forget(); err != nil {
			return err
		}
	}
	s.Peers[old.addr].Stop(callers.Drained)
	young, err := s.start(to, old.addr)
	if err != nil {
		return err
	}
	s.pods[to] = append(s.pods[to], young)
	if _, err := s.told(ctx, to); err != nil {
		return err
	}
	if forgotten {
		return nil
	}
	return forget()
}
