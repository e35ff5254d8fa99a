package main

import (
	"context"
	"fmt"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
)

// seenMax is the longest time from an ensemble that can be reached again to a change that is in force.
const seenMax = 30 * time.Second

// calls judges what became of the calls of an event.
func calls(t *prove.Table, event string, n tally, took time.Duration) {
	measured := fmt.Sprintf("%d of %d, %d misrouted; longest gap %s", n.failed, n.calls, n.wrong, n.gap.Round(time.Millisecond))
	if n.first != nil {
		measured += "; first: " + n.first.Error()
	}
	enough := float64(n.calls) > 0.9*rate*took.Seconds()
	t.Add(fmt.Sprintf("%s: failed calls at %d calls/s", event, rate), "0", measured, n.failed == 0 && n.wrong == 0 && enough)
}

// seen judges how long a change took to be in force.
func seen(t *prove.Table, what string, took, target time.Duration) {
	t.Add(what, "≤ "+target.String(), took.Round(time.Millisecond).String(), took <= target)
}

// outageOf lets something happen to the ensemble under load, after which a change must be seen.
func (s *stage) outageOf(ctx context.Context, t *prove.Table, event string, happens func() error) error {
	if err := s.ordinary(ctx); err != nil {
		return err
	}
	var took time.Duration
	begun := time.Now()
	n, err := s.under(ctx, func() error {
		if err := happens(); err != nil {
			return err
		}
		var err error
		took, err = s.change(ctx, shop[0])
		return err
	})
	calls(t, event, n, time.Since(begun))
	if err == nil {
		seen(t, event+": a change after it is in force", took, seenMax)
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
			if err := wait(ctx, 2*time.Second); err != nil {
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
		if err := wait(ctx, s.outage); err != nil {
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
		err := wait(ctx, s.outage)
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
	return s.ensemble.Await(patience)
}
