package main

import (
	"context"
	"fmt"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
	"github.com/bellhop-mesh/bellhop/scripts/prove/callers"
	"github.com/bellhop-mesh/bellhop/scripts/zkensemble"
)

const (
	forgotten = 30 * time.Second // a registry has forgotten servers that live
	deadMax   = 14 * time.Second // from a server's end to its being out of the table: ten seconds from the first probe that fails
)

// forget removes all of a service's nodes at once.
func (s *stage) forget(service string) error {
	var ops []any
	for _, addr := range s.addrs[service] {
		ops = append(ops, zkensemble.Remove(root+service+"/"+addr))
	}
	return s.tree.Apply(ops)
}

// held waits until so many endpoints are kept although the registry removed them.
func (s *stage) held(ctx context.Context, n int) error {
	return s.Await(ctx, fmt.Sprintf("%d endpoints that are held", n), func(m prove.Metrics) bool {
		return m["bellhop_registry_held_endpoints"] == float64(n)
	})
}

// vanish has the registry forget a service whose servers live; then half of these end.
func vanish(ctx context.Context, s *stage, t *prove.Table) error {
	if err := s.ordinary(ctx); err != nil {
		return err
	}
	lost := s.addrs[shop[0]]
	begun := time.Now()
	n, err := s.Under(ctx, func() error {
		if err := s.forget(shop[0]); err != nil {
			return err
		}
		if err := s.held(ctx, len(lost)); err != nil {
			return err
		}
		return callers.Wait(ctx, forgotten)
	})
	callers.Calls(t, fmt.Sprintf("a service vanishes for %s, its servers live", forgotten), n, time.Since(begun))
	if err != nil {
		return err
	}
	m, err := prove.Scrape(ctx, s.Proxy.Admin)
	if err != nil {
		return err
	}
	still := m["bellhop_registry_held_endpoints"]
	t.Add("… endpoints that are held, and told to be", fmt.Sprint(len(lost)), fmt.Sprint(still), int(still) == len(lost))
	if int(still) != len(lost) {
		return nil
	}

	var took time.Duration
	begun = time.Now()
	n, err = s.Under(ctx, func() error {
		dead := lost[:len(lost)/2]
		for _, addr := range dead {
			s.Peers[addr].Stop(callers.Drained)
		}
		died := time.Now()
		err := s.held(ctx, len(lost)-len(dead))
		took = time.Since(died)
		return err
	})
	callers.Calls(t, "half of them end", n, time.Since(begun))
	if err == nil {
		callers.Seen(t, "… from their end to their being out of the table", took, deadMax)
	}
	return err
}

// address has servers of one service end, and servers of another one begin at their addresses.
func address(ctx context.Context, s *stage, t *prove.Table) error {
	if err := s.ordinary(ctx); err != nil {
		return err
	}
	from, to := shop[0], shop[1]
	begun := time.Now()
	n, err := s.Under(ctx, func() error {
		for _, addr := range s.addrs[from][:2] {
			if err := s.tree.Apply([]any{zkensemble.Remove(root + from + "/" + addr)}); err != nil {
				return err
			}
			if err := callers.Wait(ctx, callers.Settle); err != nil { // for what is on its way, as a rollout does
				return err
			}
			s.Peers[addr].Stop(callers.Drained)
			first := s.Load.From(addr)
			if _, err := s.Serve(to, addr); err != nil {
				return err
			}
			if err := s.tree.Put(root + to + "/" + addr); err != nil {
				return err
			}
			if _, err := callers.Until(ctx, first, time.Now()); err != nil {
				return err
			}
		}
		return nil
	})
	callers.Calls(t, "two addresses pass to another service", n, time.Since(begun))
	if err != nil {
		return err
	}
	s.addrs[from] = s.addrs[from][2:]
	if _, err := s.add(from, 2); err != nil {
		return err
	}
	return s.heldAddress(ctx, t, from, to)
}

// heldAddress does the same with the address of a held endpoint: the new owner's registration ends the hold, before it listens.
func (s *stage) heldAddress(ctx context.Context, t *prove.Table, from, to string) error {
	all := s.addrs[from]
	addr := all[0]
	begun := time.Now()
	n, err := s.Under(ctx, func() error {
		if err := s.forget(from); err != nil {
			return err
		}
		if err := s.held(ctx, len(all)); err != nil {
			return err
		}
		s.Peers[addr].Stop(callers.Drained)
		if err := s.tree.Put(root + to + "/" + addr); err != nil {
			return err
		}
		if err := s.held(ctx, len(all)-1); err != nil {
			return err
		}
		first := s.Load.From(addr)
		if _, err := s.Serve(to, addr); err != nil {
			return err
		}
		_, err := callers.Until(ctx, first, time.Now())
		return err
	})
	callers.Calls(t, "the address of a held endpoint passes to another service", n, time.Since(begun))
	return err
}
