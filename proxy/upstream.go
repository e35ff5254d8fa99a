package proxy

import (
	"github.com/panjf2000/gnet/v2"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/cluster"
	"github.com/bellhop-mesh/bellhop/proxy/govern"
)

// upstream is a connection to an endpoint. It is a border between pods: every call on it carries our own sequence, and
// a reply that matches no call in flight on it ends it. Loop only.
type upstream struct {
	session
	pool     *pool
	endpoint *cluster.Endpoint
	codec    protocol.Codec
	mode     cluster.Mode
	calls    *call // list by unext: everything that is owed a reply or not yet written
	nCalls   int
	oneways  int // of them, those that end when their bytes have left
	openedAt int64
	idleAt   int64
	bytes    int64   // of the calls on it
	spent    []*call // oneways whose bytes have left: they keep their sequences for a while (oneway.go)
	idle     bool    // is in pool.idle
	left     bool    // takes no more calls
	spoke    bool    // the peer has sent something
	overdue  int     // calls that missed their deadline and are still owed a reply
	yielded  bool    // its place is another worker's
	hand     *handoffState
	held     bool        // by one call with a large frame
	feeder   *downstream // whose large call is on its way
	relay    *relay      // a large reply that is on its way
	counted  int64
}

func (u *upstream) begun(c gnet.Conn) {
	w := u.w
	u.conn, u.owner, u.timer.fire, u.opened = c, u, u, true
	u.openedAt, u.lastActive = w.now, w.now
	w.ups[u] = struct{}{}
	w.load.Add(1)
	w.stats.connected++
	u.pool.connecting--
	if u.pool.retired {
		w.doom(&u.session, reasonRetired)
		return
	}
	if u.hand != nil {
		u.sendHello()
		return
	}
	u.endpoint.States[w.id].Connected()
	u.pool.ready(u)
}

// closed takes care of every call that was on the connection: what is provably unsent goes elsewhere, what was written
// is lost.
func (u *upstream) closed(err error) {
	w := u.w
	reason := u.doomedFor
	if reason == "" {
		reason = reasonOf(err)
	}
	out, first := u.out[u.outAt:], u.handed
	u.session.detach()
	delete(w.ups, u)
	w.load.Add(-1)
	u.endpoint.Conns.Add(-1)
	if u.hand != nil {
		u.count(0)
	}
	u.account()
	u.retire(w.now + 1)
	if u.fruitless() {
		u.endpoint.States[w.id].ConnectFailed(w.now)
	}
	u.pool.lost(u)
	w.stats.closedUp[reason]++
	w.p.logClose("endpoint", reason, err, u)
	for c := u.calls; c != nil; {
		next := c.unext
		u.finished(c)
		w.lost(c, u.codec, out, first, u.lastActive < c.sentAt && w.now-c.sentAt < idleCheck)
		c = next
	}
	w.bufs.put(u.out)
	u.out, u.outAt = nil, 0
}

// fruitless reports whether the peer closed the connection before anything was said on it, as a full or refusing server
// does: connecting again at once would only do it again. A server that was sent a call may have closed for the call's
// sake: that must not cost other callers the endpoint, and each such connect costs a call.
func (u *upstream) fruitless() bool {
	if u.hand != nil && !u.hand.admitted {
		return true
	}
	return u.doomedFor == "" && !u.spoke && u.handed == 0 && u.w.now-u.openedAt < int64(u.w.p.cfg.Timeouts.Connect)
}

// lost deals with one call of a closed connection. out are the bytes that were never handed to gnet; they begin at
// stream offset first. raced: the peer closed a connection that had been idle at about the time of the write.
func (w *worker) lost(c *call, codec protocol.Codec, out []byte, first uint64, raced bool) {
	class := govern.ClassLost
	if raced {
		class = govern.ClassRaced
	}
	if c.begin < first && !c.hello && c.d != nil {
		w.observe(c, class)
	}
	switch {
	case c.hello || c.d == nil && !c.oneway:
		w.calls.put(c)
	case c.relayed:
		w.finish(c, protocol.CodeLost)
	case c.begin >= first && c.end-first <= uint64(len(out)):
		w.requeue(c, codec, out[c.begin-first:c.end-first])
	default:
		if raced {
			w.stats.lostRaced++
		}
		if w.again(c, class) {
			return
		}
		w.fail(c, protocol.Fault{Code: protocol.CodeLost, Message: describe(protocol.CodeLost, c), Executed: true})
	}
}

// send appends a call to what waits to be written.
func (u *upstream) send(c *call, m *protocol.Message) {
	w := u.w
	m.KeepPrefix = c.cluster.KeepPrefix
	m.Extra = m.Extra[:0]
	if u.hand != nil {
		u.handoffExtra(c, m)
	}
	s := &w.scratch
	if m == &w.retry {
		s = &w.resend
	}
	out, err := u.appendCall(u.buffer(len(m.Frame)+headroom), c, m, s)
	if err != nil {
		u.pool.giveBack(u)
		w.fail(c, faultOf(err))
		return
	}
	c.keepFrame(m)
	c.endpoint, c.up = u.endpoint, u
	c.begin = u.queued
	u.done(out)
	c.end = u.queued
	c.sentAt = w.now
	u.attach(c)
	c.attemptBegins()
	if c.upload != nil {
		u.feeds(c)
	}
	if c.oneway && !u.endpoint.Wire.Framing.Multiplexed() {
		u.oneways++
	}
	if u.mode == cluster.Multiplexed && u.nCalls == 1 && !u.held {
		u.lastActive = w.now
		u.schedule(w.now + u.stallAfter(c))
	}
}

// appendCall writes a call, or the beginning of a large one.
func (u *upstream) appendCall(dst []byte, c *call, m *protocol.Message, s *protocol.Scratch) ([]byte, error) {
	to := u.endpoint.Wire
	if c.upload != nil && !to.Opens(m.Payload) {
		return dst, errNotOpen
	}
	base := len(dst)
	out, err := u.codec.AppendCall(dst, m, to, c.id, s)
	if err == nil && c.upload != nil {
		out, err = protocol.Open(out, base, c.upload.left, to.Framing)
	}
	return out, err
}

var errNotOpen = &protocol.Error{
	Code: protocol.CodeNoEndpoint, Reason: "not_open", Offset: -1,
	Detail: "the call is too large to be had whole, and the service's endpoints speak another framing since it began",
}

func (u *upstream) attach(c *call) {
	if c.unext = u.calls; c.unext != nil {
		c.unext.uprev = c
	}
	u.calls = c
	u.nCalls++
	u.bytes += int64(c.size)
	u.endpoint.States[u.w.id].Active++
}

// match finds the call in flight on this connection that a reply belongs to.
func (u *upstream) match(m *protocol.Message) *call {
	if u.pool.cluster.Positional {
		if u.nCalls == 1 && u.calls.begin < u.handed {
			return u.calls
		}
		return nil
	}
	c := u.w.calls.find(m.Seq)
	if c == nil || c.up != u || c.begin >= u.handed {
		return nil
	}
	return c
}

// finished takes a call off the connection. The connection is free for another unless it was given up.
func (u *upstream) finished(c *call) {
	if c.uprev == nil {
		u.calls = c.unext
	} else {
		c.uprev.unext = c.unext
	}
	if c.unext != nil {
		c.unext.uprev = c.uprev
	}
	c.unext, c.uprev, c.up = nil, nil, nil
	if c.flow != nil {
		u.pool.settle(c)
	}
	if c.overdue {
		c.overdue = false
		u.overdue--
	}
	u.nCalls--
	u.bytes -= int64(c.size)
	u.endpoint.States[u.w.id].Active--
	if c.upload != nil {
		u.feeder = nil
		u.w.doom(&u.session, reasonAbandoned) // it has a part of the call
	}
	u.held = u.held && u.nCalls > 0
	if u.conn != nil {
		u.pool.giveBack(u)
	}
}

// readable takes replies.
func (u *upstream) readable() {
	buf := u.receive()
	if u.doomedFor != "" {
		return
	}
	if buf == nil { // a large reply is still coming
		u.checkBytes()
		return
	}
	u.spoke = true
	w, m, used := u.w, &u.w.msg, 0
	for used < len(buf) && u.conn != nil && u.doomedFor == "" {
		if u.relay != nil {
			used += u.relayed(buf[used:])
			continue
		}
		n, err := u.codec.Split(&u.scan, buf[used:], w.p.cfg.Limits.MaxFrame)
		if err == nil && n == 0 {
			if n = u.beginRelay(buf[used:]); n == 0 {
				break
			}
			used += n
			continue
		}
		if err == nil {
			err = u.codec.Decode(buf[used:used+n], m, &w.scratch)
		}
		if err != nil {
			w.stats.badReplies[reasonWord(err)]++
			w.p.logMalformed(u, err)
			w.doom(&u.session, reasonBadReply)
			return
		}
		u.scan.Reset()
		u.whole = false
		used += n
		u.take(m)
	}
	u.keep(buf, used)
	u.partialSince = 0 // an endpoint's slowness is the deadline's business
	if len(u.in) > 0 || u.counted > 0 {
		u.checkBytes()
	}
}

func (u *upstream) checkBytes() {
	u.account()
	if u.w.p.bytes.Load() > u.w.p.cfg.Limits.TotalBytes {
		u.w.doom(&u.session, reasonBytes)
	}
}

// backlogged: the endpoint does not take its calls; their bytes are counted with their callers.
func (u *upstream) backlogged() {
	if d := u.feeder; d != nil && u.full() {
		d.park()
		d.overfed(u)
	}
}

func (u *upstream) take(m *protocol.Message) {
	switch {
	case m.Type == protocol.MessageHeartbeat: // swallowed, never echoed: the server echoes too
	case u.hand != nil && !u.hand.admitted:
		u.helloReply(m)
	default:
		if u.hand != nil {
			u.handoffReply(m)
		}
		if m.GoingAway { // before the reply frees the connection for the next call
			u.pool.leaving(u)
		}
		u.w.onReply(u, m)
	}
}

// flushed ends the oneway calls: their bytes have left.
func (u *upstream) flushed() {
	if u.counted != 0 {
		u.account()
	}
	if u.feeder != nil {
		u.feeder.unpark()
	}
	for c := u.calls; c != nil && u.oneways > 0; {
		next := c.unext
		if c.oneway && c.end <= u.handed {
			u.oneways--
			if u.pool.cluster.Positional { // an answer all the same would be taken for the next call's
				u.left = true
			}
			u.finished(c)
			u.spend(c)
			u.w.finish(c, protocol.CodeOK)
		}
		c = next
	}
}

// room reports whether one more call may be in flight here.
func (u *upstream) room() bool {
	if u.doomedFor != "" || u.held {
		return false
	}
	if u.hand != nil {
		return u.granted()
	}
	return u.nCalls < u.pool.cluster.Depth
}
