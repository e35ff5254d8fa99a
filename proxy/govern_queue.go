package proxy

import (
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/govern"
)

// This file lets calls wait for a limit that says over: queue.
//
//	limits ─► enqueue ─► limitQueue.calls ─┬─ the rate has earned one (wheel) ──┬─► serve ─► goOnLimited ─► governed
//	                                       ├─ a call of its key ends (released) ─┘
//	                                       ├─ queue_for has passed ────────────► fail
//	                                       └─ deadline, caller gone ───────────► fail, cancel
//
// Every worker has a queue of its own for each key, first come first served. How many wait for a key and of a source is
// counted over all workers.

// queueOwner is told when a call leaves a callQueue, by whatever way.
type queueOwner interface{ left(c *call) }

// limitQueue is the calls that wait for one key of a limit. Loop only.
type limitQueue struct {
	w      *worker
	bucket *govern.Bucket
	calls  callQueue
	timer  timer
	ready  bool // is in limitQueues.over
}

// limitQueues are a worker's. Loop only.
type limitQueues struct {
	byBucket map[*govern.Bucket]*limitQueue
	over     []*limitQueue // of whose keys a call has ended
	waiting  int
}

// limitRecheck is how long a worker goes without a look at a limit on calls in flight: those of other workers end unheard.
const limitRecheck = 5 * time.Millisecond

// enqueue has a call wait for its limit i. Otherwise it returns what is full.
func (w *worker) enqueue(c *call, m *protocol.Message, i int, b *govern.Bucket, wait int64) (full string) {
	l, lim := c.policy.Limits[i], &w.p.cfg.Limits
	if !b.Join(l.QueueMost) {
		return ", and too many calls wait already (queue_most)"
	}
	if c.src.queued.Add(1) > int64(lim.SourceQueued) {
		c.src.queued.Add(-1)
		b.Leave()
		return ", and source " + c.src.Source + " has too many calls waiting already (limits.source_queued)"
	}
	if c.dry != nil {
		b.Leave()
		c.src.queued.Add(-1)
		c.wouldQueue(l, b)
		return ""
	}
	q := w.limitQueues.byBucket[b]
	if q == nil {
		q = &limitQueue{w: w, bucket: b}
		q.calls.owner, q.timer.fire = q, q
		if w.limitQueues.byBucket == nil {
			w.limitQueues.byBucket = map[*govern.Bucket]*limitQueue{}
		}
		w.limitQueues.byBucket[b] = q
	}
	if m != &w.retry {
		c.kept, c.keptCodec = append(c.kept[:0], m.Frame...), c.d.codec
	}
	c.limit, c.queuedAt = int32(i), w.now
	q.calls.push(c)
	w.limitQueues.waiting++
	if q.calls.head() == c {
		q.schedule(wait)
	}
	return ""
}

// until is when a call has waited long enough.
func (q *limitQueue) until(c *call) int64 {
	return c.queuedAt + int64(c.policy.Limits[c.limit].QueueFor)
}

// schedule sets when to look again: when the rate allows a call, which is in wait ns (below 0: a call has to end), and at the
// end of the first one's time.
func (q *limitQueue) schedule(wait int64) {
	if wait < 0 {
		wait = int64(limitRecheck)
	}
	q.w.wheel.arm(&q.timer, min(q.w.now+wait, q.until(q.calls.head())))
}

func (q *limitQueue) expired(int64) { q.serve() }

// left: a call does not wait any more.
func (q *limitQueue) left(c *call) {
	w := q.w
	q.bucket.Leave()
	c.src.queued.Add(-1)
	w.limitQueues.waiting--
	c.queued += w.now - c.queuedAt
	if q.calls.head() == nil {
		w.wheel.disarm(&q.timer)
		delete(w.limitQueues.byBucket, q.bucket)
	}
}

// serve lets calls go on while the limit allows it, at most goOnShare at once.
func (q *limitQueue) serve() {
	w := q.w
	for share := goOnShare; ; share-- {
		c := q.calls.head()
		switch {
		case c == nil:
			return
		case share == 0:
			q.schedule(1)
			return
		case q.until(c) <= w.now:
			l := c.policy.Limits[c.limit]
			q.calls.remove(c)
			w.counts(l.Rule).Outcomes[govern.QueueLate]++
			w.beyond(c, l, q.bucket, ", and none was free within "+l.QueueFor.String()+" (queue_for)")
			continue
		}
		if wait := q.bucket.Take(w.now); wait != 0 {
			q.schedule(wait)
			return
		}
		q.calls.remove(c)
		w.counted(c, q.bucket)
		w.goOnLimited(c)
	}
}

// released: a call has ended that a limit counts for which others wait.
func (w *worker) released(b *govern.Bucket) {
	if q := w.limitQueues.byBucket[b]; q != nil && !q.ready {
		q.ready = true
		w.limitQueues.over = append(w.limitQueues.over, q)
	}
}

// serveLimits looks at the queues of whose keys a call has ended.
func (w *worker) serveLimits() {
	s := &w.limitQueues
	for len(s.over) > 0 {
		q := s.over[len(s.over)-1]
		s.over = s.over[:len(s.over)-1]
		q.ready = false
		w.run(q.serve)
	}
}

// goOnLimited takes a call up that has waited for a limit, with the limits that are left.
func (w *worker) goOnLimited(c *call) {
	if c.d == nil && c.deadline <= w.now {
		w.calls.put(c)
		return
	}
	if m := w.readAgain(c); m != nil && w.limits(c, m, int(c.limit)+1) {
		w.governed(c, m)
	}
}

// limited reports whether a call waits for a limit.
func (c *call) limited() bool {
	if c.queue == nil {
		return false
	}
	_, ok := c.queue.owner.(*limitQueue)
	return ok
}
