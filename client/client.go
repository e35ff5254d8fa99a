package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bellhop-mesh/bellhop/daemonset/addrfile"
)

// Client holds what the callers of a process share: the address file's content, the rule's state and the pool of
// connections. Safe for concurrent use.
type Client struct {
	opts    Options
	fixed   []endpoint
	started time.Time
	watch   *addrfile.Watcher
	rule    *rule
	pool    *pool
	stats   counters
	turns   chan struct{} // one token a call or transport connection in use
	wake    chan struct{} // local was left: start to probe
	homing  atomic.Int64  // the generation whose `move` a remote proxy sent us home from

	mu      sync.Mutex
	changed chan struct{} // closed when the file changed
	stop    chan struct{}
	done    chan struct{}
	closing sync.Once
}

// New starts to watch the address file. It does not wait for it: calls do. The error is about the options.
func New(o Options) (*Client, error) { return newClient(o, standard) }

func newClient(o Options, tn tune) (*Client, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	fixed, err := parseProxy(o.Proxy)
	if err != nil {
		return nil, err
	}
	c := &Client{
		opts: o, fixed: fixed, started: time.Now(),
		turns:   make(chan struct{}, o.MaxInFlight),
		wake:    make(chan struct{}, 1),
		changed: make(chan struct{}),
		stop:    make(chan struct{}),
		done:    make(chan struct{}),
	}
	c.rule = &rule{tune: tn, start: callerHash(o.Source), jitter: rand.Float64, onSwitch: c.switched}
	c.pool = newPool(o.MaxIdle)
	c.watch = addrfile.Watch(o.AddressFile, addrfile.WatchOptions{NoInotify: o.NoInotify, Interval: tn.look})
	go c.run()
	return c, nil
}

// Close ends the watch and closes idle connections; calls that run now end as they would have. Calls made after it
// fail as unsent.
func (c *Client) Close() error {
	c.closing.Do(func() {
		close(c.stop)
		<-c.done
		c.watch.Close()
		c.pool.close()
	})
	return nil
}

var errClosed = errors.New("the client is closed")

func (c *Client) now() time.Duration { return time.Since(c.started) }

// switched is called under the rule's lock, once per switch.
func (c *Client) switched(to tier, why string) {
	c.stats.switches.Add(1)
	c.opts.Logger.Info("bellhop: calls change tier", "to", to.String(), "reason", why, "address_file", c.opts.AddressFile)
	if to == tierRemote {
		c.pool.dropLocal()
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

// run is the client's one goroutine: it passes on changes of the file, and probes the local tier while it is away.
func (c *Client) run() {
	defer close(c.done)
	prune := time.NewTicker(pruneEvery)
	defer prune.Stop()
	wait := c.rule.probe
	probe := time.NewTimer(wait)
	defer probe.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-c.watch.Changed():
			c.fileChanged()
			wait = c.rule.probe
		case <-c.wake:
			wait = c.rule.probe
		case <-prune.C:
			c.pool.prune()
			continue
		case <-probe.C:
			if !c.rule.isAway() {
				continue // the timer rests until local is left
			}
			if c.probe() {
				wait = c.rule.probe
			} else {
				wait = min(2*wait, c.rule.probeMax)
			}
		}
		probe.Reset(time.Duration((0.75 + rand.Float64()/2) * float64(wait)))
	}
}

func (c *Client) fileChanged() {
	c.mu.Lock()
	close(c.changed)
	c.changed = make(chan struct{})
	c.mu.Unlock()
	v, _ := c.look()
	c.rule.look(c.now(), v)
	c.rule.forget(v.remote)
}

// probe asks the local tier for an echo. While the file itself keeps callers away there is nothing to ask.
func (c *Client) probe() bool {
	v, _ := c.look()
	c.rule.look(c.now(), v)
	if why, _ := v.leaveReason(); why != "" || !v.known {
		return false
	}
	ok := false
	for _, e := range v.local {
		ctx, cancel := context.WithTimeout(context.Background(), c.rule.dialLocal)
		cn, err := c.dial(ctx, target{endpoint: e, tier: tierLocal, check: true})
		cancel()
		if err == nil {
			cn.close()
			ok = true
			break
		}
	}
	c.rule.probed(c.now(), ok)
	return ok
}

func (c *Client) look() (view, addrfile.View) {
	av := c.watch.View()
	v := convert(av, c.opts.Source, c.fixed)
	if v.moved && av.File.Generation == c.homing.Load() {
		v.moved = false
	}
	return v, av
}

// sentHome notes that a remote proxy asked a moved caller to go home: its host's grant is spent.
func (c *Client) sentHome() {
	if f := c.watch.View().File; f != nil {
		c.homing.Store(f.Generation)
	}
}

// targets lists where to try a call now. While there is neither a file nor BELLHOP_PROXY it waits for the file, up to
// the deadline of ctx.
func (c *Client) targets(ctx context.Context) ([]target, error) {
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		v, av := c.look()
		if list := c.rule.plan(c.now(), v); len(list) > 0 {
			return list, nil
		}
		if v.known {
			return nil, fmt.Errorf("address file %s lists no proxy", c.opts.AddressFile)
		}
		select {
		case <-changed:
		case <-c.stop:
			return nil, errClosed
		case <-ctx.Done():
			return nil, fmt.Errorf("no usable address file at %s and no %s: %w: %w", c.opts.AddressFile, envProxy, av.Err, ctx.Err())
		}
	}
}

// acquire takes a connection for one call: from the pool, or a new one. It does not come back with one of avoid.
// Every error of it is unsent.
func (c *Client) acquire(ctx context.Context, avoid []endpoint) (*conn, error) {
	list, err := c.targets(ctx)
	if err != nil {
		return nil, err
	}
	var refused []string
	var cause, localErr error
	for _, t := range list {
		if localErr != nil && (t.tier != tierLocal || t.again) {
			c.rule.localRefused(c.now(), localErr.Error())
			localErr = nil
		}
		if contains(avoid, t.endpoint) {
			continue
		}
		select {
		case <-c.stop:
			return nil, errClosed
		default:
		}
		if cn := c.pool.get(t.endpoint); cn != nil {
			return cn, nil
		}
		cn, err := c.dial(ctx, t)
		if err == nil {
			return cn, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s %s: %w: %w", t.tier, t.endpoint, ctx.Err(), err)
		}
		c.stats.refused.Add(1)
		refused, cause = append(refused, fmt.Sprintf("%s %s: %v", t.tier, t.endpoint, err)), err
		switch {
		case t.tier == tierLocal && !t.again:
			localErr = err
		case t.tier == tierRemote:
			c.rule.remoteRefused(c.now(), t.endpoint)
		}
	}
	if cause == nil {
		return nil, errElsewhere
	}
	return nil, &refusedError{list: refused, cause: cause}
}

// errElsewhere: all that is left is where the call has been already.
var errElsewhere = errors.New("no other proxy to try")

// refusedError names every proxy that refused.
type refusedError struct {
	list  []string
	cause error
}

func (e *refusedError) Error() string { return "every proxy refused: " + strings.Join(e.list, "; ") }
func (e *refusedError) Unwrap() error { return e.cause }

func contains(list []endpoint, e endpoint) bool {
	for _, x := range list {
		if x == e {
			return true
		}
	}
	return false
}
