package main

import (
	"context"
	"slices"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
	"github.com/bellhop-mesh/bellhop/scripts/prove/callers"
)

// rollout replaces the pods of a service one by one, as a Deployment does, by slices that the proof writes itself.
func rollout(ctx context.Context, s *stage, t *prove.Table) error {
	if err := s.ordinary(ctx); err != nil {
		return err
	}
	begun := time.Now()
	n, err := s.Under(ctx, func() error {
		for _, old := range slices.Clone(s.pods[shop[0]]) {
			if err := s.replace(ctx, shop[0], old); err != nil {
				return err
			}
		}
		return nil
	})
	callers.Calls(t, "a rollout by hand, four pods replaced", n, time.Since(begun))
	return err
}

// replace adds a pod, and takes another one out: it terminates, is not named any more, and then its server ends.
func (s *stage) replace(ctx context.Context, service string, old *pod) error {
	if _, err := s.change(ctx, service); err != nil {
		return err
	}
	old.is = terminating
	if err := s.tell(service); err != nil {
		return err
	}
	if err := callers.Wait(ctx, callers.Settle/2); err != nil {
		return err
	}
	s.remove(service, old)
	if err := s.tell(service); err != nil {
		return err
	}
	if err := callers.Wait(ctx, callers.Settle/2); err != nil {
		return err
	}
	s.Peers[old.addr].Stop(callers.Drained)
	return nil
}
