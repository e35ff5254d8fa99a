package proxy

import (
	"errors"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// This file is what callers send that is no call: other protocols, heartbeats, bytes that can't be understood.

// detect decides the framing once; until then heartbeats are answered and the connection stays undecided.
func (d *downstream) detect(buf []byte) (used int) {
	f, beats, err := protocol.Detect(buf)
	if beats > 0 {
		d.done(append(d.buffer(0), buf[:beats]...))
		d.w.stats.heartbeats++
	}
	if err != nil {
		d.refuseFraming(err)
		return len(buf)
	}
	switch f {
	case protocol.FramingUnknown:
	case protocol.HTTP:
		d.done(append(d.buffer(0), httpNotYet...))
		d.closing = reasonUnsupported
		d.w.stats.malformed["http"]++
		return len(buf)
	default:
		if d.codec = d.w.p.codecs[f]; d.codec == nil {
			d.refuseFraming(&protocol.Error{Code: protocol.CodeUnsupported, Reason: "no_codec", Detail: f.String()})
			return len(buf)
		}
		d.w.stats.detected[f]++
	}
	return beats
}

const httpNotYet = "HTTP/1.1 501 Not Implemented\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 75\r\n\r\n" +
	"bellhop: JSON over HTTP is not supported yet: call by Thrift, OSP or dapeng"

func (d *downstream) refuseFraming(err error) {
	d.w.stats.malformed[reasonWord(err)]++
	d.w.p.logMalformed(d, err)
	d.w.doom(&d.session, reasonUnsupported)
}

// malformed answers what can't be understood, in its slot, and sends the caller away: what follows it can't be trusted.
func (d *downstream) malformed(m *protocol.Message, err error) {
	w := d.w
	f := protocol.Fault{Code: protocol.CodeProtocolError, Message: err.Error()}
	reason := reasonMalformed
	var pe *protocol.Error
	if errors.As(err, &pe) {
		f.Code = pe.Code
		if pe.Code == protocol.CodeTooLarge {
			reason = reasonTooLarge
		}
	}
	w.stats.malformed[reasonWord(err)]++
	w.p.logMalformed(d, err)
	d.closing = reason
	if m.Wire.Framing == protocol.FramingUnknown {
		w.doom(&d.session, reason)
		return
	}
	d.refuse(m, f)
}

func reasonWord(err error) string {
	var pe *protocol.Error
	if errors.As(err, &pe) {
		return pe.Reason
	}
	return "other"
}

// refuse answers a message that never became a call.
func (d *downstream) refuse(m *protocol.Message, f protocol.Fault) {
	d.w.stats.refused[f.Code]++
	if m.Type == protocol.MessageOneway {
		return
	}
	c := call{w: d.w}
	c.to.SetFrom(m)
	if !d.outOfOrder {
		c.slot = d.newSlot()
	}
	d.slotDone(&c, d.codec.AppendFault(d.slotBuffer(&c, 0), f, &c.to))
}
