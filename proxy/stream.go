package proxy

import (
	"math"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/cluster"
	"github.com/bellhop-mesh/bellhop/proxy/govern"
)

// This file forwards large frames while they arrive, so that a call of 64 MB takes no more memory than limits.window on
// either side. The frame's beginning goes the way of every call or reply as a stub (protocol/stub.go); its body follows
// piece by piece, walked before a piece of it leaves.
//
//	caller ─► downstream.upload ─► forward: walk, append ─► upstream.out      full: the caller's connection is parked
//	caller ◄─ downstream.out ◄─ append: relayed ◄─ upstream.relay ◄─ endpoint  full: the endpoint's connection is parked
//
// The connection to the endpoint belongs to this one call until both are over, and is closed when the call ends before
// its frame has. A deadline counts from the last byte of the call to the first of its reply; the pieces themselves have
// timeouts.frame and timeouts.write_stall. What can't be forwarded so (a body that has to be transcoded or inflated,
// unframed messages, hand-off connections, a reply whose turn has not come) is had whole first.

// upload is a large call on its way to an endpoint.
type upload struct {
	c    *call // nil: the call has ended; what still comes of it is dropped
	left int   // bytes of the body that are still to come
	tail int   // bytes of the frame after it
	walk protocol.StreamWalker
}

// relay is a large reply on its way to a caller.
type relay struct {
	c    *call // nil: nobody waits for it
	left int
	tail int
}

// large finds the body of a large frame that has begun to arrive and decodes the beginning as a stub into w.msg.
// body is its offset; 0: it is not forwarded while it arrives, or not yet. An error is about the stub.
func (s *session) large(begin []byte, codec protocol.Codec) (body, left int, err error) {
	w, size := s.w, s.scan.Need
	s.undecided = false
	h, ok := codec.(protocol.Header)
	if !ok || s.whole || size <= w.p.cfg.Limits.Window {
		return 0, 0, nil
	}
	switch body = h.Head(begin, size, &w.scratch); {
	case body == 0:
		s.undecided = true
		return 0, 0, nil
	case body < 0 || body+codec.Framing().Tail() >= size: // compressed, or without a body
		s.whole = true
		return 0, 0, nil
	}
	w.stub = protocol.AppendStub(w.stub[:0], begin[:body], codec.Framing())
	err = codec.Decode(w.stub, &w.msg, &w.scratch)
	return body, size - body - codec.Framing().Tail(), err
}

// beginUpload takes in a large call of which the beginning is there, and returns how much of it it used.
func (d *downstream) beginUpload(begin []byte) (used int) {
	if d.handoff {
		return 0
	}
	w, m := d.w, &d.w.msg
	body, left, err := d.large(begin, d.codec)
	switch {
	case body == 0:
		return 0
	case err != nil:
		d.malformed(m, err)
		return len(begin)
	case d.mustWait(m):
		d.blocked = true
		return 0
	case !d.opens(m):
		d.whole = true
		return 0
	}
	d.scan.Reset()
	d.upload = &upload{left: left, tail: d.codec.Framing().Tail()}
	d.upload.walk.Begin(m.Payload, left)
	d.schedule(w.now + int64(w.p.cfg.Timeouts.Frame))
	w.stats.uploads++
	m.Rest = left
	d.take(m)
	return body
}

// opens reports whether every endpoint that the call may go to takes its body as it is.
func (d *downstream) opens(m *protocol.Message) bool {
	cl := d.lookup(m)
	return cl != nil && cl.Opens(m.Payload)
}

// forward takes the next piece of a large call and returns how much of it it used: none while the call waits for a
// connection.
func (d *downstream) forward(b []byte) (used int) {
	up := d.upload
	if up.c == nil {
		return d.drop(b)
	}
	u := up.c.up
	if u == nil {
		return 0
	}
	n := min(len(b), up.left)
	last := n == up.left
	if last && len(b) < n+up.tail { // whether the last byte may leave is known at the frame's end
		n, last = n-1, false
	}
	if n == 0 {
		return 0
	}
	err := up.walk.Feed(b[:n])
	if err == nil && last && !protocol.IsTail(b[n:n+up.tail], d.codec.Framing()) {
		err = errTail
	}
	if err != nil {
		d.cut(err)
		return len(b)
	}
	u.pass(b[:n])
	up.left -= n
	if !last {
		return n
	}
	u.done(protocol.AppendTail(u.buffer(1), u.codec.Framing()))
	u.uploaded(up.c)
	return n + up.tail
}

var errTail = &protocol.Error{Code: protocol.CodeProtocolError, Reason: "bad_etx", Detail: "the last byte of the frame is not ETX (0x03)", Offset: -1}

// drop passes over what comes of a call that has ended.
func (d *downstream) drop(b []byte) (used int) {
	up := d.upload
	n := min(len(b), up.left)
	t := min(len(b)-n, up.tail)
	up.left, up.tail = up.left-n, up.tail-t
	if up.left+up.tail == 0 {
		d.upload = nil
	}
	return n + t
}

// cut ends a call whose body turned out to be malformed when a part of it had left.
func (d *downstream) cut(err error) {
	w := d.w
	w.stats.malformed[reasonWord(err)]++
	w.p.logMalformed(d, err)
	d.closing = reasonMalformed
	f := faultOf(err)
	f.Executed = true // nobody should have run half a call, but bytes of it have left
	w.fail(d.upload.c, f)
}

// feeds makes the connection that a large call was sent on its own.
func (u *upstream) feeds(c *call) {
	u.feeder, u.held = c.d, true
	c.end = math.MaxUint64 // not known yet
	u.w.wheel.disarm(&c.timer)
	c.d.again()
}

// uploaded: the last byte of a large call was taken. Its deadline begins.
func (u *upstream) uploaded(c *call) {
	w := u.w
	c.upload.c, c.upload, c.d.upload, u.feeder = nil, nil, nil, nil
	c.end, c.sentAt, u.lastActive = u.queued, w.now, w.now
	c.deadline, c.from = w.now+int64(c.allowed()), w.now
	w.wheel.arm(&c.timer, c.deadline)
	if u.mode == cluster.Multiplexed {
		u.schedule(w.now + u.stallAfter(c))
	}
}

// abandonUpload: the call ends before its frame has. What is left of it is dropped, and the endpoint, which has a part
// of it, loses its connection.
func (w *worker) abandonUpload(c *call) {
	if u := c.up; u != nil {
		u.feeder = nil
		w.doom(&u.session, reasonAbandoned)
	}
	d := c.d
	c.upload.c, c.upload = nil, nil
	d.again()
}

// again has the caller's connection read, and what waits of it looked at.
func (d *downstream) again() {
	d.unpark()
	if !d.waiting {
		d.waiting = true
		d.w.ready = append(d.w.ready, d)
	}
}

// beginRelay passes on a large reply of which the beginning is there, and returns how much of it it used.
func (u *upstream) beginRelay(begin []byte) (used int) {
	if u.hand != nil || u.nCalls != 1 {
		return 0
	}
	w, m := u.w, &u.w.msg
	body, left, err := u.large(begin, u.codec)
	if body == 0 || err != nil { // what is wrong with a stub is found again in the whole
		u.whole = u.whole || err != nil
		return 0
	}
	c := u.match(m)
	if c != nil && c.d != nil && (m.Type != protocol.MessageReply || c.oneway || c.spent || !c.to.Opens(m.Payload) || !c.d.turn(c)) {
		u.whole = true
		return 0
	}
	r := &relay{left: left, tail: u.codec.Framing().Tail()}
	u.scan.Reset()
	u.relay, u.held = r, true
	w.stats.relays++
	if c == nil || c.d == nil { // stray or late: as ever, and the rest is dropped
		u.take(m)
		return body
	}
	if err := c.d.relayHead(c, m, left); err != nil {
		u.finished(c)
		w.fail(c, badReply(err))
		return body
	}
	if m.GoingAway {
		u.pool.leaving(u)
	}
	r.c, c.relayed, c.d.relay = c, true, u
	w.wheel.disarm(&c.timer)
	w.observe(c, govern.ClassOK) // no exception is passed on in this way
	u.schedule(w.now + int64(w.p.cfg.Timeouts.Frame))
	return body
}

// turn reports whether the call's reply may be written now and piece by piece: nothing may come between.
func (d *downstream) turn(c *call) bool {
	if d.outOfOrder {
		return d.inFlight == 1
	}
	return d.conn != nil && c.slot == d.head
}

// relayHead writes the beginning of a reply whose body of size bytes follows.
func (d *downstream) relayHead(c *call, m *protocol.Message, size int) error {
	out := d.buffer(len(m.Frame) + headroom)
	base := len(out)
	out, err := d.codec.AppendReply(out, m, &c.to, &d.w.scratch)
	if err == nil {
		out, err = protocol.Open(out, base, size, d.codec.Framing())
	}
	if err == nil {
		d.done(out)
	}
	return err
}

// relayed takes the next piece of a large reply and returns how much of it it used.
func (u *upstream) relayed(b []byte) (used int) {
	r := u.relay
	n := min(len(b), r.left)
	t := min(len(b)-n, r.tail)
	r.left, r.tail = r.left-n, r.tail-t
	over := r.left+r.tail == 0
	if c := r.c; c != nil {
		c.d.pass(b[:n])
		u.w.replied(c, n)
		if over {
			u.relayOver(c)
		}
	}
	if over {
		u.relay = nil
	}
	return n + t
}

func (u *upstream) relayOver(c *call) {
	d := c.d
	c.relayed, d.relay, u.relay = false, nil, nil
	d.done(protocol.AppendTail(d.buffer(1), d.codec.Framing()))
	if !d.outOfOrder {
		d.slots[0].done = true
		d.popSlots()
	}
	u.finished(c)
	if u.mode != cluster.Multiplexed {
		u.retire(u.w.now + 1)
	}
	u.w.finish(c, protocol.CodeOK)
}

// abandonRelay: a reply of which the caller has a part will not come to its end.
func (w *worker) abandonRelay(c *call) {
	d := c.d
	c.relayed, d.relay = false, nil
	if u := c.up; u != nil {
		u.relay = nil
		w.doom(&u.session, reasonAbandoned)
	}
	w.doom(&d.session, reasonCut)
}

// full reports whether a connection holds as many bytes as one may of a large frame on its way.
func (s *session) full() bool { return s.waitingBytes() >= s.w.p.cfg.Limits.Window }

// moving reports whether the next piece is the caller's to bring: the call does not wait for a connection.
func (up *upload) moving() bool { return up.c == nil || up.c.up != nil }

// overfed gives a caller up whose connection could not be parked, because it does not take its replies, while it goes on
// bringing what the endpoint does not take.
func (d *downstream) overfed(u *upstream) {
	if d.conn != nil && u.waitingBytes() > 16*d.w.p.cfg.Limits.Window {
		d.w.doom(&d.session, reasonBytes)
	}
}

// late reports whether the next piece of a large frame is overdue. A connection that is not read from is not late.
func (s *session) late(now int64) bool {
	return !s.away && now >= s.lastActive+int64(s.w.p.cfg.Timeouts.Frame)
}

// pieceDue is when to look for it again.
func (s *session) pieceDue(now int64) int64 {
	frame := int64(s.w.p.cfg.Timeouts.Frame)
	if due := s.lastActive + frame; due > now {
		return due
	}
	return now + frame
}
