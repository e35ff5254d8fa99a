package proxy

import (
	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/fair"
)

// This file is the queues that calls wait in: those of pools, in which workloads and sources take turns, and plain ones.
//
// Connections to an endpoint are what is scarce in a pool, so a call costs the time for which it has one. Beforehand that is
// what its source's calls have taken here lately; when its reply has come the difference is made up for.

// poolQuantum is what a source of weight 1 may have of an endpoint's time in one turn, in ns. Turns that nobody can take,
// since all owe for long calls, are skipped at once; so it is as short as a quick call.
const poolQuantum = 100_000

// waiting is how many calls wait for a connection.
func (p *pool) waiting() int {
	if p.queue == nil {
		return 0
	}
	return p.queue.Len()
}

// next returns the call whose turn it is; one waits.
func (p *pool) next() *call { return p.queue.Next().Value }

// place finds a place in the queue. Where it is full a call of a source that holds less than its share has the newest of the
// source give way that holds the most: over is its flow. Any other code than CodeOK: there is no place.
func (p *pool) place(c *call) (over *fair.Flow[*call], code protocol.Code) {
	if c.src.queued.Load() >= int64(p.w.p.cfg.Limits.SourceQueued) {
		return nil, protocol.CodeSourceQueue
	}
	if p.waiting() < p.cluster.MaxPending {
		return nil, protocol.CodeOK
	}
	if p.waiting() == 0 { // nobody may wait here
		return nil, protocol.CodeQueueFull
	}
	f := p.flowOf(c.src)
	if over = p.queue.Over(f); over == nil {
		p.queue.Refuse(f)
		return nil, protocol.CodeQueueFull
	}
	return over, protocol.CodeOK
}

func (p *pool) flowOf(src *source) *fair.Flow[*call] {
	return p.queue.Flow(src, src.teamName(), src.weight.Load(), src.workloadWeight.Load())
}

// wait keeps the call's frame: what it was read from will be overwritten.
func (p *pool) wait(c *call, m *protocol.Message) {
	if m != &p.w.retry {
		c.kept, c.keptCodec = append(c.kept[:0], m.Frame...), c.d.codec
	}
	if p.queue == nil {
		p.queue = &fair.Book[*source, *call]{}
		p.queue.Init(poolQuantum)
	}
	if p.queue.Len() == 0 { // nobody wants for anything: who has had more owes it to nobody
		p.queue.Forgive()
	}
	c.pool, c.item.Value = p, c
	p.queue.Push(p.flowOf(c.src), &c.item)
	c.src.queued.Add(1)
	p.endpoint.States[p.w.id].Active++
}

// remove takes a waiting call out.
func (p *pool) remove(c *call) {
	p.queue.Remove(&c.item)
	c.pool = nil
	c.src.queued.Add(-1)
	p.endpoint.States[p.w.id].Active--
}

// displace has the newest call of a flow give way. It goes on at the end of the batch (moveOn): to another endpoint, to the
// remote tier, or with a fault.
func (p *pool) displace(f *fair.Flow[*call]) {
	c := p.queue.Newest(f).Value
	p.remove(c)
	c.displaced = true
	c.tries.turnedAway(protocol.CodeQueueFull)
	p.w.displaced.push(c)
	p.w.stats.displaced++
}

// moveOn has those go on that had to give way.
func (w *worker) moveOn() {
	for c := w.displaced.head(); c != nil; c = w.displaced.head() {
		w.displaced.remove(c)
		w.resubmit(c, c.keptCodec, c.kept)
	}
}

// pay charges a call that is about to be sent to its source.
func (p *pool) pay(c *call) {
	f := c.item.Flow()
	cost := f.Typical
	if cost == 0 {
		cost = int64(p.endpoint.States[p.w.id].Latency)
	}
	c.flow, c.flowEra, c.flowCost = f, f.Generation(), max(cost, callCost)+bytesCost(c.size)
	p.queue.Charge(f, c.flowCost)
}

// settle makes up for the difference when a call that has waited comes off its connection.
func (p *pool) settle(c *call) {
	f := c.flow
	c.flow = nil
	if f.Generation() != c.flowEra {
		return // the account was closed
	}
	took := p.w.now - c.sentAt
	if f.Typical == 0 {
		f.Typical = took
	}
	f.Typical += (took - f.Typical) / 8
	p.queue.Charge(f, max(took, callCost)+bytesCost(c.size)-c.flowCost)
}

// callQueue holds calls that wait for something else than a connection, oldest first. Loop only.
type callQueue struct {
	list  fair.List[*call]
	owner queueOwner // nil: nobody wants to know
}

func (q *callQueue) push(c *call) {
	c.queue, c.item.Value = q, c
	q.list.Push(&c.item)
	if c.d == nil {
		c.w.lookups.orphans++
	}
}

func (q *callQueue) remove(c *call) {
	q.list.Remove(&c.item)
	c.queue = nil
	if c.d == nil {
		c.w.lookups.orphans--
	}
	if q.owner != nil {
		q.owner.left(c)
	}
}

// head returns the oldest, nil when there is none.
func (q *callQueue) head() *call {
	if i := q.list.First(); i != nil {
		return i.Value
	}
	return nil
}

// behind returns the call that came to a callQueue after this one, nil when there is none.
func (c *call) behind() *call {
	if i := c.item.Next(); i != nil {
		return i.Value
	}
	return nil
}

// unqueue takes a call out of the queue that it waits in, if it does.
func (c *call) unqueue() {
	switch {
	case c.pool != nil:
		c.pool.remove(c)
	case c.queue != nil:
		c.queue.remove(c)
	}
}
