package proxy

import "github.com/bellhop-mesh/bellhop/protocol"

// This file keeps the order of a caller's replies.
//
//	slots   head                  tail
//	         │ [wait] [held] [wait] │
//	         └── next to be written └── next call

type slot struct {
	held []byte
	done bool
}

// maxSlots bounds replies and faults waiting for an earlier reply on one connection.
const maxSlots = 4096

// adopt links a call to its caller and gives it its place in the order of replies.
func (d *downstream) adopt(c *call) {
	c.d = d
	c.to.Handoff = d.handoff
	if c.dnext = d.calls; c.dnext != nil {
		c.dnext.dprev = c
	}
	d.calls = c
	d.inFlight++
	d.count(1)
	if !d.outOfOrder && !c.oneway {
		c.slot = d.newSlot()
	}
}

// count keeps a remote proxy's account of who uses it.
func (d *downstream) count(n int64) {
	if d.host != nil {
		d.host.calls.Add(n)
		if !d.handoff {
			d.host.moved.Add(n)
		}
	}
	if d.handoff {
		g := &d.w.p.guard
		if all := g.overflow.Add(n); all > g.peak.Load() {
			g.peak.Store(all) // workers may lose a little to each other
		}
		d.peak = max(d.peak, d.inFlight)
	}
}

func (d *downstream) newSlot() uint32 {
	d.slots = append(d.slots, slot{})
	if len(d.slots) > maxSlots {
		d.w.doom(&d.session, reasonBytes)
	}
	return d.head + uint32(len(d.slots)-1)
}

func (d *downstream) unlink(c *call) {
	if c.dprev == nil {
		d.calls = c.dnext
	} else {
		c.dprev.dnext = c.dnext
	}
	if c.dnext != nil {
		c.dnext.dprev = c.dprev
	}
	c.dnext, c.dprev = nil, nil
	d.inFlight--
	d.count(-1)
}

// dismiss lets go of a call that has ended and wakes a frame that waited for it.
func (d *downstream) dismiss(c *call) {
	d.unlink(c)
	d.size -= int64(c.size)
	c.d = nil
	if (d.blocked || d.turns.head() != nil) && d.live() {
		d.again()
	}
	if d.closing != "" {
		d.closeIfDone()
	}
}

// slotBuffer returns the buffer that a call's answer of about n bytes is appended to; slotDone must follow.
func (d *downstream) slotBuffer(c *call, n int) []byte {
	if !d.live() {
		return nil
	}
	if d.outOfOrder || c.slot == d.head {
		return d.buffer(n)
	}
	return d.w.bufs.get(n)
}

// slotDone stores an answer: written now if it is its turn, held otherwise.
func (d *downstream) slotDone(c *call, out []byte) {
	if !d.live() {
		return
	}
	if d.outOfOrder {
		d.done(out)
		return
	}
	if c.slot != d.head {
		s := &d.slots[c.slot-d.head]
		s.held, s.done = out, true
		d.held += len(out)
		d.account()
		return
	}
	d.done(out)
	d.slots[0].done = true
	d.popSlots()
}

// popSlots writes held answers whose turn has come.
func (d *downstream) popSlots() {
	n := 0
	for ; n < len(d.slots) && d.slots[n].done; n++ {
		if h := d.slots[n].held; h != nil {
			d.done(append(d.buffer(len(h)), h...))
			d.held -= len(h)
			d.w.bufs.put(h)
		}
	}
	d.head += uint32(n)
	d.slots = d.slots[:copy(d.slots, d.slots[n:])]
}

// acknowledge ends the wait for a call of a method that is declared oneway, for the server will not answer. OSP and
// dapeng have no oneway: their callers get an empty reply. Thrift callers that send a oneway as a call (Apache's Go
// library does) read none: their slot is closed without a byte.
func (d *downstream) acknowledge(c *call, m *protocol.Message) {
	if !m.Framing.Multiplexed() {
		if out := d.slotBuffer(c, 0); d.live() {
			d.slotDone(c, out)
		}
		return
	}
	ok := protocol.Message{Wire: m.Wire, Type: protocol.MessageReply, Method: m.Method, Service: m.Service, Body: []byte{0}}
	ok.Framing = protocol.FramingUnknown // no header of a server's to copy
	if out, err := d.codec.AppendReply(d.slotBuffer(c, 0), &ok, &c.to, &d.w.scratch); err == nil {
		d.slotDone(c, out)
	}
}
