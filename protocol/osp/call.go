package osp

import (
	"strconv"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// defaultVersion is what a dapeng header must have when the caller's framing names no version: dapeng's peers look
// services up by name and version, and older ones refuse a header without one.
const defaultVersion = "1.0.0"

// AppendCall implements protocol.Codec. OSP and dapeng have no oneway: a oneway is written as a call, and its reply is
// the proxy's to swallow.
func (c *codec) AppendCall(dst []byte, m *protocol.Message, to protocol.Wire, seq int32, s *protocol.Scratch) ([]byte, error) {
	p := to.PayloadFor(m.Payload)
	if c.passes(m, p) {
		return c.copyFrame(dst, m.Frame, seq), nil
	}
	start := len(dst)
	dst = c.open(dst, p, seq)
	hp := c.headerPayload(p)
	var err error
	if m.Framing == c.framing || c.carries(m) {
		dst, err = c.appendRaw(dst, m, hp, s)
	} else {
		dst = c.appendCallHeader(dst, m, hp)
	}
	if err == nil {
		dst, err = protocol.Transcode(dst, m.Payload, p, m.Body, s.Max)
	}
	if err != nil {
		return dst[:start], err
	}
	return shut(dst, start), nil
}

// appendCallHeader builds a header from the model (wire.md §5) for a call that came in another framing. Keys of our own
// in Info are for one hop between proxies and end here.
func (c *codec) appendCallHeader(dst []byte, m *protocol.Message, p protocol.Payload) []byte {
	w := writer{p: p, dst: dst}
	if c.framing == protocol.Dapeng {
		putString(&w, idService, m.Service)
		putString(&w, idMethod, m.Method)
		if len(m.Version) > 0 {
			putString(&w, idVersion, m.Version)
		} else {
			putString(&w, idVersion, defaultVersion)
		}
	} else {
		putFilled(&w, idService, m.Service)
		putFilled(&w, idMethod, m.Method)
		putFilled(&w, idVersion, m.Version)
	}
	putFilled(&w, c.caller, m.Caller)
	c.putTraceIDs(&w, m)
	ms := (m.Timeout + time.Millisecond - 1) / time.Millisecond // a budget below a millisecond is not "no timeout"
	if ms > 0 && c.timeout != none {
		w.num(tI32, c.timeout, min(int64(ms), 1<<31-1))
	}
	c.putCallMaps(&w, m, int64(ms))
	w.stop()
	return w.dst
}

func (c *codec) putCallMaps(w *writer, m *protocol.Message, ms int64) {
	cookies, ext := filled(m.Trace), 0
	for i := range m.Info {
		if !own(m.Info[i].Key) {
			cookies++
		}
	}
	if c.ext == none {
		cookies += len(m.Extra)
	} else {
		ext = len(m.Extra)
		if ms > 0 {
			ext++
		}
	}
	if cookies > 0 || c.framing == protocol.Dapeng { // dapeng always writes them
		w.mapBegin(c.cookies, cookies)
		if len(m.Trace) > 0 {
			w.entry([]byte(keyTrace), m.Trace)
		}
		for i := range m.Info {
			if !own(m.Info[i].Key) {
				w.entry(m.Info[i].Key, m.Info[i].Value)
			}
		}
	}
	if ext > 0 {
		w.mapBegin(c.ext, ext)
		if ms > 0 {
			var digits [20]byte
			w.entry([]byte(keyTimeout), strconv.AppendInt(digits[:0], ms, 10))
		}
	}
	w.entries(m.Extra)
}

// filled counts a value that is there.
func filled(b []byte) int {
	if len(b) > 0 {
		return 1
	}
	return 0
}
