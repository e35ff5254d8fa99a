package zookeeper

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bellhop-mesh/bellhop/registry"
)

// Registration is one instance that is to be found in an ensemble: a service's, or a remote proxy.
type Registration struct {
	Layout     Layout            // default Bellhop
	Path       string            // of the service's node, with {service} for its name; default Layout.Root()
	Service    string            // may be empty where the path has no {service} and the layout is Bellhop, as for remote proxies
	Endpoint   registry.Endpoint // its address and what is said of it
	Mode       string            // how connections to it are used; "": not said
	Additional string            // serverset: the additional endpoint that it is named as, too; "": none
}

// RegistrarOptions are a Registrar's. Zero fields mean their defaults.
type RegistrarOptions struct {
	Max          int                     // registrations at most, those on their way out included; default 1,000
	Audit        time.Duration           // every node is looked at this often, less a random part of up to a half; default 25s
	CheckFraming func(word string) error // which framing words there are; nil: every word passes
	Log          *slog.Logger

	contest time.Duration // the first wait before a node is taken back; tests
}

// RegistrarStats are a registrar's counters, read at scrape.
type RegistrarStats struct {
	Wanted    int    // registrations
	InPlace   int    // … whose node is there and is ours
	Leaving   int    // nodes that are still to be taken away
	Contested int    // registrations whose node somebody else has taken over
	Corrected uint64 // nodes that had vanished, or were written by others, and were made again
	TakenOver uint64 // nodes of other sessions that became ours
	Failures  uint64 // tries that failed
	Problem   string // what stands in the way of one of them now
}

// shelf is what a Registrar needs of a Client; tests of the logic have one without an ensemble.
type shelf interface {
	stat(ctx context.Context, path string, watch bool) (node, bool, error)
	read(ctx context.Context, path string) ([]byte, int64, error)
	change(ctx context.Context, changes ...change) error
	listen(func(event))
	abs(path string) string
}

// Registrar keeps registrations in place: what is wanted is written, and written again when a session has ended, when a
// node has vanished, and when a try failed. Create it with NewRegistrar, and run it.
type Registrar struct {
	o      RegistrarOptions
	client shelf
	bell   chan struct{} // capacity 1: something is due

	mu      sync.Mutex // guards what follows
	places  map[string]*place
	resting time.Time // the ensemble can't be reached: nothing is tried before
	downs   int       // … how often in a row

	corrected, takenOver, failures atomic.Uint64
}

// place is one node that is wanted, or that has to go. Guarded by the Registrar's lock.
//
//	wanted ─► in place ──gone, written by others──► wanted
//	             └──taken over by another session──► contested ──after a while──► wanted
//	withdrawn ─► gone: forgotten
type place struct {
	layout    Layout
	path, dir string // with the chroot
	child     string
	addr      string
	said      Registration
	data      []byte
	want      bool
	gone      chan struct{} // closed when it was withdrawn and is gone

	turn    uint64 // grows when something happened to it: what was looked at before may be wrong
	edition uint64 // grows when something else is said of it
	due     time.Time
	settled time.Time // when all was well with it last
	armed   bool      // a watch stands, as far as we know
	placed  bool      // it was there and ours when it was looked at last
	czxid   int64     // of the node that has our data; 0: not known
	owner   int64     // the session that it was placed in
	fights  int       // how often others have taken it over
	until   time.Time // it is not taken back before

	failures int
	problem  string
}

// NewRegistrar returns a registrar over a client, which a Source may use as well. Before the client's first request only.
func NewRegistrar(c *Client, o RegistrarOptions) *Registrar { return newRegistrar(c, o) }

func newRegistrar(c shelf, o RegistrarOptions) *Registrar {
	if o.Max == 0 {
		o.Max = 1_000
	}
	if o.Audit == 0 {
		o.Audit = 25 * time.Second
	}
	if o.contest == 0 {
		o.contest = firstContest
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	r := &Registrar{o: o, client: c, bell: make(chan struct{}, 1), places: map[string]*place{}}
	c.listen(r.happened)
	return r
}

// Register wants an instance to be found, wants it again after Withdraw, or changes what is said of it. It does not wait:
// it is written as soon as it can be, and kept. The error is about the registration itself, or says that there are too
// many. Safe for concurrent use.
func (r *Registrar) Register(g Registration) error {
	p, err := r.plan(g)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.places[p.path]
	switch {
	case old == nil && len(r.places) >= r.o.Max:
		return fmt.Errorf("register %s: there are %d registrations, and no more are taken", p.path, len(r.places))
	case old == nil:
		r.places[p.path] = p
		old = p
	case old.want && reflect.DeepEqual(old.said, p.said):
		return nil
	case !reflect.DeepEqual(old.said, p.said):
		old.said, old.data, old.czxid = p.said, p.data, 0
		old.edition++
	}
	old.want = true
	old.release()
	r.touch(old)
	return nil
}

// Withdraw takes an instance out at once, because its health check failed or because it leaves. The channel is closed when
// its node is gone, or when Register wants it again. Also the node of a predecessor's session goes; one that
// another process took over from this one is left to it. Safe for concurrent use.
func (r *Registrar) Withdraw(g Registration) <-chan struct{} {
	p, err := r.plan(g)
	if err != nil { // it was never registered
		return closed
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.places[p.path]; old != nil {
		p = old
	} else if len(r.places) >= r.o.Max {
		r.o.Log.Error("a node is not taken away: there are too many registrations", "path", p.path)
		return closed
	} else {
		r.places[p.path] = p
	}
	if p.gone == nil {
		p.want, p.gone = false, make(chan struct{})
		r.touch(p)
	}
	return p.gone
}

// release tells whoever waits for the node's end that there is nothing to wait for any more. The lock is held.
func (p *place) release() {
	if p.gone != nil {
		close(p.gone)
		p.gone = nil
	}
}

var closed = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Stats returns the counters as they are now. Safe for concurrent use.
func (r *Registrar) Stats() RegistrarStats {
	st := RegistrarStats{Corrected: r.corrected.Load(), TakenOver: r.takenOver.Load(), Failures: r.failures.Load()}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.places {
		switch {
		case !p.want:
			st.Leaving++
		case p.placed:
			st.Wanted, st.InPlace = st.Wanted+1, st.InPlace+1
		default:
			st.Wanted++
			if p.contested() {
				st.Contested++
			}
		}
		if p.problem != "" && (st.Problem == "" || p.problem < st.Problem) { // the same one at every scrape
			st.Problem = p.problem
		}
	}
	return st
}

// touch has a place looked at now. The lock is held.
func (r *Registrar) touch(p *place) {
	p.turn++
	p.due = time.Time{}
	ring(r.bell)
}

// plan judges a registration and says where its node is and what it holds.
func (r *Registrar) plan(g Registration) (*place, error) {
	if g.Layout == "" {
		g.Layout = Bellhop
	}
	if !slices.Contains(Layouts(), g.Layout) {
		return nil, fmt.Errorf("register %s: the layout is %q; write one of %v", clip(g.Endpoint.Addr), clip(string(g.Layout)), Layouts())
	}
	if g.Path == "" {
		g.Path = g.Layout.Root()
	}
	p, err := g.place(rules{framing: r.o.CheckFraming})
	if err != nil {
		return nil, fmt.Errorf("register %s of service %q in the layout %s: %w", clip(g.Endpoint.Addr), clip(g.Service), g.Layout, err)
	}
	p.dir = r.client.abs(p.dir)
	p.path = p.dir + "/" + p.child
	return p, nil
}

func (g Registration) place(rules rules) (*place, error) {
	dir := strings.ReplaceAll(g.Path, "{service}", g.Service)
	if dir != g.Path || g.Layout != Bellhop {
		if err := CheckName(g.Service); err != nil {
			return nil, err
		}
	}
	if err := CheckPath(dir); err != nil {
		return nil, fmt.Errorf("the path %q %w", clip(dir), err)
	}
	m := member{g.Endpoint, g.Mode}
	m.endpoint.Labels = maps.Clone(m.endpoint.Labels)
	m.endpoint.Owner, m.endpoint.Terminating = "", false
	if err := m.check(rules); err != nil {
		return nil, err
	}
	g.Endpoint = m.endpoint
	child, data, err := g.Layout.encode(g.Service, g.Additional, m)
	if err != nil {
		return nil, err
	}
	if len(data) > maxData {
		return nil, fmt.Errorf("it takes %d bytes of data; an instance has at most %d", len(data), maxData)
	}
	return &place{layout: g.Layout, dir: dir, child: child, addr: m.endpoint.Addr, said: g, data: data, edition: 1}, nil
}
