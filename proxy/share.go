package proxy

import (
	"math/rand/v2"
	"sync/atomic"

	"github.com/bellhop-mesh/bellhop/proxy/fair"
)

// This file shares a worker's time out among the sources. What is queued are callers' connections whose bytes have come
// and are not decoded, not calls: nothing is copied or decoded twice while nobody contends, and a caller that is ahead of
// its share is held back by its own connection.
//
//	OnTraffic ─► share ─┬─ its source has credit and was not heavy lately ─► consume
//	                    └─ else ─► w.turns (kept in d.in) ─► serveTurns, at the end of the poll round ─► consume
//
// While one source alone is active nothing is charged and nothing waits.

// What work costs, in ns as far as it can be told beforehand: what is measured corrects it (lane.dear).
const (
	callCost  = 5000    // a call and its reply, with its part of the system calls
	openCost  = 20_000  // a connection of a caller, from accept to close
	turnCost  = 200     // a look at a connection that brought no whole frame
	quantum   = 32_000  // what a source of weight 1 may have in one turn
	roundWork = 160_000 // served out of the queue before the loop looks for new bytes again
)

// A round serves less while others come whose calls are taken at once: they wait for its end, and again with their replies.
const (
	shortWork = roundWork / 4
	shortFor  = int64(10e6) // ns since the last such
)

// sharedFor is how long after two sources were active work goes on being shared out, in ns: who comes rarely finds room.
const sharedFor = int64(100e6)

// sampleEvery is one in how many times that a connection's bytes are taken a clock is read, by chance: callers come in
// step.
const sampleEvery = 8

// timedEvery is one in how many of these samples work is timed, too, while work is shared out: the CPU clock is a system call.
const timedEvery = 4

// bytesCost is what so many bytes add to a call's cost, copied as they are a few times.
func bytesCost(n int) int64 { return int64(n) / 2 }

// lane is what a source has on one worker. Loop only, but for delays.
type lane struct {
	src    *source
	flow   fair.Flow[*downstream]
	team   *team
	use    usage
	conns  int                    // open ones of the source on this worker
	dear   float64                // the median of what its work took to what is usual here for the same estimate
	delays atomic.Pointer[delays] // nil: no sample yet
}

// team is a workload's part of a worker. Loop only.
type team struct {
	flow  fair.Flow[*downstream]
	name  string
	use   usage
	lanes int // with connections
}

// shares is how a worker shares its time. Loop only.
type shares struct {
	turns   fair.Queue[*downstream]
	teams   map[string]*team
	all     usage
	last    *lane      // who was active last
	ahead   int64      // when a call was last taken at once though others waited
	until   int64      // work is shared out until then
	charged int64      // in all
	sample  int        // times until a clock is read
	untimed int        // samples since work was timed
	chance  *rand.Rand // what samples are drawn by: not the numbers that choices are rehearsed with
	pace    float64    // what work usually takes to its estimate: a quarter takes less. 0: not known yet
	// delay is a moving mean of samples: ns from the read that brought a call to its being taken. Safe for concurrent use.
	delay atomic.Int64
}

func (s *shares) init() {
	s.turns.Init(quantum)
	s.chance = rand.New(rand.NewPCG(rand.Uint64(), 1))
	s.teams = map[string]*team{}
	s.sample = sampleEvery
	s.turns.Closed = func(f *fair.Flow[*downstream]) {
		if t, ok := f.Owner.(*team); ok && t.lanes == 0 {
			delete(s.teams, t.name)
		}
	}
}

// laneOf finds or makes the lane of a source that opens a connection. leave must follow.
func (w *worker) laneOf(src *source) *lane {
	l := src.lanes[w.id].Load()
	if l == nil {
		l = &lane{src: src, dear: 1}
		src.lanes[w.id].Store(l)
	}
	if l.conns++; l.conns == 1 {
		s := &w.shares
		if l.team = s.teams[src.teamName()]; l.team == nil {
			l.team = &team{name: src.teamName()}
			l.team.flow.Owner = l.team
			s.turns.Join(&l.team.flow, nil)
			s.teams[l.team.name] = l.team
		}
		l.team.lanes++
		s.turns.Join(&l.flow, &l.team.flow)
	}
	l.weigh()
	return l
}

// leave is the end of a connection. What the source owes stays until it is paid.
func (l *lane) leave(w *worker) {
	if l.conns--; l.conns > 0 {
		return
	}
	if l.team.lanes--; l.team.lanes == 0 && !l.team.flow.Open() {
		delete(w.shares.teams, l.team.name)
	}
	if w.shares.last == l {
		w.shares.last = nil
	}
}

// weigh takes up the weights in force.
func (l *lane) weigh() {
	l.flow.Weight, l.team.flow.Weight = l.src.weight.Load(), l.src.workloadWeight.Load()
}

// touch notes that a source is active and reports whether there is somebody to share with: one who was active lately, or
// waits.
func (s *shares) touch(l *lane, now int64) bool {
	if s.last != nil && s.last != l || s.turns.Len() > l.flow.Queued() {
		s.until = now + sharedFor
	}
	s.last = l
	return now < s.until
}

// spend counts work against a source while work is shared out. It reports whether the source may go on.
func (w *worker) spend(l *lane, cost int64) (goesOn bool) {
	s := &w.shares
	s.charged += cost
	if w.now >= s.until {
		return true
	}
	cost = l.price(cost)
	s.used(l, w.now, cost)
	s.turns.Charge(&l.flow, cost)
	return s.turns.Credit(&l.flow)
}

// replied counts a large reply against the source that it goes to: that of a small one is in callCost.
func (w *worker) replied(c *call, n int) {
	if n > smallFrame && c.d != nil {
		w.spend(c.d.lane, bytesCost(n))
	}
}

// share takes as many of the bytes as the source may have taken now; the rest waits for the source's turn.
func (d *downstream) share(buf []byte) (used int) {
	w, l := d.w, d.lane
	s := &w.shares
	switch {
	case d.place.Queued(): // its turn comes
		return 0
	case s.touch(l, w.now) && d.upload == nil && (!s.turns.Ahead(&l.flow) || w.flushPending && s.heavy(l, w.now)):
		d.stopped = true
		return 0
	}
	if s.turns.Len() > 0 {
		s.ahead = w.now
	}
	if s.sample--; s.sample > 0 {
		return d.consume(buf)
	}
	s.sample = w.nextSample()
	w.delayed(l, w.p.clock()-w.now)
	if !w.times() {
		return d.consume(buf)
	}
	before, at := s.charged, w.p.cpu()
	used = d.consume(buf)
	s.learn(l, w.p.cpu()-at, s.charged-before)
	return used
}

// await has the connection wait for its source's turn.
func (w *worker) await(d *downstream) {
	d.stopped = false
	d.lane.weigh()
	if d.place.Value = d; d.since == 0 {
		d.since = w.now
	}
	w.shares.turns.Push(&d.lane.flow, &d.place)
	w.stats.deferred++
}

// serveTurns serves those who wait for their turn, as much as one round may cost. Who still waits then has a round to come:
// end sees to it.
func (w *worker) serveTurns() {
	s := &w.shares
	if s.turns.Len() == 0 {
		s.turns.Forgive()
		return
	}
	limit := s.charged + roundWork
	if w.now-s.ahead < shortFor {
		limit = s.charged + shortWork
	}
	for s.charged < limit {
		i := s.turns.Next()
		if i == nil {
			break
		}
		d := i.Value
		s.turns.Remove(i)
		s.touch(d.lane, w.now)
		before := s.charged
		w.spend(d.lane, turnCost)
		if s.sample--; s.sample > 0 {
			w.serveTurn(d)
			continue
		}
		s.sample = w.nextSample()
		w.delayed(d.lane, w.p.clock()-d.since)
		if !w.times() {
			w.serveTurn(d)
			continue
		}
		l, at := d.lane, w.p.cpu()
		w.serveTurn(d)
		s.learn(l, w.p.cpu()-at, s.charged-before)
	}
	w.stats.longest = max(w.stats.longest, w.p.clock()-w.now)
	if s.turns.Len() == 0 {
		s.turns.Forgive()
	}
}

// serveTurn goes on with a connection whose turn has come; it may be parked.
func (w *worker) serveTurn(d *downstream) {
	defer func() {
		if r := recover(); r != nil {
			w.panicked(r)
			w.doom(&d.session, reasonPanic)
		}
	}()
	if d.live() && d.doomedFor == "" && d.closing == "" {
		used := d.consume(d.in)
		d.passed(used)
		d.settle(d.in, used)
	}
	if !d.place.Queued() {
		d.since, d.mark = 0, 0
	}
	if !d.blocked && !(d.place.Queued() && d.full()) { // what blocks it calls again
		d.unpark()
	}
}

// marked notes that bytes have come behind those that wait. One mark at a time: what comes later still counts as come then.
func (d *downstream) marked() {
	if d.mark == 0 && len(d.in) > 0 && d.place.Queued() {
		d.mark, d.markAt = len(d.in), d.w.now
	}
}

// passed notes that so many of the bytes that wait were taken: what is behind the mark has waited since then only.
func (d *downstream) passed(used int) {
	if d.mark > 0 {
		if d.mark -= used; d.mark <= 0 {
			d.since, d.mark = d.markAt, 0
		}
	}
}

// cameAt is when the last byte of the frame at hand was read, or was known to have been.
func (d *downstream) cameAt() int64 {
	switch {
	case d.since == 0:
		return d.w.now
	case d.mark > 0 && d.taken > d.mark:
		return d.markAt
	}
	return d.since
}

func (w *worker) nextSample() int { return 1 + w.shares.chance.IntN(2*sampleEvery-1) }

// times reports whether the work at hand is to be timed.
func (w *worker) times() bool {
	s := &w.shares
	if w.now >= s.until { // nobody is there to be compared with
		return false
	}
	s.untimed++
	return s.untimed%timedEvery == 0
}

// A source whose work is found to be much dearer than usual pays for it, up to mostDear times the estimate. What makes less
// of a difference than leastDear is how calls fall into turns.
const (
	leastDear = 2
	mostDear  = 8
)

// price is what work costs a source.
func (l *lane) price(estimate int64) int64 {
	if l.dear < leastDear {
		return estimate
	}
	return int64(float64(estimate) * l.dear)
}

// learn compares the CPU time that work took with what it was estimated at, and a source's with what is usual: calls that have
// to be transcoded or inflated cost their source more. CPU time, since the loop may be interrupted, under a quota for much longer than
// a turn takes; and quantiles by small steps, not means: the goroutine may have moved to another thread, whose clock is another.
func (s *shares) learn(l *lane, took, estimate int64) {
	if took <= 0 || estimate < callCost {
		return
	}
	r := float64(took) / float64(estimate)
	switch {
	case s.pace == 0:
		s.pace = r
	case r > s.pace:
		s.pace += s.pace / 64
	default:
		s.pace -= s.pace * 3 / 64
	}
	if r > l.dear*s.pace {
		l.dear = min(l.dear+l.dear/32, mostDear)
	} else {
		l.dear = max(l.dear-l.dear/32, 1)
	}
}

// delayed counts how long a call has waited in the proxy before it was taken.
func (w *worker) delayed(l *lane, ns int64) {
	mean := w.shares.delay.Load()
	w.shares.delay.Store(mean + (ns-mean)/8)
	w.stats.delays.add(ns / 1000)
	d := l.delays.Load()
	if d == nil {
		d = &delays{}
		l.delays.Store(d)
	}
	d.add(ns)
}
