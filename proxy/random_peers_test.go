package proxy

import (
	"bytes"
	"encoding/binary"
	"strings"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/cluster"
)

// This file is what the peers of TestRandomly do with bytes: endpoints read calls and answer them, callers read replies.

// answer has an endpoint answer one of the calls it has seen: any one on a multiplexed connection.
func (c *chance) answer(p *peer) {
	if len(p.calls) == 0 {
		return
	}
	i := 0
	if p.u.mode == cluster.Multiplexed {
		i = c.rnd.IntN(len(p.calls))
	}
	a := p.calls[i]
	p.calls = append(p.calls[:i:i], p.calls[i+1:]...)
	if a.oneway && c.rnd.IntN(10) > 0 {
		return // servers answer a oneway that they don't know
	}
	if a.hello || p.u.hand != nil && !a.oneway && c.rnd.IntN(4) == 0 {
		c.admits(p, &a)
		return
	}
	if q := c.peers[c.rnd.IntN(len(c.peers))]; q != p && !p.u.pool.cluster.Positional && len(q.calls) > 0 && c.rnd.IntN(40) == 0 {
		a.to.Seq, a.to.MsgSeq, a.text = q.calls[0].to.Seq, q.calls[0].to.MsgSeq, "of another connection"
	}
	if p.u.pool.cluster.Positional {
		a.to.Seq, a.to.MsgSeq = 0, 0
	}
	m := &protocol.Message{Wire: protocol.Wire{Payload: protocol.Binary}, Method: a.to.Method}
	c.answerBody(m, a.text)
	out, err := p.u.codec.AppendReply(nil, m, &a.to, &protocol.Scratch{})
	if err != nil {
		c.t.Fatal(err)
	}
	c.bringCut(p.c, out)
}

// look reads everything that was written.
func (c *chance) look() {
	live := c.peers[:0]
	for _, p := range c.peers {
		c.readCalls(p)
		if !p.c.gone {
			live = append(live, p)
		}
	}
	c.peers = live
	for _, p := range c.callers {
		if p.c != nil {
			c.readReplies(p)
		}
	}
	if w := c.w; len(w.dirty)+len(w.doomed)+len(w.ready) > 0 {
		c.t.Errorf("after a batch: %d sessions to write, %d to close, %d callers to go on with", len(w.dirty), len(w.doomed), len(w.ready))
	}
	if n := c.w.wheel.next(); n < c.w.armedFor {
		c.t.Errorf("nothing wakes the loop for the timer at %d", n)
	}
}

func (c *chance) readCalls(p *peer) {
	b := append(p.rest, p.c.taken()...)
	var sc protocol.Scan
	for len(b) > 0 {
		var m protocol.Message
		n, err := p.u.codec.Split(&sc, b, 1<<20)
		if err == nil && n > 0 {
			err = p.u.codec.Decode(b[:n], &m, &protocol.Scratch{})
		}
		if err != nil {
			c.t.Errorf("an endpoint was sent %x: %v", b, err)
			return
		}
		if n == 0 {
			break
		}
		if p.u.hand != nil && !p.u.hand.admitted {
			p.calls = append(p.calls, asked{to: protocol.ReplyTo{Seq: m.Seq}, hello: true})
			b = b[n:]
			sc.Reset()
			continue
		}
		a := asked{text: structString(m.Body, m.Payload), oneway: m.Type == protocol.MessageOneway}
		if service := strings.Split(a.text, "/")[1]; !p.u.endpoint.Remote && !strings.HasPrefix(p.u.endpoint.Addr, service) {
			c.t.Errorf("endpoint %s was sent a call of service %s", p.u.endpoint, service)
		}
		a.to.SetFrom(&m)
		p.calls = append(p.calls, a)
		b = b[n:]
		sc.Reset()
	}
	p.rest = bytes.Clone(b)
}

func (c *chance) readReplies(p *player) {
	b := append(p.rest, p.c.taken()...)
	codec := c.p.codecs[p.wire.Framing]
	var sc protocol.Scan
	for len(b) > 0 {
		var m protocol.Message
		n, err := codec.Split(&sc, b, 1<<20)
		if err == nil && n > 0 {
			err = codec.Decode(b[:n], &m, &protocol.Scratch{})
		}
		if err != nil {
			c.t.Errorf("a caller was sent %x: %v", b, err)
			return
		}
		if n == 0 {
			break
		}
		c.replied(p, &m)
		b = b[n:]
		sc.Reset()
	}
	p.rest = bytes.Clone(b)
	if p.c.gone {
		p.expect = nil
	}
}

func (c *chance) replied(p *player, m *protocol.Message) {
	i := 0
	for !p.wire.Framing.Multiplexed() && i < len(p.expect) && p.expect[i].ack && p.expect[i].seq != m.Seq {
		p.expect = p.expect[1:] // Thrift callers are not answered
	}
	for p.wire.Framing.Multiplexed() && i < len(p.expect) && p.expect[i].seq != m.Seq {
		i++
	}
	if p.broken && (i >= len(p.expect) || p.expect[i].seq != m.Seq) {
		return // the fault for what was malformed
	}
	if i >= len(p.expect) {
		c.t.Errorf("a caller got an answer with sequence %d that it does not wait for: %q", m.Seq, m.Body)
		return
	}
	want := p.expect[i]
	p.expect = append(p.expect[:i:i], p.expect[i+1:]...)
	if m.Seq != want.seq {
		c.t.Errorf("a caller got sequence %d, want %d", m.Seq, want.seq)
		return
	}
	if m.Type != protocol.MessageReply {
		return // a fault
	}
	c.replies++
	switch got := structString(m.Body, m.Payload); {
	case want.ack && got != "" && !c.tier: // the remote tier does not know it as one
		c.t.Errorf("a oneway was answered %q", got)
	case !want.ack && got != "re:"+want.text:
		c.t.Errorf("a caller got %.60q, want the answer to %.60q", got, want.text)
	}
}

// stringStruct is {id: text} in TBinary.
func stringStruct(id uint16, text string) []byte {
	b := binary.BigEndian.AppendUint16([]byte{11}, id)
	b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
	return append(append(b, text...), 0)
}

// structString reads it back, from TBinary or TCompact; "" for an empty struct.
func structString(b []byte, p protocol.Payload) string {
	if len(b) < 2 {
		return ""
	}
	if p == protocol.Compact {
		b = b[1:]
		if b[0] == 0 && len(b) > 2 { // field 0 has no short form
			b = b[1:]
		}
		n, k := binary.Uvarint(b)
		return string(b[k : k+int(n)])
	}
	return string(b[7 : len(b)-1])
}
