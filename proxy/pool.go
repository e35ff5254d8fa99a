package proxy

import (
	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/cluster"
	"github.com/bellhop-mesh/bellhop/proxy/fair"
	"github.com/bellhop-mesh/bellhop/proxy/govern"
)

// pool is one worker's connections to one endpoint, and the calls that wait for one. Loop only.
type pool struct {
	w          *worker
	cluster    *cluster.Cluster
	endpoint   *cluster.Endpoint
	idle       []*upstream // exclusive: free, the most recently used last
	open       []*upstream // multiplexed: all that may take calls
	conns      int         // open and connecting, of this worker
	connecting int
	queue      *fair.Book[*source, *call] // calls that wait (queue.go); nil: none has yet
	retired    bool                       // the endpoint has left the table
	yield      bool                       // another worker has calls waiting and no connection
	notBefore  int64                      // a place was given up for another worker: it is not taken back before, worker clock
	timer      timer
}

func (w *worker) poolOf(cl *cluster.Cluster, e *cluster.Endpoint) *pool {
	s := &e.States[w.id]
	if p, ok := s.Pool.(*pool); ok {
		p.cluster = cl
		return p
	}
	p := &pool{w: w, cluster: cl, endpoint: e}
	p.timer.fire = p
	s.Pool = p
	w.pools = append(w.pools, p)
	return p
}

// submit sends the call on a free connection, or has it wait for one. Any other code than CodeOK: this endpoint can't
// take it.
func (p *pool) submit(c *call, m *protocol.Message) protocol.Code {
	if c.dry != nil {
		return p.wouldTake(c)
	}
	if u := p.takeFor(c); u != nil {
		u.send(c, m)
		return protocol.CodeOK
	}
	if p.backsOff() {
		return protocol.CodeConnect
	}
	over, code := p.place(c)
	if code != protocol.CodeOK {
		return code
	}
	p.wait(c, m)
	if over != nil {
		p.displace(over)
	}
	p.grow()
	return protocol.CodeOK
}

// backsOff reports whether there is no connection and none may be opened yet.
func (p *pool) backsOff() bool { return p.conns == 0 && p.endpoint.States[p.w.id].DownUntil > p.w.now }

// take returns a connection that may take one more call now, nil if there is none.
func (p *pool) take() *upstream {
	if p.cluster.Mode == cluster.Multiplexed {
		var best, void *upstream
		for _, u := range p.open {
			if u.expiredGrant() {
				void = u
			}
			if u.room() && (best == nil || u.nCalls < best.nCalls) {
				best = u
			}
		}
		if void != nil { // its place is for a new one, which begins with a hello
			p.leaving(void)
		}
		return best
	}
	for n := len(p.idle); n > 0; n = len(p.idle) {
		u := p.idle[n-1]
		p.idle = p.idle[:n-1]
		u.idle = false
		if u.doomedFor == "" && u.alive() {
			return u
		}
		p.w.stats.staleIdle++
		p.w.doom(&u.session, reasonPeer)
	}
	return nil
}

// takeFor is take for a call that may need a connection of its own: a large one's body must not hold up others.
func (p *pool) takeFor(c *call) *upstream {
	if c.upload == nil || p.cluster.Mode != cluster.Multiplexed {
		return p.take()
	}
	for _, u := range p.open {
		if u.nCalls == 0 && u.room() {
			return u
		}
	}
	return nil
}

// grow opens connections for the calls that wait, within the bounds of the endpoint.
func (p *pool) grow() {
	if p.conns == 0 && p.w.now < p.notBefore {
		p.again(p.notBefore)
		return
	}
	if p.conns == 0 && p.endpoint.States[p.w.id].DownUntil > p.w.now {
		return // backing off: no connect storm
	}
	want := p.waiting()
	if p.cluster.Mode == cluster.Multiplexed {
		want = min(want, 1) // another one only when those that stand are full
	}
	for p.connecting < min(want, p.w.p.cfg.Limits.ConnectsOpen) {
		if int(p.endpoint.Conns.Add(1)) > p.cluster.MaxConns {
			p.endpoint.Conns.Add(-1)
			if p.conns == 0 {
				p.beg()
			}
			return
		}
		p.conns++
		p.connecting++
		p.dial()
	}
}

// beg asks the other workers for a connection's place when they hold them all, and looks again soon.
func (p *pool) beg() {
	if p.timer.slot != 0 {
		return // has asked, and looks again soon
	}
	e := p.endpoint
	for _, o := range p.w.p.workers {
		if o != p.w {
			o.do(func() { o.yield(e) })
		}
	}
	p.again(p.w.now + begAgain)
}

func (p *pool) again(due int64) {
	if p.timer.slot == 0 {
		p.w.wheel.arm(&p.timer, due)
	}
}

// Workers that share too few connections take turns, all in ns: who waits looks every begAgain, who holds one keeps it
// for keepFor while it has calls, and who gave one up leaves the place to others for leaveFor.
const (
	begAgain = int64(4e6)
	keepFor  = int64(20e6)
	leaveFor = 3 * begAgain
)

// yield gives one connection to e up: an idle one now, else the next that becomes free.
func (w *worker) yield(e *cluster.Endpoint) {
	p, ok := e.States[w.id].Pool.(*pool)
	if !ok || p.conns == 0 {
		return
	}
	switch {
	case len(p.idle) > 0:
		p.notBefore = w.now + leaveFor
		w.doom(&p.idle[0].session, reasonSurplus)
		p.forget(p.idle[0])
		w.closeDoomed()
	case len(p.open) > 0 && w.now >= p.open[0].openedAt+keepFor:
		p.open[0].yielded = true
		p.leaving(p.open[0])
		w.closeDoomed()
	default:
		p.yield = true
	}
}

// expired: calls have waited for a place.
func (p *pool) expired(int64) {
	if p.waiting() > 0 {
		p.grow()
	}
}

// dialFailed backs off and finds another endpoint for the calls that waited: they are provably unsent.
func (p *pool) dialFailed(err error) {
	w := p.w
	p.conns--
	p.connecting--
	p.endpoint.Conns.Add(-1)
	p.endpoint.States[w.id].ConnectFailed(w.now)
	w.observeConnect(p.cluster, p.endpoint)
	w.stats.connectErrors++
	w.p.cfg.Log.Debug("connect failed", "service", p.cluster.Name, "endpoint", p.endpoint.String(), "error", err)
	if p.conns > 0 {
		return // the calls wait for the connections that stand
	}
	p.scatter(true)
}

// scatter sends every waiting call on to another endpoint. refused: no connection could be opened here.
func (p *pool) scatter(refused bool) {
	for n := p.waiting(); n > 0; n-- { // not "while any": a call may come back here
		c := p.next()
		p.remove(c)
		if refused {
			c.tries.came(govern.ClassConnect, 0)
		}
		p.w.requeue(c, c.keptCodec, c.kept)
	}
}

// ready: a connection was opened.
func (p *pool) ready(u *upstream) {
	u.idleAt = p.w.now
	if u.mode == cluster.Multiplexed {
		p.open = append(p.open, u)
		p.serve()
		u.schedule(p.w.now + int64(p.w.p.cfg.Timeouts.UpstreamIdle))
	} else {
		p.free(u)
	}
	if p.waiting() > 0 { // more than were being connected
		p.grow()
	}
}

// serve gives waiting calls to connections while there are both.
func (p *pool) serve() {
	for p.waiting() > 0 {
		u := p.takeFor(p.next())
		if u == nil {
			return
		}
		p.sendNext(u)
	}
}

// sendNext sends the call whose turn it is.
func (p *pool) sendNext(u *upstream) {
	c := p.next()
	p.pay(c)
	p.remove(c)
	m, err := p.w.keptMessage(c)
	if err != nil {
		p.giveBack(u)
		p.w.fail(c, protocol.Fault{Code: protocol.CodeInternal, Message: "the call could not be read again: " + err.Error()})
		return
	}
	u.send(c, m)
}

// giveBack: a call of u has ended.
func (p *pool) giveBack(u *upstream) {
	if u.nCalls > 0 || u.conn == nil {
		if u.mode == cluster.Multiplexed {
			p.serve()
		}
		return
	}
	u.idleAt = p.w.now
	switch {
	case u.mode == cluster.Multiplexed:
		if u.aged() && !u.left {
			p.leaving(u)
		}
		p.serve()
		if (p.retired || u.left) && u.nCalls == 0 {
			p.w.doom(&u.session, reasonRetired)
		}
	case u.mode == cluster.PerCall && u.queued > 0:
		p.w.doom(&u.session, reasonPerCall)
	case u.doomedFor != "":
	default:
		p.free(u)
	}
}

// free gives an exclusive connection to the waiting call whose turn it is, or keeps it.
func (p *pool) free(u *upstream) {
	turn := p.yield && p.w.now >= u.openedAt+keepFor // another worker's
	switch {
	case u.left:
		p.w.doom(&u.session, reasonSurplus)
	case p.waiting() > 0 && !turn:
		p.sendNext(u)
	case p.yield:
		p.yield, u.yielded = false, true
		p.w.doom(&u.session, reasonSurplus)
	case p.retired, u.aged():
		p.w.doom(&u.session, reasonSurplus)
	case len(p.idle) >= p.w.p.cfg.Limits.IdlePerPool:
		p.w.doom(&u.session, reasonSurplus)
	default:
		u.idle = true
		p.idle = append(p.idle, u)
		u.schedule(p.w.now + int64(p.w.p.cfg.Timeouts.UpstreamIdle))
	}
}

// leaving: the peer announced that it closes, or another worker needs the place; no new calls go there.
func (p *pool) leaving(u *upstream) {
	p.forget(u)
	u.left = true
	if u.nCalls == 0 {
		p.w.doom(&u.session, reasonSurplus)
	}
}

// lost: a connection was closed.
func (p *pool) lost(u *upstream) {
	p.conns--
	p.forget(u)
	if u.yielded {
		p.notBefore = p.w.now + leaveFor
	}
	if p.waiting() > 0 {
		p.grow()
		if p.conns == 0 && p.timer.slot == 0 {
			p.scatter(false)
		}
	}
}

func (p *pool) forget(u *upstream) {
	p.open = without(p.open, u)
	if u.idle {
		u.idle = false
		p.idle = without(p.idle, u)
	}
}

func without(list []*upstream, u *upstream) []*upstream {
	for i, o := range list {
		if o == u {
			return append(list[:i], list[i+1:]...)
		}
	}
	return list
}
