package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
	"github.com/bellhop-mesh/bellhop/scripts/prove/callers"
	"github.com/bellhop-mesh/bellhop/scripts/zkensemble"
)

const (
	session = 4 * time.Second
	root    = "/bellhop/services/"
)

// shop is what ordinary events have.
var shop = []string{"shop.Cart", "shop.Price", "shop.Stock", "shop.User"}

// stage is what an event happens on. Every event has one of its own.
type stage struct {
	*callers.Rig
	outage   time.Duration
	config   string // of the proxy, beside its registries
	ensemble *zkensemble.Ensemble
	relays   []*zkensemble.Relay // one before each server
	tree     *zkensemble.Tree
	addrs    map[string][]string // registered servers, by service
}

// newStage starts an ensemble with relays before it. Servers, proxy and load are the event's.
func newStage(dir string, outage time.Duration) (s *stage, err error) {
	s = &stage{Rig: callers.NewRig(dir), outage: outage, addrs: map[string][]string{}}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	if err := os.MkdirAll(filepath.Join(dir, "zk"), 0o700); err != nil {
		return s, err
	}
	if s.ensemble, err = zkensemble.Start(filepath.Join(dir, "zk"), zkensemble.Options{}); err != nil {
		return s, err
	}
	for i := range 3 {
		r, err := zkensemble.NewRelay("127.0.0.1:0", func() string { return s.ensemble.Addr(i) })
		if err != nil {
			return s, err
		}
		s.relays = append(s.relays, r)
	}
	s.tree, err = zkensemble.OpenTree(s.ensemble.Servers())
	return s, err
}

func (s *stage) stop() {
	s.Rig.Stop()
	if s.tree != nil {
		s.tree.Close()
	}
	for _, r := range s.relays {
		r.Close()
	}
	if s.ensemble != nil {
		s.ensemble.Close()
	}
}

// add starts servers of a service and registers them.
func (s *stage) add(service string, n int) (addrs []string, err error) {
	for range n {
		addr, err := s.Serve(service, "127.0.0.1:0")
		if err == nil {
			err = s.tree.Put(root + service + "/" + addr)
		}
		if err != nil {
			return nil, err
		}
		addrs = append(addrs, addr)
	}
	s.addrs[service] = append(s.addrs[service], addrs...)
	return addrs, nil
}

// begin starts the proxy, which watches some services from the start and learns others from their calls.
func (s *stage) begin(ctx context.Context, known []string, called ...string) error {
	var servers []string
	for _, r := range s.relays {
		servers = append(servers, r.Addr())
	}
	return s.Begin(ctx, &prove.Bellhop{
		Dir: filepath.Join(s.Dir, "local"), Config: "listeners:\n  - {net: unix, addr: call.sock}\n" + s.config,
		Registries: fmt.Sprintf("zookeeper: [{name: main, servers: %q, session: %s, audit: 5s, services: [%s]}]",
			strings.Join(servers, ","), session, strings.Join(known, ", ")),
	}, called...)
}

// ordinary starts four services with four servers each, the proxy, and callers of all.
func (s *stage) ordinary(ctx context.Context) error {
	for _, name := range shop {
		if _, err := s.add(name, 4); err != nil {
			return err
		}
	}
	return s.begin(ctx, nil, shop...)
}

// change registers one more server of a service and returns how long its first reply took. The service is under load.
func (s *stage) change(ctx context.Context, service string) (time.Duration, error) {
	addr, err := s.Serve(service, "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	first := s.Load.From(addr)
	begun := time.Now()
	if err := s.tree.Put(root + service + "/" + addr); err != nil {
		return 0, err
	}
	return callers.Until(ctx, first, begun)
}

// each does something to every server of the ensemble.
func (s *stage) each(f func(i int) error) error {
	return errors.Join(slices.Collect(func(yield func(error) bool) {
		for i := range s.relays {
			if !yield(f(i)) {
				return
			}
		}
	})...)
}
