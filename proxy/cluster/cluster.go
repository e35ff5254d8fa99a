// Package cluster holds the endpoints of one service and chooses among them. A Cluster and its Endpoints are shared by
// all workers and immutable, but for two things: a worker's own State of an endpoint (touched on that worker's loop
// only) and the count of open connections, which is atomic because it is bounded over all workers.
//
//	Cluster ── tiers: [same host] [same zone] [the rest] ── Endpoint ── States[worker]
//
// It must never dial, block or look at a clock: the worker passes its own time in.
package cluster

import (
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/registry"
)

// Mode says how many calls share an upstream connection.
type Mode uint8

// Modes. The zero value is not a mode.
const (
	Exclusive   Mode = 1 + iota // one call in flight on a connection, the connection is pooled
	Multiplexed                 // calls in flight matched by sequence
	PerCall                     // connect, one call, close
)

// String returns the word used in configuration and output.
func (m Mode) String() string {
	return [...]string{"unset", "exclusive", "multiplexed", "per-call"}[m&3]
}

// ParseMode turns a configured word into a Mode; "" gives the framing's default.
func ParseMode(word string, f protocol.Framing) (Mode, error) {
	switch word {
	case "":
		if f.Multiplexed() {
			return Multiplexed, nil
		}
		return Exclusive, nil
	case "exclusive":
		return Exclusive, nil
	case "multiplexed":
		return Multiplexed, nil
	case "per-call":
		return PerCall, nil
	}
	return 0, fmt.Errorf("unknown mode %q: use exclusive, multiplexed or per-call", word)
}

// Endpoint is one live instance. Its identity survives snapshots, so that pools and balancer state do too.
type Endpoint struct {
	Network string // "tcp" or "unix"
	Addr    string // host:port or a path; host names are resolved anew at every connect
	Zone    string
	Host    string
	Weight  int // 1…1000
	Wire    protocol.Wire
	Remote  bool   // a member of the remote proxy cluster
	how     string // mode and seqid of its service

	Conns  atomic.Int32 // open and opening connections, all workers
	States []State      // by worker

	since atomic.Uint64 // the serial of the newest table that it is in
	near  uint8         // how near it is: 0 this host, 1 this zone, 2 elsewhere
	id    uint32        // tells endpoints apart
	health
}

// Enter notes that the endpoint is in the table with this serial. Serials grow. Safe for concurrent use.
func (e *Endpoint) Enter(serial uint64) { e.since.Store(serial) }

// In reports whether the endpoint is in the table with this serial, if it was in the one before. It may be in a later one
// already: what is compiled is not yet in force. Safe for concurrent use.
func (e *Endpoint) In(serial uint64) bool { return e.since.Load() >= serial }

// State is what one worker knows of an endpoint. Loop only, but for [Endpoint.LastSuccess].
type State struct {
	Active    int     // calls in flight
	Latency   float64 // peak EWMA of reply times, ns, at seen
	seen      int64   // worker clock, ns
	DownUntil int64   // worker clock, ns: not chosen before, after failed connects
	Failures  int32   // failed connects in a row
	current   int32   // smooth weighted round robin
	Pool      any     // the worker's own pool of connections

	// When a call last ended well here, worker clock, ns; 0: never. The worker alone writes it and others read it, with
	// package atomic; no atomic.Int64, because the worker copies its states. It is the last 8 of 64 bytes: two workers'
	// states are on different cache lines.
	answered int64
}

// Cluster is the endpoints of one service with the rules of how to call them. Immutable.
type Cluster struct {
	Name       string
	Mode       Mode
	Timeout    time.Duration // deadline of calls that bring none
	Positional bool          // the servers do not echo sequences
	Ordered    bool          // one call at a time on one endpoint, for each caller's connection
	KeepPrefix bool          // the servers want "Service:method"
	MaxConns   int           // per endpoint, all workers
	MaxPending int           // calls waiting for a connection, per endpoint and worker
	Depth      int           // calls in flight on one multiplexed connection
	MayRemote  bool          // the remote tier may know endpoints when none is known here

	from       *registry.Service // what it was compiled from; nil: the remote proxies
	balancer   Balancer
	oneway     map[string]struct{}
	idempotent map[string]struct{}
	tiers      []tier
	all        []*Endpoint
	cursor     []uint32 // round robin position by worker
	sick       []sickness
	views      atomic.Pointer[[]*view]
	warmFor    int64 // how long an endpoint that is new, or back, has less than its weight, ns
	slowStart  bool  // those that are new have
	panicAt    float64
	spill      float64 // 0: off
	eject      ejection
	full       atomic.Int64 // worker clock, ns: as many endpoints are held as may be, and are not counted again before
	closed     [3]bool      // by payload: some endpoint's frames can't be written before their body is there
}

// Defaults are what a service that does not say gets.
type Defaults struct {
	Timeout    time.Duration
	MaxConns   int
	MaxPending int
	Depth      int // of multiplexed connections to serial servers (plain Thrift, THeader, TTHeader)
}

// muxDepth bounds calls in flight on one OSP or dapeng connection: these servers work concurrently.
const muxDepth = 1024

// Locality says where this proxy runs, for the order same host → same zone → the rest.
type Locality struct {
	Host, Zone string
	// Local reports whether the host part of an endpoint's address is this host: an address of one of its interfaces.
	// nil: only Host and unix sockets tell.
	Local func(host string) bool
}

func (l Locality) sameHost(e *Endpoint) bool {
	if e.Network == "unix" || e.Host != "" && e.Host == l.Host {
		return true
	}
	if e.Host != "" || l.Local == nil {
		return false
	}
	host, _, err := net.SplitHostPort(e.Addr)
	return err == nil && l.Local(host)
}

// New compiles one service. reuse returns the endpoint of an earlier table that is the same instance, or nil.
func New(s *registry.Service, workers int, loc Locality, d Defaults, reuse func(*Endpoint) *Endpoint) (*Cluster, error) {
	c, wire, err := settings(s, workers, d)
	if err != nil {
		return nil, err
	}
	return c, c.addEndpoints(s, wire, workers, loc, reuse)
}

// Check returns the error that New would return, and builds no endpoints.
func Check(s *registry.Service) error {
	if _, _, err := settings(s, 0, Defaults{}); err != nil {
		return err
	}
	for i := range s.Endpoints {
		if e := &s.Endpoints[i]; e.Framing != "" {
			if _, err := protocol.ParseWire(e.Framing); err != nil {
				return fmt.Errorf("service %s: endpoint %s: %w", s.Name, e.Addr, err)
			}
		}
	}
	return nil
}

// settings compiles all but the endpoints.
func settings(s *registry.Service, workers int, d Defaults) (*Cluster, protocol.Wire, error) {
	wire, err := parseWire(s.Framing)
	if err != nil {
		return nil, wire, fmt.Errorf("service %s: framing: %w", s.Name, err)
	}
	mode, err := ParseMode(s.Mode, wire.Framing)
	if err != nil {
		return nil, wire, fmt.Errorf("service %s: mode: %w", s.Name, err)
	}
	bal, err := ParseBalancer(s.Balancer)
	if err != nil {
		return nil, wire, fmt.Errorf("service %s: balancer: %w", s.Name, err)
	}
	c := &Cluster{
		from: s,
		Name: s.Name, Mode: mode, Timeout: or(s.Timeout, d.Timeout), Ordered: s.Ordered, KeepPrefix: s.KeepPrefix,
		MaxConns: or(s.MaxConns, d.MaxConns), MaxPending: or(s.MaxPending, d.MaxPending), Depth: s.Depth,
		MayRemote: s.Remote, balancer: bal, oneway: set(s.Oneway), idempotent: set(s.Idempotent),
		cursor: make([]uint32, workers), sick: make([]sickness, workers),
	}
	c.keepAway(s)
	if c.Depth == 0 {
		c.Depth = d.Depth
		if wire.Framing.Multiplexed() {
			c.Depth = muxDepth
		}
	}
	switch s.SeqID {
	case "", "echo":
	case "positional":
		if c.Positional = true; mode == Multiplexed {
			return nil, wire, fmt.Errorf("service %s: seqid: positional needs mode exclusive or per-call, not multiplexed", s.Name)
		}
	default:
		return nil, wire, fmt.Errorf("service %s: seqid: unknown word %q: use echo or positional", s.Name, s.SeqID)
	}
	return c, wire, nil
}

func (c *Cluster) addEndpoints(s *registry.Service, wire protocol.Wire, workers int, loc Locality, reuse func(*Endpoint) *Endpoint) error {
	how := c.Mode.String() + s.SeqID
	c.all = make([]*Endpoint, 0, len(s.Endpoints))
	var fresh []*Endpoint
	stood := false // some endpoint has been there before: those that have not are new
	for i := range s.Endpoints {
		e, err := newEndpoint(&s.Endpoints[i], wire, workers)
		if err != nil {
			return fmt.Errorf("service %s: endpoint %s: %w", s.Name, s.Endpoints[i].Addr, err)
		}
		e.how, e.near = how, loc.near(e)
		if old := reuse(e); old != nil {
			e, stood = old, true
		} else {
			fresh = append(fresh, e)
		}
		for _, p := range [...]protocol.Payload{protocol.PayloadAny, protocol.Binary, protocol.Compact} {
			c.closed[p] = c.closed[p] || !e.Wire.Opens(p)
		}
		c.all = append(c.all, e)
	}
	if stood && c.slowStart {
		for _, e := range fresh {
			e.enterNew()
		}
	}
	c.tier(s.AnyZone)
	return nil
}

// tier sorts the endpoints into same host, same zone and the rest; empty tiers are left out.
func (c *Cluster) tier(anyZone bool) {
	var tiers [3][]*Endpoint
	for _, e := range c.all {
		switch {
		case e.near == 0:
			tiers[0] = append(tiers[0], e)
		case e.near == 1 && !anyZone:
			tiers[1] = append(tiers[1], e)
		default:
			tiers[2] = append(tiers[2], e)
		}
	}
	for _, t := range tiers {
		if len(t) == len(c.all) && len(t) > 0 { // the usual case: one list for both
			t = c.all
		}
		if len(t) > 0 {
			c.tiers = append(c.tiers, newTier(t))
		}
	}
}

// near is how near an endpoint is. What a service says of zones has no part in it: two that are equally near can be
// compared.
func (l Locality) near(e *Endpoint) uint8 {
	switch {
	case l.sameHost(e):
		return 0
	case e.Zone != "" && e.Zone == l.Zone:
		return 1
	default:
		return 2
	}
}

var endpointIDs atomic.Uint32

func newEndpoint(r *registry.Endpoint, wire protocol.Wire, workers int) (*Endpoint, error) {
	if r.Framing != "" {
		w, err := protocol.ParseWire(r.Framing)
		if err != nil {
			return nil, err
		}
		wire = w
	}
	e := &Endpoint{
		Network: "tcp", Addr: r.Addr, Zone: r.Zone, Host: r.Host, Weight: or(r.Weight, 100), Wire: wire,
		States: make([]State, workers), id: endpointIDs.Add(1),
	}
	if len(r.Addr) > 5 && r.Addr[:5] == "unix:" {
		e.Network, e.Addr = "unix", r.Addr[5:]
	}
	return e, nil
}

// NewRemotes makes the cluster of remote proxies: multiplexed THeader, in the given order of preference.
func NewRemotes(remotes []registry.Remote, workers int, d Defaults, reuse func(*Endpoint) *Endpoint) *Cluster {
	c := &Cluster{
		Name: "bellhop-remote", Mode: Multiplexed, Timeout: d.Timeout, MaxConns: workers, MaxPending: d.MaxPending, Depth: 1 << 20,
		cursor: make([]uint32, workers), sick: make([]sickness, workers), warmFor: usualWarm, panicAt: usualPanic, spill: usualSpill,
	}
	for _, r := range remotes {
		e := &Endpoint{
			Network: "tcp", Addr: r.Addr, Zone: r.Zone, Weight: 100, Remote: true, States: make([]State, workers), id: endpointIDs.Add(1),
			Wire: protocol.Wire{Framing: protocol.THeader},
		}
		if old := reuse(e); old != nil {
			e = old
		}
		c.all = append(c.all, e)
	}
	if len(c.all) > 0 {
		c.tiers = []tier{newTier(c.all)}
	}
	return c
}

// Key identifies an endpoint of a service over snapshots. Comparable.
type Key struct {
	network, addr, zone, host, how string
	wire                           protocol.Wire
	weight                         int
	remote                         bool
}

// Key is what must not change: with another weight, zone or mode it is a new endpoint, and the old one's connections are
// left to drain.
func (e *Endpoint) Key() Key {
	return Key{network: e.Network, addr: e.Addr, zone: e.Zone, host: e.Host, how: e.how, wire: e.Wire, weight: e.Weight, remote: e.Remote}
}

// String returns the address as the registry writes it.
func (e *Endpoint) String() string {
	if e.Network == "unix" {
		return "unix:" + e.Addr
	}
	return e.Addr
}

// Endpoints returns all endpoints. The slice must not be changed. Safe for concurrent use.
func (c *Cluster) Endpoints() []*Endpoint { return c.all }

// Opens reports whether every endpoint takes calls whose body, in p, is still arriving. Safe for concurrent use.
func (c *Cluster) Opens(p protocol.Payload) bool { return !c.closed[p] }

// Oneway reports whether calls of this method are sent as oneway although their frame does not say so.
func (c *Cluster) Oneway(method []byte) bool {
	_, ok := c.oneway[string(method)]
	return ok
}

// Idempotent reports whether a call of this method may run twice.
func (c *Cluster) Idempotent(method []byte) bool {
	_, ok := c.idempotent[string(method)]
	return ok
}

func parseWire(word string) (protocol.Wire, error) {
	if word == "" {
		word = "framed-binary"
	}
	return protocol.ParseWire(word)
}

func set(words []string) map[string]struct{} {
	if len(words) == 0 {
		return nil
	}
	m := make(map[string]struct{}, len(words))
	for _, w := range words {
		m[w] = struct{}{}
	}
	return m
}

func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// Compiled reports whether c was compiled from this very service: services are immutable, so it need not be done again.
func (c *Cluster) Compiled(s *registry.Service) bool { return c != nil && c.from == s }

// Has reports whether e is one of the endpoints.
func (c *Cluster) Has(e *Endpoint) bool { return isTried(e, c.all) }
