package main

import (
	"context"
	"fmt"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
	"github.com/bellhop-mesh/bellhop/scripts/prove/callers"
	"github.com/bellhop-mesh/bellhop/scripts/zkensemble"
)

// restartMax is the longest time from the start of a proxy to its first answered call while the ensemble is down.
const restartMax = time.Second

// restart starts the proxy anew while no server of the ensemble is there: what it knew at its end is what it serves.
func restart(ctx context.Context, s *stage, t *prove.Table) error {
	if err := s.ordinary(ctx); err != nil {
		return err
	}
	if _, err := s.Under(ctx, func() error { return nil }); err != nil {
		return err
	}
	s.Load.Stop()
	s.Load = nil
	s.ensemble.Close()
	s.Proxy.Process.Stop(10 * time.Second)
	begun := time.Now()
	if err := s.begin(ctx, nil, shop...); err != nil {
		return err
	}
	if err := s.Load.One(0); err != nil {
		return fmt.Errorf("the first call: %w", err)
	}
	callers.Seen(t, "the proxy starts without the ensemble: its first answered call", time.Since(begun), restartMax)

	var took time.Duration
	begun = time.Now()
	n, err := s.Under(ctx, func() error {
		if err := s.back(0, 1, 2); err != nil {
			return err
		}
		var err error
		took, err = s.change(ctx, shop[0])
		return err
	})
	callers.Calls(t, "a proxy that started without the ensemble", n, time.Since(begun))
	if err == nil {
		callers.Seen(t, "the ensemble comes back: a change is in force", took, seenMax)
	}
	return err
}

// cut ends the proxy's connections, and every new one at once, for longer than its session lives.
func cut(ctx context.Context, s *stage, t *prove.Table) error {
	return s.expiry(ctx, t, "connections are refused, the session expires", func(r *zkensemble.Relay, away bool) {
		r.Refuse.Store(away)
		r.Cut()
	})
}

// hole lets nothing pass for longer than the session lives, as a network does that is parted.
func hole(ctx context.Context, s *stage, t *prove.Table) error {
	return s.expiry(ctx, t, "nothing passes, the session expires", func(r *zkensemble.Relay, away bool) { r.Hole.Store(away) })
}

// expiry parts the proxy from the ensemble, changes something meanwhile, and heals the network.
func (s *stage) expiry(ctx context.Context, t *prove.Table, event string, part func(r *zkensemble.Relay, away bool)) error {
	if err := s.ordinary(ctx); err != nil {
		return err
	}
	var took time.Duration
	begun := time.Now()
	n, err := s.Under(ctx, func() error {
		for _, r := range s.relays {
			part(r, true)
		}
		addrs, err := s.add(shop[0], 1)
		if err == nil {
			err = callers.Wait(ctx, 3*session)
		}
		if err != nil {
			return err
		}
		first, healed := s.Load.From(addrs[0]), time.Now()
		for _, r := range s.relays {
			part(r, false)
		}
		if took, err = callers.Until(ctx, first, healed); err != nil {
			return err
		}
		return s.Await(ctx, "an expired session", func(m prove.Metrics) bool { return m.Sum("bellhop_zookeeper_sessions_expired_total") > 0 })
	})
	callers.Calls(t, event, n, time.Since(begun))
	if err == nil {
		callers.Seen(t, event+": a change made meanwhile, from the healing on", took, seenMax)
	}
	return err
}

// losses has every watch event lost on its way: only the audit tells of a change.
func losses(ctx context.Context, s *stage, t *prove.Table) error {
	if err := s.ordinary(ctx); err != nil {
		return err
	}
	var took time.Duration
	begun := time.Now()
	n, err := s.Under(ctx, func() error {
		for _, r := range s.relays {
			r.Swallow.Store(true)
		}
		var err error
		took, err = s.change(ctx, shop[0])
		return err
	})
	callers.Calls(t, "watch events are lost", n, time.Since(begun))
	lost := int64(0)
	for _, r := range s.relays {
		lost += r.Dropped()
	}
	if err == nil && lost == 0 {
		err = fmt.Errorf("no watch event was lost: nothing was proved")
	}
	if err == nil {
		callers.Seen(t, "watch events are lost, audit of 5 s: a change is in force", took, seenMax)
	}
	return err
}
