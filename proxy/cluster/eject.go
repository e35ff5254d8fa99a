package cluster

import (
	"math"
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
	leastSlower   = int64(5e5) // ns by which it is slower
	leastConnects = 3          // failed connects in a row
)

// connectMost bounds the time that an endpoint is kept away from because connecting fails, in ns: to look again costs a
// call nothing but time, since it is unsent.
const connectMost = int64(30e9)

// complainEvery is how often one workload says so where there is nothing to compare, in ns.
const complainEvery = int64(100e6)

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
	raced := o.Class == govern.ClassRaced
	one := mark{near: o.Endpoint.near, timed: o.Class == govern.ClassOK || o.Class == govern.ClassDeadline, log: logOf(took)}
	var same bool
	if one.slow, same = mine.follow(o, group, bad, one); same {
		return ReasonNone
	}
	group.run.count(one)
	group.ever.count(one)
	mine.run.count(one)
	if !bad && !raced && !one.slow { // as it usually is
		return ReasonNone
	}
	for _, t := range [...]*tally{&group.run, &group.ever, &mine.run} {
		if bad {
			t.failed++
		} else if raced {
			t.raced++
		}
	}
	if o.Now < mine.muted {
		return ReasonNone
	}
	if bad || raced {
		if r := v.judgeErrors(o, group, mine); r != ReasonNone {
			return r
		}
	}
	if !one.slow {
		return ReasonNone
	}
	return v.judgeSlow(o, group, mine)
}

// follow begins, continues or ends the endpoint's streaks with a call that is not counted yet, and reports whether it was slow.
// same: it is no evidence of its own. Calls that were under way together when a server paused, or its connections ended, are
// slow or lost together: that is one event, and what was sent after it was seen tells whether it lasts.
func (c *cell) follow(o *Outcome, group *cell, bad bool, one mark) (slow, same bool) {
	near, log, limit := one.near, one.log, o.Cluster.eject.slow
	if one.timed && limit > 0 {
		siblings := group.timing(near)
		siblings.take(c.timing(near))
		slow = siblings.n >= leastSiblings && timing{1, log}.slower(siblings, limit)
	}
	if slow && o.Class == govern.ClassOK && c.slow.n > 0 && o.Sent < c.slow.since ||
		o.Class == govern.ClassLost && c.bad.n > 0 && o.Sent < c.bad.since {
		return slow, true
	}
	switch s := &c.bad; {
	case o.Class == govern.ClassRaced: // says neither
	case !bad:
		s.well(o.Now)
	case s.n == 0:
		*s = streak{n: 1, since: o.Now, ended: s.ended, before: timing{n: group.ever.calls}, failed: group.ever.failed}
	default:
		s.n++
	}
	switch s := &c.slow; {
	case !one.timed:
	case !slow:
		s.well(o.Now)
	case s.n == 0:
		*s = streak{n: 1, logs: log, since: o.Now, ended: s.ended, before: group.ever.times[near], failed: group.ever.slow}
	default:
		s.n++
		s.logs += log
	}
	return slow, false
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
		mine.run, mine.last, mine.bad, mine.slow, mine.era, mine.muted = tally{}, tally{}, streak{}, streak{}, era, 0
	}
	return group, mine.beside(group)
}

// judgeErrors ejects an endpoint that fails what its siblings do not.
func (v *Evidence) judgeErrors(o *Outcome, group, mine *cell) Reason {
	e := &o.Cluster.eject
	m := mine.sum()
	bad := m.bad()
	row := mine.bad.n >= leastFailed
	if e.errors == 0 || bad < leastFailed || !row && float64(bad) < e.errors*float64(m.calls) {
		return ReasonNone
	}
	mine.muted = o.Now + muteFor // for whatever reason it stays in use
	s := group.sum()
	s.take(&m)
	why := Why{
		Reason: ReasonErrors, Method: string(o.MethodName), Workloads: []string{o.WorkloadName},
		Calls: m.calls, Failed: bad, SiblingCalls: s.calls, SiblingFailed: s.bad(),
	}
	if row { // since it began to fail, and its siblings at the same time
		why.Calls, why.Failed = mine.bad.n, mine.bad.n
		why.SiblingCalls = less(group.ever.calls-mine.bad.before.n, mine.bad.n)
		why.SiblingFailed = less(group.ever.failed-mine.bad.failed, mine.bad.n)
	}
	compared := why.SiblingCalls >= leastSiblings
	switch {
	case compared && !differs(why.Failed, why.Calls, why.SiblingFailed, why.SiblingCalls): // it may be chance, the method, or the workload
		mine.muted = 0
		return ReasonNone
	case !compared && s.calls >= leastSiblings: // they have too few calls to tell yet
		mine.muted = 0
		return ReasonNone
	case v.serves(o, &mine.bad, row, false): // costs a look at every cell
		return ReasonNone
	case !compared:
		why.SiblingCalls, why.SiblingFailed = 0, 0
		other := o.Endpoint.complain(o)
		if other == nil {
			o.Endpoint.suspects(o.Now)
			mine.muted = o.Now + complainEvery
			return ReasonNone
		}
		why.Workloads = append(why.Workloads, other.name)
	}
	return o.Cluster.ejectFor(o.Endpoint, o.Now, why, e.span)
}

// complain notes a workload's word against an endpoint and returns another one's, if there is one that is not too old.
func (e *Endpoint) complain(o *Outcome) *complaint {
	other := e.said.Swap(&complaint{workload: o.Workload, name: o.WorkloadName, at: o.Now})
	switch {
	case other == nil || o.Now-other.at > 2*half:
		return nil
	case other.workload == o.Workload:
		return nil
	}
	return other
}

// judgeSlow ejects an endpoint that is much slower than its siblings.
func (v *Evidence) judgeSlow(o *Outcome, group, mine *cell) Reason {
	e := &o.Cluster.eject
	near := o.Endpoint.near
	m, s := mine.timing(near), group.timing(near)
	s.take(m)
	row := mine.slow.n >= leastTimed
	if row { // since it began to be slow, and its siblings at the same time
		m = timing{mine.slow.n, mine.slow.logs}
		s = timing{group.ever.times[near].n - mine.slow.before.n, group.ever.times[near].logs - mine.slow.before.logs}
		s.take(m)
	}
	if e.slow == 0 || m.n < leastTimed || s.n < leastSiblings || !m.slower(s, e.slow) {
		return ReasonNone
	}
	mineSlow := mine.slow.n
	theirs := less(group.ever.slow-mine.slow.failed, mine.slow.n)
	if !row {
		mineSlow = mine.run.slow + mine.last.slow
		theirs = less(group.run.slow+group.last.slow, mineSlow)
	}
	if !differs(mineSlow, m.n, theirs, s.n) {
		return ReasonNone // some calls of the method take long, wherever they go
	}
	mine.muted = o.Now + muteFor
	if m.ns()-s.ns() < leastSlower || v.serves(o, &mine.slow, row, true) {
		return ReasonNone
	}
	calls, all := mine.sum(), group.sum()
	all.take(&calls)
	return o.Cluster.ejectFor(o.Endpoint, o.Now, Why{
		Reason: ReasonSlow, Method: string(o.MethodName), Workloads: []string{o.WorkloadName}, Calls: calls.calls, Failed: calls.bad(),
		SiblingCalls: all.calls, SiblingFailed: all.bad(), Time: time.Duration(m.ns()), SiblingTime: time.Duration(s.ns()),
	}, e.span)
}

// serves reports whether the endpoint does well with the calls of other workloads to the same method, on this worker: with
// one of them since this one's streak began, or over the window with most. slow: in time, not in how they end.
func (v *Evidence) serves(o *Outcome, mine *streak, row, slow bool) bool {
	epoch, era := uint32(o.Now/half), o.Endpoint.era.Load()
	var t tally
	for i := range v.cells {
		c := &v.cells[i]
		if c.endpoint != o.Endpoint || c.method != o.Method.id || c.workload == o.Workload || !c.used || c.era != era {
			continue
		}
		if row && (slow && c.slow.ended > mine.since || !slow && c.bad.ended > mine.since) {
			return true
		}
		c.age(epoch)
		s := c.sum()
		t.add(&s)
	}
	if row {
		return false
	}
	if near := o.Endpoint.near; slow {
		return t.times[near].n >= leastTimed // they are there, and have not ejected it
	}
	return t.calls >= leastSiblings && 2*float64(t.bad()) < o.Cluster.eject.errors*float64(t.calls)
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
