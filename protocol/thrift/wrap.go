package thrift

import (
	"encoding/binary"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// appendBody appends m's body in payload p.
func appendBody(dst []byte, m *protocol.Message, p protocol.Payload, s *protocol.Scratch) ([]byte, error) {
	switch {
	case len(m.Body) == 0:
		return append(dst, 0), nil // a dapeng error reply has none: an empty struct
	case m.Payload == p:
		return append(dst, m.Body...), nil
	}
	return protocol.Transcode(dst, m.Payload, p, m.Body, s.Max)
}

// appendCall appends m as a TMessage for a peer of this payload.
func appendCall(dst []byte, m *protocol.Message, p protocol.Payload, lax bool, seq int32, s *protocol.Scratch) ([]byte, error) {
	v := envelope{payload: p, lax: lax, typ: m.Type, seq: seq, method: m.Method}
	if m.KeepPrefix {
		v.service = m.Service
	}
	return appendBody(v.append(dst), m, p, s)
}

// appendReply appends m as the TMessage that answers to. The name is always bare; servers and framings that do not
// name the method in replies get the call's.
func appendReply(dst []byte, m *protocol.Message, to *protocol.ReplyTo, p protocol.Payload, s *protocol.Scratch) ([]byte, error) {
	v := envelope{payload: p, lax: to.Lax, typ: m.Type, seq: to.MsgSeq, method: m.Method}
	if len(v.method) == 0 || noMessage(m.Framing) {
		v.method = to.Method
	}
	dst = v.append(dst)
	if m.Type == protocol.MessageException && noMessage(m.Framing) {
		text, typ := statusException(m)
		return protocol.AppendAppException(dst, p, text, typ), nil
	}
	return appendBody(dst, m, p, s)
}

// noMessage reports whether a framing carries bare structs, and its status in a header.
func noMessage(f protocol.Framing) bool { return f == protocol.OSP || f == protocol.Dapeng }

// statusException turns the header status of an OSP or dapeng error reply into what a TApplicationException says. What
// the header says about not having run becomes the words that plain Thrift has for it (wire.md §9).
func statusException(m *protocol.Message) (text string, typ int32) {
	text = string(m.RetMessage)
	if text == "" {
		text = string(m.RetCode)
	}
	if v, ok := m.Find(keyNotExecuted); ok && string(v) == "true" {
		return "not executed: " + text, protocol.AppLoadshedding
	}
	return text, protocol.AppTypeOfRetCode(m.RetCode)
}

// appendFault appends the proxy's own answer as a TMessage, always strict where it is binary.
func appendFault(dst []byte, f protocol.Fault, to *protocol.ReplyTo, p protocol.Payload) []byte {
	v := envelope{payload: p, typ: protocol.MessageException, seq: to.MsgSeq, method: to.Method}
	return f.AppendException(v.append(dst), p)
}

// openFrame leaves room for a frame's length; closeFrame fills it in.
func openFrame(dst []byte) []byte { return append(dst, 0, 0, 0, 0) }

func closeFrame(dst []byte, base int) ([]byte, error) {
	n := len(dst) - base - 4
	if n > protocol.HardMaxFrame {
		return dst[:base], protocol.ErrFrameSize
	}
	binary.BigEndian.PutUint32(dst[base:], uint32(n))
	return dst, nil
}
