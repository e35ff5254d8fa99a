// Package callers is what the proofs about registries share: Thrift servers that say who they are and finish what they
// read, callers at a fixed rate, and the proxy between them. It must never know a registry, nor forgive a call by itself.
//
//	Load, calls at a fixed rate ─► client ─► bellhop local ─► peers, in processes of their own
//	Main ─► Event ─► Rig.Serve, Begin, Under ─► Tally ─► Calls, Seen ─► prove.Table
package callers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
)

// What all events have in common.
const (
	Rate     = 1000             // calls a second
	Settle   = time.Second      // of load, before an event and after it
	Patience = 60 * time.Second // for anything that has no target
	Drained  = 3 * time.Second  // a server that shall end has ended
	Changes  = 10               // of OneByOne
)

// Rig is servers, a proxy and callers. Its methods are for one goroutine.
type Rig struct {
	Dir   string                    // of all files
	Peers map[string]*prove.Process // by address
	Proxy *prove.Bellhop            // after Begin
	Load  *Load                     // after Begin
}

// NewRig is a rig without servers yet.
func NewRig(dir string) *Rig { return &Rig{Dir: dir, Peers: map[string]*prove.Process{}} }

// Stop ends everything that was started.
func (r *Rig) Stop() {
	if r.Load != nil {
		r.Load.Stop()
	}
	if r.Proxy != nil {
		r.Proxy.Process.Stop(Drained)
	}
	for _, p := range r.Peers {
		p.Stop(0)
	}
}

// Serve starts a server of a service, which nobody knows yet, and returns its address.
func (r *Rig) Serve(service, listen string) (string, error) {
	addrs, err := r.ServeAll([]string{service, listen})
	if err != nil {
		return "", err
	}
	return addrs[0], nil
}

// ServeAll starts servers in one process, from pairs of a service and an address to listen at.
func (r *Rig) ServeAll(pairs []string) (addrs []string, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p, err := prove.Start(r.Dir, "peer", append([]string{self, "peer"}, pairs...)...)
	if err != nil {
		return nil, err
	}
	for range len(pairs) / 2 {
		addr, err := p.Line()
		r.Peers[addr] = p
		if err != nil {
			return nil, err
		}
		addrs = append(addrs, addr)
	}
	return addrs, nil
}

// Begin starts the proxy, and callers of services, who wait for Under.
func (r *Rig) Begin(ctx context.Context, proxy *prove.Bellhop, called ...string) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	r.Proxy = proxy
	err := r.Proxy.Start(ctx)
	if err == nil {
		r.Load, err = NewLoad(r.Proxy.AddressFile(), Rate, called...)
	}
	return err
}

// Under lets an event happen under load, and tells what became of the calls.
func (r *Rig) Under(ctx context.Context, happens func() error) (Tally, error) {
	r.Load.Begin()
	err := Wait(ctx, Settle)
	if err == nil {
		err = happens()
	}
	if err == nil {
		err = Wait(ctx, Settle)
	}
	return r.Load.Pause(), err
}

// Await waits until the proxy's metrics are as they should be.
func (r *Rig) Await(ctx context.Context, what string, ok func(prove.Metrics) bool) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	return r.Proxy.Process.Await(ctx, func() error {
		m, err := prove.Scrape(ctx, r.Proxy.Admin)
		if err == nil && !ok(m) {
			err = errors.New("not yet: " + what)
		}
		return err
	})
}

// Endpoints waits until the proxy's table has so many.
func (r *Rig) Endpoints(ctx context.Context, n float64) error {
	return r.Await(ctx, fmt.Sprintf("%.0f endpoints", n), func(m prove.Metrics) bool { return m["bellhop_registry_endpoints"] == n })
}

// Memory judges the proxy's resident set, in bytes.
func (r *Rig) Memory(t *prove.Table, target int64) error {
	pid := r.Proxy.Process.PID()
	m, err := prove.ReadMemory(pid)
	if err != nil {
		return err
	}
	peak, err := prove.PeakRSS(pid)
	mb := func(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/(1<<20)) }
	t.Add("… resident memory under load", "≤ "+mb(target), mb(m.RSS), m.RSS <= target)
	t.Note("… and its peak", mb(peak))
	return err
}

// Calls judges what became of the calls of an event that took so long.
func Calls(t *prove.Table, event string, n Tally, took time.Duration) {
	measured := fmt.Sprintf("%d of %d, %d misrouted; longest gap %s", n.Failed, n.Calls, n.Wrong, n.Gap.Round(time.Millisecond))
	if n.First != nil {
		measured += "; first: " + n.First.Error()
	}
	enough := float64(n.Calls) > 0.9*Rate*took.Seconds()
	t.Add(fmt.Sprintf("%s: failed calls at %d calls/s", event, Rate), "0", measured, n.Failed == 0 && n.Wrong == 0 && enough)
}

// Seen judges how long a change took to be in force.
func Seen(t *prove.Table, what string, took, target time.Duration) {
	t.Add(what, "≤ "+target.String(), took.Round(time.Millisecond).String(), took <= target)
}

// Until waits for what Load.From returned, and tells how long after begun it came.
func Until(ctx context.Context, first <-chan time.Time, begun time.Time) (time.Duration, error) {
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case at := <-first:
		return at.Sub(begun), nil
	case <-time.After(Patience):
		return Patience, errors.New("the new server got no call")
	}
}

// Wait is a time that passes.
func Wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// OneByOne adds one server after the other to a service that all calls go to meanwhile. change adds one and returns how
// long after that its first reply came; after says in the table from what on that was.
func (r *Rig) OneByOne(ctx context.Context, t *prove.Table, service, after string, most time.Duration, change func(i int) (time.Duration, error)) error {
	all := r.Load
	defer func() { r.Load = all }()
	var err error
	if r.Load, err = NewLoad(r.Proxy.AddressFile(), Rate, service); err != nil {
		return err
	}
	defer r.Load.Stop()
	var took []time.Duration
	begun := time.Now()
	n, err := r.Under(ctx, func() error {
		for i := range Changes {
			d, err := change(i)
			if err != nil {
				return err
			}
			took = append(took, d)
			if err := Wait(ctx, Settle/2); err != nil {
				return err
			}
		}
		return nil
	})
	Calls(t, "one server more, ten times", n, time.Since(begun))
	if err != nil {
		return err
	}
	slices.Sort(took)
	t.Note("… its first reply after "+after+", median", took[Changes/2].Round(time.Millisecond).String())
	Seen(t, "… its first reply after "+after+", the slowest of ten", took[Changes-1], most)
	return nil
}
