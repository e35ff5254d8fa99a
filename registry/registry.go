// Package registry holds what is known about services: where their instances are and how they are spoken to. It merges
// what several sources say, never loses a good address to a bad update, and hands out immutable snapshots. It must never
// touch a connection of a call, and never block the data plane.
//
//	file ─┐
//	zk   ─┼─► Source.Run ─► Manager (merge, coalesce, last-known-good on disk) ─► *Snapshot ─► route.Compile
//	k8s  ─┘
//
// # Safety by evidence
//
// Registries fail by forgetting: an expired session, a half-read listing, an empty restore. Hosts rarely die by the dozen.
// So what a source adds counts at once, and what it takes away is judged, per source:
//
//   - It goes at once when that is few and not the last: at most 30 % of a service's endpoints and of all that the source
//     knows (together with what went in the 30 s before and was not replaced), or one endpoint. So it does when the endpoint
//     was Terminating, when the source says that the service's removals are final (Update.Final) or that all it says is
//     somebody's will (Authoritative), when another source names the same endpoint, and when its address has turned up
//     under another owner, or anew under another service.
//   - Anything else is held: a larger share, or the last endpoint of a service. So are remote proxies.
//
// What is held is served like the rest, and looked at within a second and then every few seconds, each endpoint for itself:
//
//	a call succeeded in the last 10 s        it lives; no probe is needed
//	our own probe is answered                it lives; but no evidence where Endpoint.Owner is set (see below)
//	two probes in a row are not              it goes
//	its source names it again                it is not held any more
//	another source names it                  likewise
//	its address has turned up elsewhere      it goes
//	the hold time is over (10 m)             it goes if the source has looked since (Checked), or has no way to say so
//
// While a source can't confirm, because the registry is down, what is held stays after the hold time, and is probed on.
// Where addresses are given to others afterwards (Endpoint.Owner), an answer may be another's: there a failed probe counts
// and one that was answered does not. Such an endpoint stays until the hold time is over, and after it, while the source
// can't confirm, only as long as calls succeed.
//
// At most 50 probes a second begin, those of endpoints that failed one first. What is held is marked in the last-known-good
// file and is held on after a restart.
package registry

import (
	"context"
	"time"
)

// Snapshot is everything known at one moment. It is immutable once it was handed out: safe for concurrent use.
type Snapshot struct {
	Version  uint64              // grows with every change in this process
	Services map[string]*Service // by name
	Remotes  []Remote            // the remote proxy cluster, sorted by Addr
	Taken    time.Time           // when the newest part was read; zero when it came from the last-known-good file
}

// Service is one callable name.
type Service struct {
	Name       string        `yaml:"-" json:"name"`
	Framing    string        `yaml:"framing" json:"framing,omitempty"`                 // a word of protocol.ParseWire; default framed-binary
	Mode       string        `yaml:"mode" json:"mode,omitempty"`                       // exclusive, multiplexed, per-call; default by framing
	Balancer   string        `yaml:"balancer" json:"balancer,omitempty"`               // least-active (default), round-robin, random, p2c
	Timeout    time.Duration `yaml:"timeout" json:"timeout,omitempty"`                 // deadline of calls that bring none; default 1s
	SeqID      string        `yaml:"seqid" json:"seqid,omitempty"`                     // echo (default) or positional (exclusive only)
	Ordered    bool          `yaml:"ordered" json:"ordered,omitempty"`                 // one call at a time on one endpoint
	KeepPrefix bool          `yaml:"keep_prefix" json:"keep_prefix,omitempty"`         // servers want "Service:method" (TMultiplexedProcessor)
	Oneway     []string      `yaml:"oneway" json:"oneway,omitempty"`                   // methods to send as oneway although the frame cannot say so
	Idempotent []string      `yaml:"idempotent" json:"idempotent,omitempty"`           // methods that may run twice
	MaxConns   int           `yaml:"max_connections" json:"max_connections,omitempty"` // per endpoint, over all workers
	MaxPending int           `yaml:"max_pending" json:"max_pending,omitempty"`         // calls waiting for a connection, per endpoint and worker
	Depth      int           `yaml:"depth" json:"depth,omitempty"`                     // calls in flight on one multiplexed connection
	Remote     bool          `yaml:"remote" json:"remote,omitempty"`                   // the remote tier may know endpoints when this host knows none
	Endpoints  []Endpoint    `yaml:"endpoints" json:"endpoints,omitempty"`

	// How endpoints are kept away from, and come back. 0 is "not said", and Off is said.
	SlowStart time.Duration `yaml:"slow_start" json:"slow_start,omitempty"` // an endpoint that is new grows into its weight for so long; default off
	Panic     float64       `yaml:"panic" json:"panic,omitempty"`           // with a smaller share of healthy endpoints health is not looked at; default 0.3
	ZoneSpill float64       `yaml:"zone_spill" json:"zone_spill,omitempty"` // a near tier has its healthy share times this of the calls; default 1.4
	Ejection  Ejection      `yaml:"ejection" json:"ejection,omitzero"`

	// AnyZone says that an endpoint in this host's zone is no nearer than others. Rules set it, sources do not.
	AnyZone bool `yaml:"-" json:"any_zone,omitempty"`
}

// Off says that a setting is switched off, where 0 means that nothing is said.
const Off = -1

// Ejection is when an endpoint is kept away from, by evidence. 0: the default.
type Ejection struct {
	Errors   float64       `yaml:"errors" json:"errors,omitempty"`       // share of failed calls, where its siblings do not fail; default 0.5, or Off
	Slow     float64       `yaml:"slow" json:"slow,omitempty"`           // times that it is slower than its siblings; default 5, or Off
	MaxShare float64       `yaml:"max_share" json:"max_share,omitempty"` // of the endpoints that may be ejected at once; default 0.5; Off: no ejection at all
	Base     time.Duration `yaml:"base" json:"base,omitempty"`           // how long at first; it doubles; default 5s
	Max      time.Duration `yaml:"max" json:"max,omitempty"`             // and at most; default 5m
}

// Endpoint is one live instance.
type Endpoint struct {
	Addr    string            `yaml:"addr" json:"addr"`               // host:port, [v6]:port or unix:/path; a host name is resolved again and again
	Weight  int               `yaml:"weight" json:"weight,omitempty"` // 1…1000, default 100; 0 in a file means the default
	Zone    string            `yaml:"zone" json:"zone,omitempty"`
	Host    string            `yaml:"host" json:"host,omitempty"` // the host it runs on, when Addr does not tell
	Version string            `yaml:"version" json:"version,omitempty"`
	Labels  map[string]string `yaml:"labels" json:"labels,omitempty"`
	Framing string            `yaml:"framing" json:"framing,omitempty"` // overrides the service's

	// Owner is who has the address now, where addresses are given to others afterwards, like a pod's UID. Somebody who
	// answers there later is no evidence that this one lives. "": the address is its own for good. For sources to set.
	Owner string `yaml:"-" json:"owner,omitempty"`
	// Terminating says that it is on its way out, and serves what it can until then. It is not kept once its source does
	// not name it any more. For sources to set.
	Terminating bool `yaml:"-" json:"terminating,omitempty"`
}

// Remote is one member of the remote proxy cluster.
type Remote struct {
	Addr   string `yaml:"addr" json:"addr"` // host:port
	Zone   string `yaml:"zone" json:"zone,omitempty"`
	Weight int    `yaml:"weight" json:"weight,omitempty"`
}

// Update is what one source knows now, whole: it replaces what the source said before.
type Update struct {
	Services map[string]*Service
	Remotes  []Remote

	// Final names services of which the source knows that what it does not name any more is gone, like a deployment that
	// was scaled to nothing: that is no observation, and nothing of them is kept.
	Final map[string]bool
}

// Source is one registry. Run blocks until ctx ends, calling publish with every good state it reads, the first one as
// soon as it can. A state that can't be read is not published: the old one stands; Run logs it and counts it.
// publish is safe for concurrent use and does not block; what was published is the manager's and is not changed any more.
// An error before ctx ends means "run me again later", nil means "that was all I have to say".
//
// A source may have one more method, Authoritative() bool. True says that its updates are somebody's will, like a file
// that an operator edits, and not an observation: a mass removal then takes effect at once, and nothing is held.
//
// It may also have Checked(service string) time.Time: when the registry itself last confirmed what the source says of the
// service, of the remote proxies for ""; zero: never in this process. It has to answer for services that it has named
// before, too: what is held of them goes only when it was confirmed. It is safe for concurrent use, and does not block.
type Source interface {
	Name() string
	Run(ctx context.Context, publish func(Update)) error
}
