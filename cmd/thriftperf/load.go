package main

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// slot is a place for one call in flight.
type slot struct {
	seq   int32         // 0: free
	again bool          // the remote tier's turn, after the local one did not execute it
	start time.Duration // when the call was to start, since the generator's base
	sent  time.Duration // when it did
}

// line is a connection of the generator.
type line struct {
	conn
	talk *speech // makes its calls
	tier int     // of its proxy
	up   bool
	// announced: the remote proxy was told that we were asked to come
	announced bool
	slots     []slot
	free      []int32 // indexes into slots
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
	idle     [2][]*line // open loop, by tier: lines with a free slot, in no order; a line is in it at most once per free slot
	dialled  chan dialled
	dialling int      // connections that dialled will yield
	seq      int32    // of the next call, above the slot's bits
	bits     int      // of a sequence that name the slot
	arrive   arrivals // open loop
	tier     *tiers   // nil: there is one target
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
	sp, err := o.speech(0)
	if err != nil {
		return nil, err
	}
	arrive, err := newArrivals(o.arrivals, o.rate, o.seed, o.grain)
	if err != nil {
		return nil, err
	}
	g := &generator{
		o: o, target: target, speech: sp, base: time.Now(), buf: make([]byte, readSize),
		dialled: make(chan dialled, 2*o.connections), hist: newHistogram(), who: who, arrive: arrive,
	}
	g.res.failed, g.res.after = map[string]int64{}, newHistogram()
	g.res.early, g.res.local = map[string]int64{}, newHistogram()
	for 1<<g.bits < o.depth {
		g.bits++
	}
	if o.addrFile != "" {
		if g.tier, err = followFile(o.addrFile, o.source); err != nil {
			return nil, err
		}
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
	if g.arrive.rnd != nil {
		defer exactly()()
	}
	if g.o.phases {
		g.phases.begin()
		defer g.phases.end()
	}
	if err := g.prepare(ctx); err != nil {
		return err
	}
	g.begin = g.now()
	g.pace()
	if g.o.rate == 0 {
		for _, l := range g.lines {
			g.fillLine(l)
		}
		g.flush()
	}
	measureAt, stopAt := g.begin+g.o.warmup, g.begin+g.o.warmup+g.o.duration
	for {
		events, err := g.await()
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
			g.pace()
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
		g.idle[l.tier] = append(g.idle[l.tier], l)
	}
	g.inFlight--
	if g.sendOn(l, *s, err) {
		return nil
	}
	if !g.counts() {
		g.early(err)
		return nil
	}
	us := max(1, int64((g.now()-s.start)/time.Microsecond))
	if err != nil {
		g.res.fail(kindOf(err), err, 1)
		return g.res.after.RecordValue(us)
	}
	g.res.calls++
	g.res.by[l.tier]++
	if g.tier != nil && l.tier == localTier {
		_ = g.res.local.RecordValue(min(us, g.res.local.HighestTrackableValue()))
	}
	g.phases.record(s.start, us)
	return g.hist.RecordValue(us)
}

// counts reports whether a call that ends now is one of the measured ones. In an open loop those that began in time count
// also when they end after it: the slowest calls must not fall off the end.
func (g *generator) counts() bool { return g.measured && (!g.stopped || g.o.rate != 0) }

// early remembers calls that failed in the warm-up: they are no part of what is measured, and not to be hidden.
func (g *generator) early(err error) {
	if err != nil && !g.measured {
		g.res.early[kindOf(err)]++
	}
}

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
	g.announce(l)
	out, err := l.talk.appendCall(l.out, seq)
	if err != nil {
		g.end(l, err)
		return
	}
	l.out = out
	g.res.begun++
	l.slots[i] = slot{seq: seq, start: at, sent: now}
	g.inFlight++
	g.mark(l)
}

// pace starts the calls whose moment has come: the open loop. Those that find no slot stay behind, and are started
// late, with the latency that belongs to them.
func (g *generator) pace() {
	if g.stopped || g.o.rate == 0 {
		return
	}
	now := g.now()
	for g.arrive.next <= now-g.begin {
		l := g.freeOf(g.tier.now())
		if l == nil {
			return
		}
		g.start(l, g.begin+g.arrive.next, now)
		g.arrive.advance()
	}
}

// await waits for what happens next. Gaps of their own kinds have no tick: the wait itself ends when the next call is due.
func (g *generator) await() ([]unix.EpollEvent, error) {
	if g.arrive.rnd == nil {
		return g.poll.wait(100)
	}
	d := sweepEvery
	if !g.stopped && len(g.idle[g.tier.now()]) > 0 {
		d = max(0, min(d, g.begin+g.arrive.next-g.now()))
	}
	events, err := g.poll.waitExactly(d)
	g.pace()
	return events, err
}

// freeOf takes a line of a tier that a call can begin on, nil when there is none: the one that was used last or, of callers
// that know nothing of each other, any.
func (g *generator) freeOf(tier int) *line {
	idle := &g.idle[tier]
	for len(*idle) > 0 {
		last := len(*idle) - 1
		if g.arrive.pick != nil {
			i := g.arrive.pick.IntN(last + 1)
			(*idle)[i], (*idle)[last] = (*idle)[last], (*idle)[i]
		}
		l := (*idle)[last]
		*idle = (*idle)[:len(*idle)-1]
		if l.up && len(l.free) > 0 {
			return l
		}
	}
	return nil
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
