package cluster

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/proxy/govern"
	"github.com/bellhop-mesh/bellhop/registry"
)

// ejection is a service's settings of ejection, compiled.
type ejection struct {
	errors   float64 // share of failed calls; 0: not looked at
	slow     uint32  // sixteenths of an octave that an endpoint is slower than its siblings; 0: not looked at
	maxShare float64
	span     span
}

// Defaults of what a service does not say.
const (
	usualErrors   = 0.5
	usualSlow     = 5.0
	usualMaxShare = 0.5
	usualBase     = int64(5e9)
	usualMostTime = int64(300e9)
)

// Evidence below these proves nothing.
const (
	leastFailed   = 5          // failed calls of an endpoint
	leastTimed    = 5          // timed calls of an endpoint
	leastSiblings = 5          // calls of its siblings
	leastSlower   = int64(1e6) // ns by which it is slower
	leastConnects = 3          // failed connects in a row
)

// connectMost bounds the time that an endpoint is kept away from because connecting fails, in ns: to look again costs a
// call nothing but time, since it is unsent.
const connectMost = int64(30e9)

// muteFor is how long an endpoint is not judged again after it was left in use for a reason, in ns.
const muteFor = int64(1e9)

// keepAway compiles what the service says of whom to keep away from.
func (c *Cluster) keepAway(s *registry.Service) {
	c.warmFor, c.slowStart = usualWarm, s.SlowStart > 0
	if c.slowStart {
		c.warmFor = int64(s.SlowStart)
	}
	c.panicAt = max(or(s.Panic, usualPanic), 0)
	c.spill = max(or(s.ZoneSpill, usualSpill), 0)
	e := &s.Ejection
	c.eject = ejection{
		errors: max(or(e.Errors, usualErrors), 0), maxShare: max(or(e.MaxShare, usualMaxShare), 0),
		span: span{base: or(int64(e.Base), usualBase), most: or(int64(e.Max), usualMostTime)},
	}
	c.eject.span.most = max(c.eject.span.most, c.eject.span.base)
	if slow := or(e.Slow, usualSlow); slow > 1 {
		c.eject.slow = uint32(math.Round(perOctave * math.Log2(slow)))
	}
}

// Why is the evidence for keeping calls away from an endpoint: what was seen of it, and of its siblings at the same time
// in the same method for the same workload.
type Why struct {
	Reason    Reason
	Method    string
	Workloads []string

	Calls, Failed               uint32
	SiblingCalls, SiblingFailed uint32
	Time, SiblingTime           time.Duration // geometric means of reply times
	Connects                    int           // failed connects in a row
	Rule                        string        // that has the breaker
	Slow                        uint32        // calls that the breaker's rule calls slow

	slowFrom int64 // ns from which on the breaker's rule calls a probe slow; 0: never
}

// String says it in one line.
func (w *Why) String() string {
	who := strings.Join(w.Workloads, " and ")
	switch w.Reason {
	case ReasonErrors:
		if w.SiblingCalls == 0 {
			return fmt.Sprintf("%d of %d calls of %s failed, for two workloads: %s", w.Failed, w.Calls, w.Method, who)
		}
		return fmt.Sprintf("%d of %d calls of %s failed for %s; of its siblings' %d of %d", w.Failed, w.Calls, w.Method, who, w.SiblingFailed, w.SiblingCalls)
	case ReasonSlow:
		return fmt.Sprintf("%s takes %s for %s; its siblings take %s", w.Method, short(w.Time), who, short(w.SiblingTime))
	case ReasonConnect:
		return fmt.Sprintf("%d connects in a row failed, while siblings could be reached", w.Connects)
	case ReasonBreaker:
		return fmt.Sprintf("rule %s: of %d calls %d failed and %d were slow", w.Rule, w.Calls, w.Failed, w.Slow)
	case ReasonManual:
		return "closed by hand"
	}
	return "in use"
}

func short(d time.Duration) string {
	if d >= 10*time.Millisecond {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}

// complaint is one workload's word against an endpoint, where nothing can be compared.
type complaint struct {
	workload uint64
	name     string
	at       int64
}

// Observe takes a call's end into account and returns why its endpoint was ejected by it, or is kept away from again;
// ReasonNone: it was not. Loop only.
func (v *Evidence) Observe(o *Outcome) Reason {
	took := o.Now - o.Sent
	switch o.Class {
	case govern.ClassOK:
		o.Method.took(took)
	case govern.ClassDeadline:
		if !o.Method.asLongAs(took, int64(o.Cluster.Timeout)) {
			return ReasonNone // it was given too little
		}
	}
	bad := o.Class == govern.ClassFailed || o.Class == govern.ClassLost || o.Class == govern.ClassDeadline
	if h, held := o.Endpoint.halfOpen(o.Sent); held {
		if h == nil || o.Class == govern.ClassRaced {
			return ReasonNone
		}
		if !bad && o.Class == govern.ClassOK {
			bad = v.stillSlow(o, h, took)
		}
		o.Endpoint.probed(h, !bad, o.Now)
		if bad {
			return h.why.Reason
		}
		return ReasonNone
	}
	if len(o.Cluster.all) < 2 || o.Cluster.eject.maxShare == 0 {
		return ReasonNone
	}
	group, mine := v.cells2(o)
	near := o.Endpoint.near
	for _, c := range [...]*cell{group, mine} {
		c.run.calls++
		switch {
		case bad:
			c.run.failed++
		case o.Class == govern.ClassRaced:
			c.run.raced++
		}
		if o.Class == govern.ClassOK || o.Class == govern.ClassDeadline {
			c.run.times[near].n++
			c.run.times[near].logs += logOf(took)
		}
	}
	if o.Now < mine.muted {
		return ReasonNone
	}
	if bad || o.Class == govern.ClassRaced {
		if r := v.judgeErrors(o, group, mine); r != ReasonNone {
			return r
		}
	}
	return v.judgeSlow(o, group, mine)
}

// cells2 returns the cell of all endpoints and that of this one. What was seen before the endpoint was ejected or came back
// counts no more.
func (v *Evidence) cells2(o *Outcome) (group, mine *cell) {
	if o.Method.id == 0 {
		v.methods++
		o.Method.id = v.methods
	}
	if len(v.cells) == 0 {
		v.grow()
	}
	epoch := uint32(o.Now / half)
	mine = v.cell(o.Endpoint, o, epoch)
	size := len(v.cells)
	group = v.cell(nil, o, epoch)
	if len(v.cells) != size || group == mine {
		mine = v.cell(o.Endpoint, o, epoch)
	}
	if era := o.Endpoint.era.Load(); mine.era != era {
		group.run.take(&mine.run)
		group.last.take(&mine.last)
		mine.run, mine.last, mine.era, mine.muted = tally{}, tally{}, era, 0
	}
	return group, mine
}

// judgeErrors ejects an endpoint that fails what its siblings do not.
func (v *Evidence) judgeErrors(o *Outcome, group, mine *cell) Reason {
	e := &o.Cluster.eject
	m := mine.sum()
	bad := m.bad()
	if e.errors == 0 || bad < leastFailed || float64(bad) < e.errors*float64(m.calls) {
		return ReasonNone
	}
	mine.muted = o.Now + muteFor // for whatever reason it stays in use
	s := group.sum()
	s.take(&m)
	why := Why{
		Reason: ReasonErrors, Method: string(o.MethodName), Workloads: []string{o.WorkloadName},
		Calls: m.calls, Failed: bad, SiblingCalls: s.calls, SiblingFailed: s.bad(),
	}
	if s.calls >= leastSiblings {
		if 2*uint64(s.bad())*uint64(m.calls) > uint64(bad)*uint64(s.calls) {
			return ReasonNone // it is the method, or the workload
		}
	} else {
		why.SiblingCalls, why.SiblingFailed = 0, 0
		other := o.Endpoint.said.Swap(&complaint{workload: o.Workload, name: o.WorkloadName, at: o.Now})
		if other == nil || o.Now-other.at > 2*half || other.workload == o.Workload {
			if other != nil && other.workload != o.Workload && o.Now-other.at <= 2*half {
				o.Endpoint.said.Store(other)
			}
			return ReasonNone
		}
		why.Workloads = append(why.Workloads, other.name)
	}
	if calls, failed, _ := v.others(o); calls >= leastSiblings && 2*float64(failed) < e.errors*float64(calls) {
		return ReasonNone // it serves the calls of others
	}
	return o.Cluster.ejectFor(o.Endpoint, o.Now, why, e.span)
}

// judgeSlow ejects an endpoint that is much slower than its siblings.
func (v *Evidence) judgeSlow(o *Outcome, group, mine *cell) Reason {
	e := &o.Cluster.eject
	near := o.Endpoint.near
	mt := timing{mine.run.times[near].n + mine.last.times[near].n, mine.run.times[near].logs + mine.last.times[near].logs}
	if e.slow == 0 || mt.n < leastTimed {
		return ReasonNone
	}
	g := timing{group.run.times[near].n + group.last.times[near].n, group.run.times[near].logs + group.last.times[near].logs}
	s := timing{less(g.n, mt.n), less(g.logs, mt.logs)}
	if s.n < leastSiblings || uint64(mt.logs)*uint64(s.n) < (uint64(s.logs)+uint64(e.slow)*uint64(s.n))*uint64(mt.n) {
		return ReasonNone
	}
	mine.muted = o.Now + muteFor
	if mt.ns()-s.ns() < leastSlower {
		return ReasonNone
	}
	if _, _, t := v.others(o); t.n >= leastTimed && t.mean() < s.mean()+float64(e.slow)/2 {
		return ReasonNone
	}
	m, all := mine.sum(), group.sum()
	all.take(&m)
	return o.Cluster.ejectFor(o.Endpoint, o.Now, Why{
		Reason: ReasonSlow, Method: string(o.MethodName), Workloads: []string{o.WorkloadName}, Calls: m.calls, Failed: m.bad(),
		SiblingCalls: all.calls, SiblingFailed: all.bad(), Time: time.Duration(mt.ns()), SiblingTime: time.Duration(s.ns()),
	}, e.span)
}

// stillSlow judges the time of a probe of an endpoint that was ejected for slowness.
func (v *Evidence) stillSlow(o *Outcome, h *hold, took int64) bool {
	if h.why.slowFrom > 0 && took >= h.why.slowFrom {
		return true
	}
	if h.why.Reason != ReasonSlow || len(v.cells) == 0 {
		return false
	}
	g := v.cell(nil, o, uint32(o.Now/half)).sum().times[o.Endpoint.near]
	usual := g.ns()
	if g.n < leastSiblings {
		if usual = int64(h.why.SiblingTime); string(o.MethodName) != h.why.Method {
			return false
		}
	}
	return took-usual >= leastSlower && logOf(took) >= logOf(usual)+o.Cluster.eject.slow
}

// others adds up what other workloads' calls of the same method saw of the endpoint, on this worker.
func (v *Evidence) others(o *Outcome) (calls, failed uint32, t timing) {
	epoch := uint32(o.Now / half)
	for i := range v.cells {
		c := &v.cells[i]
		if c.endpoint != o.Endpoint || c.method != o.Method.id || c.workload == o.Workload || !c.used || c.era != o.Endpoint.era.Load() {
			continue
		}
		c.age(epoch)
		s := c.sum()
		calls, failed = calls+s.calls, failed+s.bad()
		t.n, t.logs = t.n+s.times[o.Endpoint.near].n, t.logs+s.times[o.Endpoint.near].logs
	}
	return calls, failed, t
}

// ConnectFailed takes note that connecting to an endpoint failed, once more (State.ConnectFailed has counted it), and
// returns why it was ejected by it. Loop only.
func (c *Cluster) ConnectFailed(e *Endpoint, worker int, now int64) Reason {
	if h := e.held.Load(); h != nil {
		if h.why.Reason != ReasonManual && now >= h.until {
			e.probed(h, false, now)
			return h.why.Reason
		}
		return ReasonNone
	}
	failed := int(e.States[worker].Failures)
	if failed < leastConnects || c.eject.maxShare == 0 || !c.reaches(e, worker, now) {
		return ReasonNone
	}
	s := c.eject.span
	s.most = min(s.most, max(connectMost, s.base))
	return c.ejectFor(e, now, Why{Reason: ReasonConnect, Connects: failed}, s)
}

// reaches reports whether some sibling has answered a short time ago: it is not this host's network that fails.
func (c *Cluster) reaches(e *Endpoint, worker int, now int64) bool {
	n := len(c.all)
	at := int(c.cursor[worker]) % n
	for range min(n, scanLimit) {
		if o := c.all[at]; o != e {
			if s := &o.States[worker]; s.Failures == 0 && s.answered > 0 && now-s.answered < 2*half {
				return true
			}
		}
		if at++; at == n {
			at = 0
		}
	}
	return false
}

// ejectFor keeps calls away from an endpoint, unless as many are as may be.
func (c *Cluster) ejectFor(e *Endpoint, now int64, why Why, s span) Reason {
	if !c.holdWithin(e, now, why, s, 1, c.eject.maxShare) {
		return ReasonNone
	}
	return why.Reason
}

// holdWithin holds an endpoint unless more than share of all would be held: rounded up, at least one, and never all.
func (c *Cluster) holdWithin(e *Endpoint, now int64, why Why, s span, probes int, share float64) bool {
	if now < c.full.Load() {
		return false
	}
	most := min(max(int(math.Ceil(share*float64(len(c.all)))), 1), len(c.all)-1)
	if c.Held() >= most {
		c.full.Store(now + muteFor)
		return false
	}
	if !e.hold(now, why, s, probes) {
		return false
	}
	if c.Held() > most { // two workers at once
		if h := e.held.Load(); h != nil {
			e.undo(h)
		}
		return false
	}
	return true
}

// Held returns how many endpoints calls are kept away from now. Safe for concurrent use.
func (c *Cluster) Held() (n int) {
	for _, e := range c.all {
		if e.special.Load()&isHeld != 0 {
			n++
		}
	}
	return n
}
