package proxy

import (
	"strconv"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/remote"
)

// handoffState is what an upstream knows when its other end is a remote proxy.
type handoffState struct {
	admitted bool
	grant    remote.Grant
	until    int64 // the grant is void from then on; 0: as long as the connection lives
	deadline int64 // for the reply to the hello
	hop      [4]byte
	num      [24]byte // deadline-ms as text
}

// sendHello begins a hand-off connection: nothing else is sent before it is answered.
func (u *upstream) sendHello() {
	w := u.w
	c := w.calls.get()
	if c == nil {
		w.doom(&u.session, reasonSurplus)
		return
	}
	w.calls.active--
	c.hello = true
	u.hand.deadline = w.now + int64(w.p.cfg.Timeouts.Connect)
	m := &protocol.Message{
		Wire: protocol.Wire{Framing: protocol.FramedBinary, Payload: protocol.Binary}, Type: protocol.MessageCall,
		Service: []byte(remote.Service), Method: []byte(remote.MethodHello), Body: w.p.cfg.HandOff.AppendHello(nil),
	}
	out, err := u.codec.AppendCall(u.buffer(0), m, u.endpoint.Wire, c.id, &w.resend)
	if err != nil {
		w.calls.put(c)
		w.doom(&u.session, reasonPanic)
		return
	}
	c.up, c.endpoint, c.begin, c.sentAt = u, u.endpoint, u.queued, w.now
	u.done(out)
	c.end = u.queued
	u.attach(c)
	u.schedule(u.hand.deadline)
}

// helloReply takes the grant, or gives the remote proxy up for a while.
func (u *upstream) helloReply(m *protocol.Message) {
	w, c := u.w, u.match(m)
	if c == nil || !c.hello {
		w.doom(&u.session, reasonStray)
		return
	}
	if m.Type != protocol.MessageReply {
		text, _, _ := protocol.AppException(m.Body, m.Payload)
		u.refused(string(text))
		return
	}
	g, err := remote.ParseGranted(m.Body)
	if err != nil || g.Calls <= 0 {
		u.refused("the grant could not be read or is empty")
		return
	}
	u.hand.admitted = true
	u.renew(g)
	u.finished(c)
	w.calls.put(c)
	u.pool.ready(u)
}

// refused: this remote proxy does not take our calls. Those that wait go to another.
func (u *upstream) refused(why string) {
	w := u.w
	w.stats.handoffRefused++
	u.endpoint.States[w.id].ConnectFailed(w.now)
	w.p.cfg.Log.Warn("a remote proxy refused the hand-off", "remote", u.endpoint.Addr, "reason", why,
		"next", "compare the token files, or the certificates, of both proxies")
	w.doom(&u.session, reasonRefused)
}

// handoffExtra adds what travels with every call that is handed over (wire.md §8).
func (u *upstream) handoffExtra(c *call, m *protocol.Message) {
	h := u.hand
	left := max(time.Duration(c.deadline-u.w.now).Milliseconds(), 1)
	ms := strconv.AppendInt(h.num[:0], left, 10)
	m.Extra = append(m.Extra,
		protocol.KV{Key: keyHop, Value: append(h.hop[:0], '1')},
		protocol.KV{Key: keyClass, Value: classOverflow},
		protocol.KV{Key: keyDeadline, Value: ms})
	if c.src != nil {
		m.Extra = append(m.Extra, protocol.KV{Key: keySource, Value: c.src.sourceBytes}, protocol.KV{Key: keyWorkload, Value: c.src.workloadBytes})
	}
}

var (
	keyGrant      = []byte(remote.KeyGrant)
	keyHop        = []byte(remote.KeyHop)
	keyClass      = []byte(remote.KeyClass)
	keyDeadline   = []byte(remote.KeyDeadline)
	keySource     = []byte(remote.KeySource)
	keyWorkload   = []byte(remote.KeyWorkload)
	classOverflow = []byte(remote.ClassOverflow)
)

// renew takes a grant: it counts from its receipt.
func (u *upstream) renew(g remote.Grant) {
	u.count(g.Calls)
	u.hand.grant, u.hand.until = g, 0
	if g.Valid > 0 {
		u.hand.until = u.w.now + int64(g.Valid)
	}
}

// count keeps the sum of what remote proxies grant. calls 0: the connection has ended.
func (u *upstream) count(calls int32) {
	g, was := &u.w.p.guard, u.hand.grant.Calls
	if (was > 0) != (calls > 0) {
		if calls > 0 {
			g.grants.Add(1)
		} else {
			g.grants.Add(-1)
		}
	}
	g.granted.Add(int64(calls - was))
	u.hand.grant.Calls = calls
}

func (u *upstream) expiredGrant() bool {
	return u.hand != nil && u.hand.until > 0 && u.w.now >= u.hand.until
}

// granted reports whether the grant allows one more call. A void one is not renewed by calls any more: the connection
// makes place for a new one, which begins with a hello.
func (u *upstream) granted() bool {
	h := u.hand
	if u.expiredGrant() {
		return false
	}
	return u.nCalls < int(h.grant.Calls) && (h.grant.Bytes <= 0 || u.nCalls == 0 || u.bytes < h.grant.Bytes)
}

// handoffReply reads what a remote proxy adds to its replies.
func (u *upstream) handoffReply(m *protocol.Message) {
	if v, ok := m.Find(remote.KeyGrant); ok {
		if g, err := remote.ParseGrant(v); err == nil && g.Calls > 0 {
			u.renew(g)
		}
	}
}

// grantEvery is the shortest time between two grants that differ.
const grantEvery = int64(100e6) // ns

// grantExtra renews the grant of a hand-off connection in a reply, from time to time, and tells when it has become another.
func (d *downstream) grantExtra(m *protocol.Message) {
	if !d.handoff {
		if d.src.moved.Load() {
			d.goingAway(m)
		}
		return
	}
	since := d.w.now - d.grantedAt
	due := d.grant.Valid > 0 && since >= int64(d.grant.Valid)/3
	if !due && since < grantEvery {
		return
	}
	g := d.w.p.guard.grant(d)
	if !due && g.Calls >= d.told.Calls-d.told.Calls/8 && g.Calls <= d.told.Calls+d.told.Calls/8 {
		return
	}
	d.grantedAt, d.told, d.peak = d.w.now, g, d.inFlight
	m.Extra = append(m.Extra[:0], protocol.KV{Key: keyGrant, Value: g.Value()})
}

// goingAway marks a reply to a source that is asked to use the remote tier, in the framings that have such a mark.
func (d *downstream) goingAway(m *protocol.Message) {
	switch d.codec.Framing() {
	case protocol.TTHeader:
		m.Extra = append(m.Extra[:0], protocol.KV{Key: keyCloses, Value: valueCloses})
	case protocol.OSP, protocol.Dapeng:
		m.Extra = append(m.Extra[:0], protocol.KV{Key: keyState, Value: valueClosing})
	}
}

var (
	keyCloses, valueCloses = []byte("crrst"), []byte("1")
	keyState, valueClosing = []byte("bellhop-state"), []byte("closing")
)

// hello judges the first call of a hand-off connection.
func (d *downstream) hello(m *protocol.Message) {
	w := d.w
	if string(m.Method) == remote.MethodMoved && m.Type == protocol.MessageOneway {
		d.setMoved(m)
		return
	}
	if string(m.Method) != remote.MethodHello || m.Payload != protocol.Binary {
		d.refuse(m, protocol.Fault{Code: protocol.CodeUnsupported, Message: "service " + remote.Service + " has only the method " + remote.MethodHello + " (TBinary)"})
		return
	}
	if d.host != nil { // its calls are counted as a moved caller's
		d.refuse(m, protocol.Fault{Code: protocol.CodeUnsupported, Message: "a caller that was asked to move can't become a hand-off connection: open another"})
		return
	}
	h, err := w.p.cfg.Accept.Admit(m.Body, d.verified)
	if err != nil {
		w.stats.handoffRefused++
		w.p.cfg.Log.Warn("hand-off refused", "peer", d.peer(), "host", h.Host, "error", err)
		d.closing = reasonRefused
		d.refuse(m, protocol.Fault{Code: protocol.CodeUnauthenticated, Message: err.Error()})
		return
	}
	reply := protocol.Message{
		Wire: protocol.Wire{Framing: protocol.FramedBinary, Payload: protocol.Binary}, Type: protocol.MessageReply,
		Method: m.Method, Body: w.p.cfg.Accept.AppendGranted(nil),
	}
	var c call
	c.to.SetFrom(m)
	c.to.Handoff = true
	if !d.outOfOrder {
		c.slot = d.newSlot()
	}
	out, err := d.codec.AppendReply(d.slotBuffer(&c, 0), &reply, &c.to, &w.scratch)
	if err != nil {
		w.doom(&d.session, reasonRefused)
		return
	}
	d.slotDone(&c, out)
	d.handoff, d.grant, d.told, d.grantedAt = true, w.p.cfg.Accept.Grant, w.p.cfg.Accept.Grant, w.now
	w.p.guard.overflow.Add(int64(d.inFlight))
	if d.host == nil && h.Instance != "" && d.inFlight == 0 { // its calls are counted from the first one on
		d.host = w.p.guard.join(h.Instance)
		d.host.hands.Add(1)

	}
	d.outOfOrder = d.outOfOrder || d.inFlight == 0 && len(d.slots) == 0
	w.p.cfg.Log.Info("hand-off connection admitted", "peer", d.peer(), "host", h.Host, "instance", h.Instance)
}

// handoffKeys takes what a call that was handed over brings along. From anybody else these keys mean nothing: they are
// taken off, so that no caller can pretend.
func (c *call) handoffKeys(m *protocol.Message) {
	if c.to.Handoff {
		c.hops = 1 // whether the call says so or not
	} else {
		m.OSPHeader = nil
	}
	kept := m.Info[:0]
	for _, kv := range m.Info {
		if len(kv.Key) < len(remote.KeyPrefix) || string(kv.Key[:len(remote.KeyPrefix)]) != remote.KeyPrefix {
			kept = append(kept, kv)
			continue
		}
		if !c.to.Handoff {
			continue
		}
		switch string(kv.Key) {
		case remote.KeyHop:
			n, err := strconv.Atoi(string(kv.Value))
			if err != nil || n < 0 || n > remote.MaxHops {
				n = remote.MaxHops + 1
			}
			c.hops = uint8(max(n, 1))
		case remote.KeyDeadline:
			if n, err := strconv.Atoi(string(kv.Value)); err == nil && n > 0 {
				m.Timeout = time.Duration(n) * time.Millisecond
			}
		}
	}
	m.Info = kept
}
