package main

import (
	"errors"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// echo answers calls: the one argument, field 1, comes back as field 0; a call without arguments gets an empty result.
// One goroutine only.
type echo struct {
	call    protocol.Message
	reply   protocol.Message
	to      protocol.ReplyTo
	result  []byte
	scratch protocol.Scratch
	failing *failing // nil: it fails nothing and counts nothing
}

var errNotACall = errors.New("a message that is not a call")

// answer appends the reply to frame, nothing for a oneway. An error is the connection's: it is to be closed.
func (e *echo) answer(dst []byte, codec protocol.Codec, frame []byte) ([]byte, error) {
	m := &e.call
	if err := codec.Decode(frame, m, &e.scratch); err != nil {
		return dst, err
	}
	switch m.Type {
	case protocol.MessageHeartbeat:
		return append(dst, frame...), nil
	case protocol.MessageOneway:
		return dst, nil
	case protocol.MessageCall:
	default:
		return dst, errNotACall
	}
	e.to.SetFrom(m)
	if e.failing != nil {
		if how := e.failing.judge(m); how != "" {
			return e.fail(how, dst, codec)
		}
	}
	if !e.setResult(m) {
		fault := protocol.Fault{Code: protocol.CodeUnsupported, Message: "the echo server takes one argument, with the field id 1"}
		return codec.AppendFault(dst, fault, &e.to), nil
	}
	return e.respond(dst, codec)
}

// respond appends the reply whose body is in result.
func (e *echo) respond(dst []byte, codec protocol.Codec) ([]byte, error) {
	m := &e.call
	e.reply.Reset()
	e.reply.Wire, e.reply.Type = strange(m.Framing, m.Payload), protocol.MessageReply
	e.reply.Service, e.reply.Method, e.reply.Body = m.Service, m.Method, e.result
	return codec.AppendReply(dst, &e.reply, &e.to, &e.scratch)
}

// setResult makes the result struct of the arguments' first field.
//
//	binary   type(1) id(2) value 00
//	compact  delta(4 bits) type(4 bits) value 00; id 0 is written as 0 type(4 bits) 00
func (e *echo) setResult(m *protocol.Message) bool {
	b := m.Body
	if len(b) == 1 {
		e.result = append(e.result[:0], 0)
		return true
	}
	head, typ := 3, b[0]
	if m.Payload == protocol.Compact {
		head, typ = 1, b[0]&0x0f
		if b[0]>>4 != 1 {
			return false
		}
		e.result = append(e.result[:0], typ, 0)
	} else {
		if b[1] != 0 || b[2] != 1 {
			return false
		}
		e.result = append(e.result[:0], typ, 0, 0)
	}
	n, err := protocol.Skip(m.Payload, typ, b[head:], &e.scratch.Walker)
	if err != nil || head+n+1 != len(b) {
		return false
	}
	e.result = append(e.result, b[head:]...)
	return true
}
