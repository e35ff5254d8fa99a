package osp

import (
	"encoding/binary"

	"github.com/bellhop-mesh/bellhop/protocol"
)

var errOSPHeader = defect(protocol.CodeProtocolError, "osp_header", "the OSP header that was handed over names another service or method")

// copyFrame appends a frame as it is, but for its sequence; a heartbeat has none.
func (c *codec) copyFrame(dst, frame []byte, seq int32) []byte {
	if len(frame) == lengthSize {
		return append(dst, frame...)
	}
	at := len(dst) + c.seqAt
	dst = append(dst, frame...)
	binary.BigEndian.PutUint32(dst[at:], uint32(seq))
	return dst
}

// open appends what lies before the header; the length is filled in by shut.
func (c *codec) open(dst []byte, p protocol.Payload, seq int32) []byte {
	dst = append(dst, 0, 0, 0, 0, stx)
	if c.framing == protocol.Dapeng {
		dst = append(dst, dapengVersion)
	}
	code := byte(codecBinary)
	if p == protocol.Compact {
		code = codecCompact
	}
	return binary.BigEndian.AppendUint32(append(dst, code), uint32(seq))
}

// shut ends the frame that began at start. Its length cannot overflow: a body is bounded by the frame cap, a header by
// MaxHeader and what the proxy adds.
func shut(dst []byte, start int) []byte {
	dst = append(dst, etx)
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-lengthSize))
	return dst
}

// passes reports whether m's frame can leave as it came: same framing, same payload, nothing to add.
func (c *codec) passes(m *protocol.Message, p protocol.Payload) bool {
	return m.Framing == c.framing && (m.Type == protocol.MessageHeartbeat || m.Payload == p && len(m.Extra) == 0 && !c.carries(m))
}

// carries reports whether m brings the raw OSP header that its frame is to have.
func (c *codec) carries(m *protocol.Message) bool {
	return c.framing == protocol.OSP && len(m.OSPHeader) > 0
}

// appendRaw appends the header struct that m brought, in p, with m.Extra merged into it. Unknown fields survive: byte for
// byte when the payload is the same, else in meaning.
func (c *codec) appendRaw(dst []byte, m *protocol.Message, p protocol.Payload, s *protocol.Scratch) ([]byte, error) {
	hdr := m.Header
	if c.carries(m) {
		hdr = m.OSPHeader
		if err := c.checkCarried(m, s); err != nil {
			return dst, err
		}
	}
	if from := c.headerPayload(m.Payload); from != p {
		var err error
		if s.Tmp, err = protocol.Transcode(s.Tmp[:0], from, p, hdr, s.Max); err != nil {
			return dst, err
		}
		hdr = s.Tmp
	}
	if len(m.Extra) == 0 {
		return append(dst, hdr...), nil
	}
	return appendMerged(dst, p, hdr, c.extra, m.Extra), nil
}

// checkCarried refuses an OSP header that would be dangerous on a connection which several callers share: one that is
// not exactly one struct, or that says another service or method than the one the call was routed by.
func (c *codec) checkCarried(m *protocol.Message, s *protocol.Scratch) error {
	if len(m.OSPHeader) > protocol.MaxHeader {
		return errHeaderBig
	}
	if err := protocol.WalkExact(m.Payload, m.OSPHeader, &s.Walker); err != nil {
		return err
	}
	f := fields{p: m.Payload, b: m.OSPHeader}
	var service, method []byte
	for f.next() {
		switch f.id {
		case idService:
			take(&service, &f)
		case idMethod:
			take(&method, &f)
		}
	}
	if m.IsCall() && (differ(service, m.Service) || differ(method, m.Method)) {
		return errOSPHeader
	}
	return nil
}

// differ reports whether both names are there and are not the same.
func differ(a, b []byte) bool { return len(a) > 0 && len(b) > 0 && string(a) != string(b) }

// putTraceIDs copies the trace ids that OSP and dapeng both have under ids of their own.
func (c *codec) putTraceIDs(w *writer, m *protocol.Message) {
	from := sibling(m.Framing)
	if from == nil {
		return
	}
	f := fields{p: from.headerPayload(m.Payload), b: m.Header}
	for f.next() {
		for i, id := range from.tids {
			if v, ok := f.num(tI64); ok && f.id == id {
				w.num(tI64, c.tids[i], v)
			}
		}
	}
}
