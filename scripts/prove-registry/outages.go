package main

import (
	"context"
	"fmt"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
	"github.com/bellhop-mesh/bellhop/scripts/prove/callers"
)

// seenMax is the longest time from an ensemble that can be reached again to a change that is in force.
const seenMax = 30 * time.Second

// outageOf lets something happen to the ensemble under load, after which a change must be seen.
func (s *stage) outageOf(ctx context.Context, t *prove.Table, event string, happens func() error) error {
	if err := s.ordinary(ctx); err != nil {
		return err
	}
	var took time.Duration
	begun := time.Now()
	n, err := s.Under(ctx, func() error {
		if err := happens(); err != nil {
			return err
		}
		var err error
		took, err = s.change(ctx, shop[0])
		return err
	})
	callers.Calls(t, event, n, time.Since(begun))
	if err == nil {
		callers.Seen(t, event+": a change after it is in force", took, seenMax)
	}
	return err
}

// leaderDies kills the leader, and starts it again after the change was seen.
func leaderDies(ctx context.Context, s *stage, t *prove.Table) error {
	return s.outageOf(ctx, t, "the leader is killed", func() error {
		i := s.ensemble.Leader()
		if i < 0 {
			return fmt.Errorf("the ensemble has no leader")
		}
		s.ensemble.Kill(i)
		return nil
	})
}

// oneByOne kills each server and starts it again before the next.
func oneByOne(ctx context.Context, s *stage, t *prove.Table) error {
	return s.outageOf(ctx, t, "servers are killed one by one", func() error {
		return s.each(func(i int) error {
			s.ensemble.Kill(i)
			if err := callers.Wait(ctx, 2*time.Second); err != nil {
				return err
			}
			return s.back(i)
		})
	})
}

// allDown kills all servers, and starts them after the outage.
func allDown(ctx context.Context, s *stage, t *prove.Table) error {
	return s.outageOf(ctx, t, fmt.Sprintf("no server for %s", s.outage), func() error {
		s.ensemble.Close()
		if err := callers.Wait(ctx, s.outage); err != nil {
			return err
		}
		return s.back(0, 1, 2)
	})
}

// silent stops all servers without ending their connections: nothing is refused, nothing is answered.
func silent(ctx context.Context, s *stage, t *prove.Table) error {
	return s.outageOf(ctx, t, fmt.Sprintf("no answer for %s", s.outage), func() error {
		if err := s.each(s.ensemble.Pause); err != nil {
			return err
		}
		err := callers.Wait(ctx, s.outage)
		if resumed := s.each(s.ensemble.Resume); err == nil {
			err = resumed
		}
		return err
	})
}

// back starts servers and waits until they serve.
func (s *stage) back(list ...int) error {
	for _, i := range list {
		if err := s.ensemble.Restart(i); err != nil {
			return err
		}
	}
	return s.ensemble.Await(callers.Patience)
}
