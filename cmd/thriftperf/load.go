package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/bellhop-mesh/bellhop/protocol"
)

type loadOptions struct {
	target, service, method, framing string
	connections, depth, size         int
	services                         int
	uids                             string
	duration, warmup, timeout        time.Duration
	rate                             float64
	cpuOf                            []int
	json, perCall, phases            bool
}

func loadCommand() *cobra.Command {
	o := loadOptions{}
	cmd := &cobra.Command{
		Use:   "load",
		Short: "call an echo method as fast as it answers, or at a rate",
		Long: `Call a method that takes one string and returns it, and measure.

Closed loop (the default): each connection has --depth calls in flight, and the next one starts when one has ended.
Open loop (--rate): calls start at fixed moments, however slow the replies are; a call that finds every slot taken waits,
and its latency counts from the moment at which it was to start (no coordinated omission).

Every reply is decoded and compared. The exit code is 1 when a call failed.`,
		Example: `  thriftperf load --target tcp:127.0.0.1:9090
  thriftperf load --target unix:/run/bellhop/pub/proxy.sock --service demo.Greeter --rate 2000 --duration 30s
  thriftperf load --target tcp:127.0.0.1:9090 --framing osp --service Echo --depth 16 --cpu-of 1234 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runLoad(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.target, "target", "tcp:127.0.0.1:9090", "tcp:HOST:PORT or unix:PATH")
	f.StringVar(&o.service, "service", "", "service that the frames name; empty: none, the listener knows")
	f.IntVar(&o.services, "services", 1, "services, over which the connections are spread: the name is --service and a number from 0")
	f.StringVar(&o.method, "method", "echo", "method")
	f.StringVar(&o.framing, "framing", "framed-binary", strings.Join(protocol.WireNames(), ", "))
	f.IntVar(&o.connections, "connections", 64, "connections")
	f.IntVar(&o.depth, "depth", 1, "calls in flight on each connection, at most 1024")
	f.IntVar(&o.size, "size", 128, "bytes of the string")
	f.DurationVar(&o.duration, "duration", 5*time.Second, "how long to measure")
	f.DurationVar(&o.warmup, "warmup", 500*time.Millisecond, "load before that, which is not measured")
	f.DurationVar(&o.timeout, "timeout", 2*time.Second, "a call without a reply for so long has failed, and its connection is closed")
	f.Float64Var(&o.rate, "rate", 0, "calls a second, over all connections; 0: closed loop")
	f.IntSliceVar(&o.cpuOf, "cpu-of", nil, "process ids whose CPU time per call is measured too")
	f.BoolVar(&o.perCall, "per-call", false, "a new connection for every call, as callers without a pool make them; its making counts in the latency")
	f.StringVar(&o.uids, "uids", "", "unix, root only: FIRST-LAST, users that the connections are made by in turn")
	f.BoolVar(&o.phases, "phases", false, "each SIGUSR1 begins a part of the load that is reported by itself, beside the whole")
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	return cmd
}

func (o *loadOptions) check() error {
	var errs []error
	bound := func(name string, v, low, high int) {
		if v < low || v > high {
			errs = append(errs, fmt.Errorf("--%s %d: must be %d to %d", name, v, low, high))
		}
	}
	bound("connections", o.connections, 1, 1<<16)
	bound("depth", o.depth, 1, 1024)
	bound("size", o.size, 0, 8<<20)
	bound("services", max(1, o.services), 1, 1<<16)
	if o.duration <= 0 || o.warmup < 0 || o.timeout <= 0 {
		errs = append(errs, errors.New("--duration and --timeout must be positive, --warmup not negative"))
	}
	if o.perCall && o.depth != 1 {
		errs = append(errs, fmt.Errorf("--per-call with --depth %d: a connection that carries one call has depth 1", o.depth))
	}
	if o.perCall && o.uids != "" {
		errs = append(errs, errors.New("--per-call with --uids: write one of them"))
	}
	if o.rate < 0 || o.rate > 1e7 {
		errs = append(errs, fmt.Errorf("--rate %v: must be 0 to 10000000", o.rate))
	}
	return errors.Join(errs...)
}

// slot is a place for one call in flight.
type slot struct {
	seq   int32         // 0: free
	start time.Duration // when the call was to start, since the generator's base
	sent  time.Duration // when it did
}

// line is a connection of the generator.
type line struct {
	conn
	talk  *speech // makes its calls
	up    bool
	slots []slot
	free  []int32 // indexes into slots
}

// generator is the loop of a load.
type generator struct {
	o      loadOptions
	target address
	*speech
	base     time.Time
	poll     *poller
	timers   [2]int // descriptors: sweep, pace
	buf      []byte
	lines    []*line
	dirty    []*line
	idle     []*line // open loop: lines with a free slot, in no order; a line is in it at most once per free slot
	dialled  chan dialled
	dialling int   // connections that dialled will yield
	seq      int32 // of the next call, above the slot's bits
	bits     int   // of a sequence that name the slot
	started  int64 // open loop: calls started since begin
	begin    time.Duration
	measured bool
	stopped  bool // no new calls
	inFlight int
	hist     *hdrhistogram.Histogram
	phases   phases
	ended    time.Duration // when the measuring did
	who      users
	res      results
}

// Ids of what is not a connection.
const (
	sweepTick = -1 // timeouts, progress, new connections
	paceTick  = -2 // open loop
)

func newGenerator(o loadOptions) (*generator, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	target, err := parseAddress(o.target)
	if err != nil {
		return nil, err
	}
	if o.perCall {
		if target, err = resolve(target); err != nil {
			return nil, err
		}
	}
	who, err := parseUsers(o.uids, target)
	if err != nil {
		return nil, err
	}
	sp, err := newSpeech(o.framing, nameOf(o.service, o.services, 0, o.connections), o.method, o.size)
	if err != nil {
		return nil, err
	}
	g := &generator{
		o: o, target: target, speech: sp, base: time.Now(), buf: make([]byte, readSize),
		dialled: make(chan dialled, o.connections), hist: newHistogram(), who: who,
	}
	g.res.failed = map[string]int64{}
	for 1<<g.bits < o.depth {
		g.bits++
	}
	g.poll, err = newPoller()
	return g, err
}

func (g *generator) now() time.Duration { return time.Since(g.base) }

// run makes the load: connect, warm up, measure, let the last calls end.
func (g *generator) run(ctx context.Context, onTick func()) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer g.close()
	if g.o.phases {
		g.phases.begin()
		defer g.phases.end()
	}
	if err := g.connect(ctx); err != nil {
		return err
	}
	if err := g.tickers(); err != nil {
		return err
	}
	g.begin = g.now()
	if g.o.rate == 0 {
		for _, l := range g.lines {
			g.fillLine(l)
		}
		g.flush()
	}
	measureAt, stopAt := g.begin+g.o.warmup, g.begin+g.o.warmup+g.o.duration
	for {
		events, err := g.poll.wait(100)
		if err != nil {
			return err
		}
		now := g.now()
		switch {
		case !g.measured && now >= measureAt:
			g.startMeasuring(now)
		case !g.stopped && (now >= stopAt || ctx.Err() != nil):
			g.stopMeasuring(now)
		}
		if g.stopped && (g.inFlight == 0 || now > stopAt+g.o.timeout+time.Second) {
			return g.res.err
		}
		g.handle(events, onTick)
		g.flush()
	}
}

func (g *generator) handle(events []unix.EpollEvent, onTick func()) {
	for i := range events {
		switch id := events[i].Fd; id {
		case sweepTick:
			g.drainTick(g.timers[0])
			g.sweep()
			g.phases.tick(g.now())
			onTick()
		case paceTick:
			g.drainTick(g.timers[1])
			g.pace()
		default:
			l := g.lines[id]
			if l.up && events[i].Events&^unix.EPOLLOUT != 0 {
				g.end(l, g.read(l))
			}
			if l.up && events[i].Events&unix.EPOLLOUT != 0 {
				g.mark(l)
			}
		}
	}
}

// read takes every whole reply that is there, and starts the calls that may follow.
func (g *generator) read(l *line) error {
	data, err := l.fill(g.buf)
	if err != nil || len(data) == 0 {
		return err
	}
	for {
		n, err := g.codec.Split(&l.scan, data, protocol.DefaultMaxFrame)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		if err := g.replied(l, data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	l.keep(data)
	if g.o.perCall && len(l.free) == len(l.slots) {
		return g.replace(l)
	}
	if g.o.rate == 0 {
		g.fillLine(l)
	} else {
		g.pace()
	}
	return nil
}

var errStray = errors.New("a reply to no call in flight")

func (g *generator) replied(l *line, frame []byte) error {
	seq, err := g.judge(frame)
	if errors.Is(err, errHeartbeat) {
		return nil
	}
	if seq == 0 && err != nil {
		return err
	}
	at := seq & (1<<g.bits - 1)
	if int(at) >= len(l.slots) || seq == 0 || l.slots[at].seq != seq {
		return errStray
	}
	s := &l.slots[at]
	s.seq = 0
	l.free = append(l.free, at)
	if g.o.rate != 0 && !g.o.perCall { // a connection that has carried its call takes no other
		g.idle = append(g.idle, l)
	}
	g.inFlight--
	if !g.counts() {
		return nil
	}
	if err != nil {
		g.res.fail("exception", err, 1)
		return nil
	}
	g.res.calls++
	us := max(1, int64((g.now()-s.start)/time.Microsecond))
	g.phases.record(s.start, us)
	return g.hist.RecordValue(us)
}

// counts reports whether a call that ends now is one of the measured ones. In an open loop those that began in time count
// also when they end after it: the slowest calls must not fall off the end.
func (g *generator) counts() bool { return g.measured && (!g.stopped || g.o.rate != 0) }

// fillLine starts a call in every free slot: the closed loop.
func (g *generator) fillLine(l *line) {
	for len(l.free) > 0 && !g.stopped {
		now := g.now()
		g.start(l, now, now)
	}
}

// start begins a call, which was to begin at another moment perhaps, on a line that is up and has a free slot.
func (g *generator) start(l *line, at, now time.Duration) {
	i := l.free[len(l.free)-1]
	l.free = l.free[:len(l.free)-1]
	g.seq++
	if g.seq >= 1<<(31-g.bits) {
		g.seq = 1
	}
	seq := g.seq<<g.bits | i
	out, err := l.talk.appendCall(l.out, seq)
	if err != nil {
		g.end(l, err)
		return
	}
	l.out = out
	l.slots[i] = slot{seq: seq, start: at, sent: now}
	g.inFlight++
	g.mark(l)
}

// pace starts the calls whose moment has come: the open loop. Those that find no slot stay behind, and are started
// late, with the latency that belongs to them.
func (g *generator) pace() {
	if g.stopped {
		return
	}
	now := g.now()
	due := int64((now - g.begin).Seconds() * g.o.rate)
	for g.started < due && len(g.idle) > 0 {
		l := g.idle[len(g.idle)-1]
		g.idle = g.idle[:len(g.idle)-1]
		if !l.up || len(l.free) == 0 {
			continue
		}
		g.start(l, g.begin+time.Duration(float64(g.started)/g.o.rate*float64(time.Second)), now)
		g.started++
	}
}

func (g *generator) mark(l *line) {
	if !l.dirty {
		l.dirty = true
		g.dirty = append(g.dirty, l)
	}
}

func (g *generator) flush() {
	for _, l := range g.dirty {
		if l.up && l.dirty {
			g.end(l, l.flush(g.poll))
		}
	}
	g.dirty = g.dirty[:0]
}
