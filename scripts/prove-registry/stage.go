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
	"github.com/bellhop-mesh/bellhop/scripts/zkensemble"
)

const (
	rate     = 1000 // calls a second
	session  = 4 * time.Second
	root     = "/bellhop/services/"
	settle   = time.Second      // of load, before an event and after it
	patience = 60 * time.Second // for anything that has no target
	drained  = 3 * time.Second  // a server that shall end has ended
)

// shop is what ordinary events have.
var shop = []string{"shop.Cart", "shop.Price", "shop.Stock", "shop.User"}

// stage is what an event happens on. Every event has one of its own.
type stage struct {
	dir      string
	outage   time.Duration
	config   string // of the proxy, beside its registries
	ensemble *zkensemble.Ensemble
	relays   []*zkensemble.Relay // one before each server
	tree     *tree
	peers    map[string]*prove.Process // by address
	addrs    map[string][]string       // registered servers, by service
	proxy    *prove.Bellhop
	load     *load
}

// newStage starts an ensemble with relays before it. Servers, proxy and load are the event's.
func newStage(dir string, outage time.Duration) (s *stage, err error) {
	s = &stage{dir: dir, outage: outage, peers: map[string]*prove.Process{}, addrs: map[string][]string{}}
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
	s.tree, err = openTree(s.ensemble.Servers())
	return s, err
}

func (s *stage) stop() {
	if s.load != nil {
		s.load.stop()
	}
	if s.proxy != nil {
		s.proxy.Process.Stop(drained)
	}
	for _, p := range s.peers {
		p.Stop(0)
	}
	if s.tree != nil {
		s.tree.close()
	}
	for _, r := range s.relays {
		r.Close()
	}
	if s.ensemble != nil {
		s.ensemble.Close()
	}
}

// serve starts a server of a service, which nobody knows yet, and returns its address.
func (s *stage) serve(service, listen string) (string, error) {
	addrs, err := s.serveAll([]string{service, listen})
	if err != nil {
		return "", err
	}
	return addrs[0], nil
}

// serveAll starts servers in one process, from pairs of a service and an address to listen at.
func (s *stage) serveAll(pairs []string) (addrs []string, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p, err := prove.Start(s.dir, "peer", append([]string{self, "peer"}, pairs...)...)
	if err != nil {
		return nil, err
	}
	for range len(pairs) / 2 {
		addr, err := p.Line()
		s.peers[addr] = p
		if err != nil {
			return nil, err
		}
		addrs = append(addrs, addr)
	}
	return addrs, nil
}

// add starts servers of a service and registers them.
func (s *stage) add(service string, n int) (addrs []string, err error) {
	for range n {
		addr, err := s.serve(service, "127.0.0.1:0")
		if err == nil {
			err = s.tree.put(root + service + "/" + addr)
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
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var servers []string
	for _, r := range s.relays {
		servers = append(servers, r.Addr())
	}
	s.proxy = &prove.Bellhop{
		Dir: filepath.Join(s.dir, "local"), Config: "listeners:\n  - {net: unix, addr: call.sock}\n" + s.config,
		Registries: fmt.Sprintf("zookeeper: [{name: main, servers: %q, session: %s, audit: 5s, services: [%s]}]",
			strings.Join(servers, ","), session, strings.Join(known, ", ")),
	}
	err := s.proxy.Start(ctx)
	if err == nil {
		s.load, err = newLoad(s.proxy.AddressFile(), rate, called...)
	}
	return err
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

// under lets an event happen under load, and tells what became of the calls.
func (s *stage) under(ctx context.Context, happens func() error) (tally, error) {
	s.load.begin()
	err := wait(ctx, settle)
	if err == nil {
		err = happens()
	}
	if err == nil {
		err = wait(ctx, settle)
	}
	return s.load.pause(), err
}

// change registers one more server of a service and returns how long its first reply took. The service is under load.
func (s *stage) change(ctx context.Context, service string) (time.Duration, error) {
	addr, err := s.serve(service, "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	first := s.load.from(addr)
	begun := time.Now()
	if err := s.tree.put(root + service + "/" + addr); err != nil {
		return 0, err
	}
	return until(ctx, first, begun)
}

func until(ctx context.Context, first <-chan time.Time, begun time.Time) (time.Duration, error) {
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case at := <-first:
		return at.Sub(begun), nil
	case <-time.After(patience):
		return patience, errors.New("the new server got no call")
	}
}

// await waits until the proxy's metrics are as they should be.
func (s *stage) await(ctx context.Context, what string, ok func(prove.Metrics) bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return s.proxy.Process.Await(ctx, func() error {
		m, err := prove.Scrape(ctx, s.proxy.Admin)
		if err == nil && !ok(m) {
			err = errors.New("not yet: " + what)
		}
		return err
	})
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

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
