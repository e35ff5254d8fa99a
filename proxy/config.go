package proxy

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/remote"
)

// Config is everything the data plane is given. It is read once, by New.
type Config struct {
	Workers    int              // event loops; 0: one per CPU, at most 16
	Codecs     []protocol.Codec // the framings to speak
	Limits     Limits
	Timeouts   Timeouts
	Quarantine Quarantine
	// Identify tells who is at the other end of an accepted connection; an error refuses it. Called on the acceptor's
	// goroutine, never on a loop.
	Identify func(net.Conn) (Identity, error)
	// Lookup asks for a service that a caller named and the table does not know. true: it is being looked up; soon a table
	// has it, or NotFound is called. false: there is none, as far as is known. It is called on a worker's loop, by all of
	// them at once, with names of 1 to 255 bytes of any kind, and must not block. nil: a service that the table does not
	// know is not there.
	Lookup  func(service string) bool
	HandOff *remote.Client // how to hand calls over to the remote tier; nil: never
	Accept  *remote.Server // how to admit hand-off connections; nil: refused
	Log     *slog.Logger
	Access  AccessLog
	// Protection is against more calls than can be carried.
	Protection Protection
}

// Identity is who a caller is, as far as the proxy can know it; fixed at accept.
type Identity struct {
	Source    string            // its key
	Workload  string            // the set of sources it is one of
	Namespace string            // of its pod; "": none is known
	Unit      string            // its systemd unit; likewise
	Labels    map[string]string // of its pod, as they were at accept; not to be changed
	Crowd     bool              // it stands for callers that can't be told apart: what one does wrong is not held against all
}

// Limits are the bounds of the data plane. Every one has a fault code and a metric; see docs/operations.md.
type Limits struct {
	MaxFrame      int     // bytes of one frame
	Window        int     // bytes of a large frame that are held on either side; larger frames are forwarded while they arrive
	Depth         int     // calls pipelined on one plain Thrift connection
	SourceCalls   int     // calls in flight of one source
	TotalCalls    int     // calls in flight of the proxy
	SourceBytes   int64   // bytes buffered for one source
	TotalBytes    int64   // bytes buffered by the proxy
	SourceConns   int     // connections of one source
	TotalConns    int     // connections of callers
	SourceQueued  int     // calls of one source that wait
	SourceLookups int     // services being looked up for one source, counted by worker
	TotalLookups  int     // services being looked up, counted by worker
	MaxMethods    int     // methods of one service that have metrics of their own; the rest is "other"
	MaxSources    int     // sources that have metrics of their own; the rest is "other"
	FailedCalls   int     // failed calls of one method that a worker remembers; 0: none
	FailedTotal   int     // failed calls that are remembered in all
	RetryShare    float64 // calls sent again though they may have run, for each call of the service
	RetryMin      int     // … and so many a second besides, over all workers
	RequeueShare  float64 // calls sent on because they are provably unsent, likewise
	RequeueMin    int
	IdlePerPool   int // idle upstream connections kept for one endpoint by one worker
	ConnectsOpen  int // connects under way to one endpoint by one worker
}

// DefaultLimits returns the limits that the documentation names.
func DefaultLimits() Limits {
	return Limits{
		MaxFrame: protocol.DefaultMaxFrame, Window: 256 << 10, Depth: 64, SourceCalls: 1024, TotalCalls: 16384, SourceBytes: 64 << 20,
		TotalBytes: 512 << 20, SourceConns: 12000, TotalConns: 16000,
		SourceQueued: 1024, SourceLookups: 64, TotalLookups: 1024, MaxMethods: 200, MaxSources: 1000,
		FailedCalls: 16, FailedTotal: 2048,
		RetryShare: 0.2, RetryMin: 10, RequeueShare: 0.5, RequeueMin: 1000, IdlePerPool: 1024, ConnectsOpen: 16,
	}
}

// Timeouts are the clocks of the data plane. Each has a close reason or a fault code, and a metric.
type Timeouts struct {
	Detect       time.Duration // from accept to the first bytes that tell the framing
	Frame        time.Duration // from a frame's first byte to its last
	WriteStall   time.Duration // a peer that takes none of the bytes waiting for it
	Idle         time.Duration // a caller's connection without a call
	MaxAge       time.Duration // a caller's connection, closed between calls; 0: never
	Call         time.Duration // deadline of calls that bring none, where the service names none
	MaxCall      time.Duration // longest deadline a caller may ask for
	Lookup       time.Duration // a service that a call waits for
	Connect      time.Duration // connecting to an endpoint
	UpstreamIdle time.Duration // an upstream connection without a call
	UpstreamAge  time.Duration // an upstream connection, closed between calls, so that host names are resolved anew; 0: never
	Stall        time.Duration // a multiplexed upstream connection with calls in flight and no byte
	KeepAlive    time.Duration // TCP keepalive to endpoints
	UserTimeout  time.Duration // TCP_USER_TIMEOUT to endpoints
}

// DefaultTimeouts returns the timeouts that the documentation names.
func DefaultTimeouts() Timeouts {
	return Timeouts{
		Detect: 5 * time.Second, Frame: 10 * time.Second, WriteStall: 10 * time.Second, Idle: 10 * time.Minute,
		Call: time.Second, MaxCall: 5 * time.Minute, Lookup: 500 * time.Millisecond, Connect: time.Second, UpstreamIdle: 30 * time.Second, UpstreamAge: 10 * time.Minute,
		Stall: 3 * time.Second, KeepAlive: 15 * time.Second, UserTimeout: 10 * time.Second,
	}
}

// AccessLog says which calls are logged.
type AccessLog struct {
	Sample float64       // share of calls, 0…1
	Slow   time.Duration // calls at least this slow are always logged; 0: none
	Queue  int           // entries waiting to be written; more are dropped and counted
}

func (c *Config) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Workers == 0 {
		c.Workers = min(runtime.GOMAXPROCS(0), 16)
	}
	if c.Workers < 0 || c.Workers > 64 {
		bad("workers: %d is not in 1…64", c.Workers)
	}
	if len(c.Codecs) == 0 {
		bad("no codecs were given")
	}
	if c.Identify == nil {
		bad("no way to identify callers was given")
	}
	if c.Limits.MaxFrame < 1<<10 || c.Limits.MaxFrame > protocol.HardMaxFrame {
		bad("limits.max_frame: %d is not in 1024…%d", c.Limits.MaxFrame, protocol.HardMaxFrame)
	}
	if c.Limits.Window < 1<<10 {
		bad("limits.window: %d is less than 1024", c.Limits.Window)
	}
	if c.Limits.TotalCalls < 1 || c.Limits.TotalCalls > maxCalls {
		bad("limits.total_calls: %d is not in 1…%d", c.Limits.TotalCalls, maxCalls)
	}
	if c.Lookup != nil && (c.Limits.SourceLookups < 1 || c.Limits.TotalLookups < 1 || c.Timeouts.Lookup <= 0) {
		bad("limits.source_lookups, limits.total_lookups, timeouts.lookup: %d, %d, %s; each must be above 0",
			c.Limits.SourceLookups, c.Limits.TotalLookups, c.Timeouts.Lookup)
	}
	if c.Limits.SourceQueued == 0 {
		c.Limits.SourceQueued = DefaultLimits().SourceQueued
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Access.Queue == 0 {
		c.Access.Queue = 1024
	}
	return errors.Join(errs...)
}
