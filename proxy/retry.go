package proxy

import (
	"math/rand/v2"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/cluster"
	"github.com/bellhop-mesh/bellhop/proxy/govern"
)

// This file is what is done about a call that an endpoint did not answer well: which are sent again, when and how often.
//
//	outcome of an attempt ─► again ─┬─ resubmit ─► choose, without the endpoints that were tried
//	                                ├─ pause ─► expired ─► resubmit
//	                                └─ no: the caller gets the outcome

// maxRetries bounds what a rule can ask for; maxOffers is all endpoints that one call can come to.
const (
	maxRetries = 5
	maxOffers  = maxTries + maxRetries
)

// usualRetry is done where no rule says otherwise: once, at once. Servers that shed a call have not run it.
var usualRetry = govern.Retry{On: govern.Of(govern.ClassLost, govern.ClassRaced, govern.ClassBusy), Attempts: 1}

// attempt is what came of one offer of a call to an endpoint.
type attempt struct {
	endpoint *cluster.Endpoint
	class    govern.Class
	ended    bool          // class and took are known
	took     int64         // ns
	turned   protocol.Code // why the endpoint could not take the call; CodeOK: it did, or it was not asked yet
}

// attempts are those of one call, in order.
type attempts struct {
	list    [maxOffers]attempt
	tried   [maxOffers]*cluster.Endpoint // the same endpoints, as balancers want them
	n       uint8
	retries uint8             // of them, those that followed one that may have run, or was shed
	paused  bool              // waits for the next one to begin; the timer is that of the pause
	next    *cluster.Endpoint // the next one's, when that was decided already
}

func (a *attempts) offered(e *cluster.Endpoint) {
	a.list[a.n] = attempt{endpoint: e}
	a.tried[a.n] = e
	a.n++
}

// turnedAway notes why the endpoint that was offered the call last could not take it.
func (a *attempts) turnedAway(code protocol.Code) { a.list[a.n-1].turned = code }

func (a *attempts) came(class govern.Class, took int64) {
	if a.n > 0 {
		last := &a.list[a.n-1]
		last.class, last.ended, last.took = class, true, took
	}
}

// more reports whether the call may be offered to one more endpoint: the first and two others, and one for each retry.
func (a *attempts) more() bool { return a.n < maxTries+a.retries }

// retryOf is what the call's policy says of sending it again.
func (c *call) retryOf() *govern.Retry {
	if c.policy != nil && c.policy.Retry != nil {
		return c.policy.Retry
	}
	return &usualRetry
}

// keepFrame has a call that is sent keep its frame where it may be sent again: always where it is small, for its server may
// shed it; else only where it may run twice. One that has waited has it already: of a large one the stub, which is no call.
func (c *call) keepFrame(m *protocol.Message) {
	keeps := c.mayRunTwice() && (c.idempotent || c.returns || len(m.Frame) <= smallFrame && !c.handed)
	switch {
	case !keeps:
		c.kept = c.kept[:0]
	case m != &c.w.retry:
		c.kept, c.keptCodec = append(c.kept[:0], m.Frame...), c.d.codec
	}
}

// attemptBegins sets the time of an attempt, where the policy gives one less than the call's.
func (c *call) attemptBegins() {
	if r := c.retryOf(); r.PerTry > 0 && c.idempotent && c.tries.retries < uint8(r.Attempts) && r.On.Has(govern.ClassDeadline) {
		if at := c.w.now + int64(r.PerTry); at < c.deadline {
			c.w.wheel.arm(&c.timer, at)
		}
	}
}

// again has the call sent once more, to an endpoint that it has not come to yet, if its policy, the budget and the time that
// is left allow it. The call must be off its connection. false: what came of it is the outcome.
func (w *worker) again(c *call, class govern.Class) bool {
	r := c.retryOf()
	if !c.mayRetry(r, class) {
		return false
	}
	pause := pauseBefore(r, c.tries.retries, w.rnd)
	if w.now+pause >= c.deadline {
		return false
	}
	cl := w.clusterOf(c)
	if cl == nil {
		return false
	}
	c.cluster = cl
	budget := &c.stats.budgets.retries
	if !budget.take(w.now, w.perWorker(w.p.cfg.Limits.RetryMin)) {
		w.stats.retriesRefused++
		return false
	}
	next := c.pick(w)
	if next == nil { // never the same one again
		budget.left++
		return false
	}
	c.tries.retries++
	c.retried = c.retried || class != govern.ClassBusy
	w.stats.retried[class]++
	c.tries.next = next
	if pause > 0 {
		c.tries.paused = true
		w.wheel.arm(&c.timer, w.now+pause)
		return true
	}
	w.nextAttempt(c)
	return true
}

// nextAttempt begins the attempt that again has decided on.
func (w *worker) nextAttempt(c *call) {
	if c.tries.paused && !w.table.Holds(c.tries.next) {
		c.tries.next = nil
	}
	c.tries.paused = false
	w.wheel.arm(&c.timer, c.deadline)
	w.resubmit(c, c.keptCodec, c.kept)
}

// mayRetry is what call and policy say; whether there is somewhere to go and something to spend is asked later.
func (c *call) mayRetry(r *govern.Retry, class govern.Class) bool {
	switch {
	case c.d == nil || c.oneway || c.upload != nil || c.relayed || len(c.kept) == 0:
		return false
	case c.tries.retries >= uint8(r.Attempts) || c.tries.retries >= maxRetries || !r.On.Has(class):
		return false
	case class == govern.ClassBusy: // was not run; of what was handed over the remote proxy has tried others
		return !c.handed
	case class == govern.ClassFailed:
		return c.idempotent && !c.handed
	default:
		return c.idempotent
	}
}

// pauseBefore is how long to wait before a retry, in ns: the mean doubles with every one, and the pause is anything from
// nothing to twice the mean ("full jitter": M. Brooker, Exponential Backoff And Jitter, 2015), so that calls that failed
// together do not come back together.
func pauseBefore(r *govern.Retry, retries uint8, rnd *rand.Rand) int64 {
	mean := int64(r.Backoff) << retries
	if r.MaxBackoff > 0 {
		mean = min(mean, int64(r.MaxBackoff))
	}
	if mean <= 0 {
		return 0
	}
	return rnd.Int64N(2*mean + 1)
}

// attemptOver is the end of an attempt's own time, before the call's: another endpoint gets the call while the late reply
// is still owed to the sequence it has. false: it goes on waiting.
func (c *call) attemptOver() bool {
	w, u := c.w, c.up
	if u == nil || u.held || !c.mayRetry(c.retryOf(), govern.ClassDeadline) {
		return false
	}
	n := w.calls.get()
	if n == nil {
		return false
	}
	w.calls.active-- // the caller waits for one call, as before
	c.tries.came(govern.ClassDeadline, w.now-c.sentAt)
	c.handTo(n)
	if !w.again(n, govern.ClassDeadline) {
		n.handTo(c)
		w.calls.put(n)
		return false
	}
	w.tell(c, c.endpoint, c.sentAt, govern.ClassDeadline) // n may have ended, or gone to the remote tier
	if u.mode != cluster.Multiplexed {
		w.doom(&u.session, reasonAbandoned)
	} else {
		u.owed(c)
	}
	return true
}

// handTo has n take the place of c with its caller: its bounds, its slot, its frame. c is what is left on the connection,
// with what it owes there, and nobody waits for it any more. Done the other way round it is undone.
func (c *call) handTo(n *call) {
	d := c.d
	w, id := n.w, n.id
	up, unext, uprev, begin, end, sentAt, overdue := n.up, n.unext, n.uprev, n.begin, n.end, n.sentAt, n.overdue
	flow, flowEra, flowCost := n.flow, n.flowEra, n.flowCost
	to, kept, caller := n.to, n.kept, n.caller
	w.wheel.disarm(&c.timer)
	*n = *c
	n.w, n.id, n.timer = w, id, timer{fire: n}
	n.up, n.unext, n.uprev, n.begin, n.end, n.sentAt, n.overdue = up, unext, uprev, begin, end, sentAt, overdue
	n.flow, n.flowEra, n.flowCost = flow, flowEra, flowCost
	c.to, c.kept, c.caller = to, kept, caller
	c.to.Method = append(c.to.Method[:0], n.to.Method...) // what it is evidence of
	c.d, c.dnext, c.dprev, c.charged, c.permits = nil, nil, nil, 0, nil
	if n.dprev == nil {
		d.calls = n
	} else {
		n.dprev.dnext = n
	}
	if n.dnext != nil {
		n.dnext.dprev = n
	}
}

// clusterOf is the cluster that a call can go to now: the table may be another since it was chosen.
func (w *worker) clusterOf(c *call) *cluster.Cluster {
	if c.handed {
		return w.table.Remotes
	}
	return w.table.Lookup(c.to.Service)
}

// budgets bound, for one service and worker, the calls that are sent again: the load of a service that fails must not
// multiply. Loop only.
type budgets struct {
	retries  budget // of calls that may have run, or were shed
	requeues budget // of calls that are provably unsent
}

// budget is a share of the calls, and some a second besides.
type budget struct {
	left float64
	at   int64 // when it was last taken from
}

// budgetMost bounds what a budget saves up: calls that may be sent again at once.
const budgetMost = 1000

func (b *budget) earn(share float64) { b.left = min(b.left+share, budgetMost) }

// now is how many calls it allows at once.
func (b *budget) now(now int64, perSecond float64) float64 {
	if most := max(1, perSecond); b.at == 0 { // nothing was taken yet
		return max(b.left, most)
	} else if b.left < most {
		return min(most, b.left+perSecond*time.Duration(now-b.at).Seconds())
	}
	return b.left
}

func (b *budget) take(now int64, perSecond float64) bool {
	b.left, b.at = b.now(now, perSecond), now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// perWorker is a worker's part of what all have together.
func (w *worker) perWorker(n int) float64 { return float64(n) / float64(len(w.p.workers)) }
