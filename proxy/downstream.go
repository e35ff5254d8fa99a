package proxy

import (
	"github.com/panjf2000/gnet/v2"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/cluster"
	"github.com/bellhop-mesh/bellhop/proxy/fair"
	"github.com/bellhop-mesh/bellhop/remote"
)

// downstream is a caller's connection. Plain Thrift connections get their replies in the order of their calls: each
// call has a slot (slots.go), a reply that comes early is held. Loop only.
type downstream struct {
	session
	l          *listener
	src        *source
	codec      protocol.Codec
	verified   bool // came over TLS with a verified client certificate
	outOfOrder bool // replies are matched by sequence
	handoff    bool // an admitted hand-off connection
	grant      remote.Grant
	peak       int          // calls in flight, the most since a grant was told
	told       remote.Grant // a smaller one, when the proxy is hard pressed
	host       *hostUse     // of a hand-off connection, or a caller that was asked to move; nil: it is neither
	openedAt   int64
	grantedAt  int64
	inFlight   int
	size       int64 // bytes of the calls in flight
	calls      *call // list by dnext
	slots      []slot
	head       uint32      // number of slots[0]
	held       int         // bytes of held replies
	counted    int64       // bytes charged to the source for what is buffered here
	blocked    bool        // a frame waits in `in` for a call to end
	waiting    bool        // is in w.ready
	closing    closeReason // set: no more frames are taken, and closed for this when the last answer is written
	sticky     *cluster.Endpoint
	upload     *upload   // a large call that is on its way
	relay      *upstream // brings a large reply
	turns      callQueue // ordered calls whose look-up is over and that others are before
	lane       *lane
	place      fair.Item[*downstream] // among those who wait for their source's turn
	since      int64                  // when the oldest bytes that wait there came; 0: none do
	mark       int                    // what lies at this place and behind in `in` came later; 0: nothing did
	markAt     int64                  // ... and when
	taken      int                    // so many bytes of those that are looked at were taken, with the frame at hand
	overfull   bool                   // is given up for its source's own bytes
	incomplete bool                   // more bytes must come before anything can be taken
	stopped    bool                   // its source has used its share for now
}

func (d *downstream) begun(c gnet.Conn) {
	w := d.w
	d.conn, d.owner, d.timer.fire, d.opened = c, d, d, true
	d.openedAt, d.lastActive = w.now, w.now
	d.codec = d.l.codec // pinned, or nil
	d.lane = w.laneOf(d.src)
	w.spend(d.lane, openCost)
	w.downs[d] = struct{}{}
	w.load.Add(1)
	w.stats.accepted++
	d.schedule(w.now + int64(w.p.cfg.Timeouts.Detect))
}

// closed cancels what the caller still waits for: nobody is there to take it.
func (d *downstream) closed(err error) {
	w := d.w
	reason := d.doomedFor
	if reason == "" {
		reason = reasonOf(err)
	}
	d.session.detach()
	delete(w.downs, d)
	w.load.Add(-1)
	for d.calls != nil {
		w.cancel(d.calls)
	}
	for i := range d.slots {
		w.bufs.put(d.slots[i].held)
	}
	w.bufs.put(d.out)
	d.slots, d.out, d.held = nil, nil, 0
	d.account()
	if d.lane != nil {
		if d.place.Queued() {
			w.shares.turns.Remove(&d.place)
		}
		d.lane.leave(w)
	}
	w.p.guard.leave(d)
	d.offended(reason) // before its source may be forgotten
	w.p.leave(d.src)
	w.stats.closedDown[reason]++
	w.p.logClose("caller", reason, err, d)
}

// readable takes what has come.
func (d *downstream) readable() {
	d.marked()
	buf := d.receive()
	if d.doomedFor != "" {
		return
	}
	if buf == nil { // a large frame is still coming: what is there of it counts already
		d.account()
		d.checkBytes()
		return
	}
	if d.closing != "" { // the caller is being sent away: nothing more is read
		d.keep(buf, len(buf))
		return
	}
	used := 0
	if !d.blocked {
		used = d.share(buf)
	}
	d.settle(buf, used)
}

// proceed goes on with the calls whose turn has come, and the frames that wait since a slot was not free.
func (d *downstream) proceed() {
	d.takeTurns()
	if len(d.in) == 0 || d.closing != "" || d.incomplete && d.upload == nil {
		return
	}
	d.settle(d.in, d.share(d.in))
}

func (d *downstream) settle(buf []byte, used int) {
	if !d.live() {
		return
	}
	d.keep(buf, used)
	if d.stopped {
		d.w.await(d)
	}
	waits := d.upload != nil || d.place.Queued()
	if d.blocked || waits {
		d.partialSince = 0 // not the caller's fault, or lastActive tells
	}
	if waits && d.full() {
		d.park()
	}
	d.account()
	if len(d.in) > 0 {
		d.checkBytes()
	}
	d.closeIfDone()
}

// checkBytes gives up a caller whose bytes are in the way: its connection holds some, and a bound is passed.
func (d *downstream) checkBytes() {
	lim := &d.w.p.cfg.Limits
	d.overfull = d.src.bytes.Load() > lim.SourceBytes
	if len(d.in) > lim.MaxFrame+readBuffer || d.overfull || d.w.p.bytes.Load() > lim.TotalBytes {
		d.w.doom(&d.session, reasonBytes)
	}
}

// backlogged: the caller does not take its replies.
func (d *downstream) backlogged() {
	if d.relay != nil && d.full() {
		d.relay.park()
	}
	d.account()
	d.checkBytes()
}

// consume takes whole frames off buf and returns how many bytes it used.
func (d *downstream) consume(buf []byte) (used int) {
	d.blocked, d.incomplete = false, false
	if d.codec == nil {
		if used = d.detect(buf); d.codec == nil {
			d.incomplete = true
			return used
		}
	}
	w, m := d.w, &d.w.msg
	for used < len(buf) && d.closing == "" && d.live() {
		if d.relay != nil && d.outOfOrder { // what would be answered now would come into the middle of a reply
			d.blocked = true
			return used
		}
		if d.upload != nil {
			n := d.forward(buf[used:])
			if used += n; n == 0 {
				return used
			}
			w.spend(d.lane, bytesCost(n))
			continue
		}
		n, err := d.codec.Split(&d.scan, buf[used:], w.p.cfg.Limits.MaxFrame)
		if err != nil {
			_ = d.codec.Decode(buf[used:], m, &w.scratch) // for the names and the sequence, as far as they are there
			d.malformed(m, err)
			return len(buf)
		}
		if n == 0 {
			d.taken = used + 1 // a part is enough to begin with
			if n = d.beginUpload(buf[used:]); n == 0 {
				d.incomplete = !d.blocked
				return used
			}
			used += n
			continue
		}
		frame := buf[used : used+n]
		if err := d.codec.Decode(frame, m, &w.scratch); err != nil {
			d.malformed(m, err)
			return len(buf)
		}
		if d.mustWait(m) {
			d.blocked = true
			return used
		}
		d.scan.Reset()
		d.whole = false
		used += n
		d.taken = used
		d.take(m)
		if !w.spend(d.lane, callCost+bytesCost(n)) && used < len(buf) {
			d.stopped = true
			return used
		}
	}
	return used
}

// take handles one decoded frame.
func (d *downstream) take(m *protocol.Message) {
	w := d.w
	if m.OutOfOrder && d.inFlight == 0 && len(d.slots) == 0 {
		d.outOfOrder = true
	}
	switch {
	case m.Type == protocol.MessageHeartbeat:
		d.done(append(d.buffer(0), 0, 0, 0, 0))
		w.stats.heartbeats++
	case !m.IsCall():
		d.malformed(m, errNotACall)
	case string(m.Service) == remote.Service && w.p.cfg.Accept != nil:
		d.hello(m)
	case d.src.quarantined(w.now):
		d.refuse(m, quarantineFault(d.src))
	default:
		w.onRequest(d, m)
	}
}

var errNotACall = &protocol.Error{Code: protocol.CodeProtocolError, Reason: "not_a_call", Detail: "callers send calls and oneways only", Offset: -1}

// mustWait reports whether this call has to wait for the ones before it (ordered: true).
func (d *downstream) mustWait(m *protocol.Message) bool {
	if d.inFlight == 0 || !m.IsCall() {
		return false
	}
	if d.l.Ordered {
		return true
	}
	cl := d.lookup(m)
	return cl != nil && cl.Ordered
}

// lookup finds the service that a message names, or else its listener.
func (d *downstream) lookup(m *protocol.Message) *cluster.Cluster {
	name := m.Service
	if len(name) == 0 {
		name = d.l.service
	}
	return d.w.table.Lookup(name)
}

// account charges the source for what is buffered here.
func (d *downstream) account() {
	n := int64(0)
	if d.live() {
		n = int64(d.waitingBytes() + d.held)
	}
	if delta := n - d.counted; delta != 0 {
		d.counted = n
		d.src.bytes.Add(delta)
		d.w.p.bytes.Add(delta)
	}
}

// flushed: everything was given to the kernel.
func (d *downstream) flushed() {
	if d.counted != 0 {
		d.account()
	}
	if d.closing != "" {
		d.closeIfDone()
	}
	if d.relay != nil {
		d.relay.unpark()
	}
}

// closeIfDone ends a connection that takes no more calls once the last answer has left.
func (d *downstream) closeIfDone() {
	if d.closing != "" && d.conn != nil && d.inFlight == 0 && len(d.out) == d.outAt && d.conn.OutboundBuffered() == 0 {
		d.w.doom(&d.session, d.closing)
	}
}

// expired looks at everything that can have become late and sets the timer anew.
func (d *downstream) expired(now int64) {
	t := &d.w.p.cfg.Timeouts
	d.account()
	idleAt := d.lastActive + int64(t.Idle)
	switch {
	case d.codec == nil && now >= d.openedAt+int64(t.Detect) && !d.place.Queued():
		d.w.doom(&d.session, reasonDetect)
		return
	case d.partialSince != 0 && now >= d.partialSince+int64(t.Frame):
		d.w.doom(&d.session, reasonFrame)
		return
	case d.upload != nil && d.upload.moving() && d.late(now):
		d.w.doom(&d.session, reasonFrame)
		return
	case d.inFlight == 0 && now >= idleAt:
		d.w.doom(&d.session, reasonIdle)
		return
	case t.MaxAge > 0 && d.inFlight == 0 && len(d.in) == 0 && now >= d.openedAt+int64(t.MaxAge):
		d.w.doom(&d.session, reasonMaxAge)
		return
	}
	d.checkStall(now)
	if d.codec == nil {
		d.schedule(max(d.openedAt+int64(t.Detect), now+16*recheck))
	}
	if d.partialSince != 0 {
		d.schedule(d.partialSince + int64(t.Frame))
	}
	if d.upload != nil {
		d.schedule(d.pieceDue(now))
	}
	if t.MaxAge > 0 {
		d.schedule(max(d.openedAt+int64(t.MaxAge), now+int64(t.MaxAge)/64))
	}
	d.schedule(max(idleAt, now+int64(t.Idle)/64))
}
