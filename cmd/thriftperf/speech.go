package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// speech makes the calls of one load and judges the replies. One goroutine only.
type speech struct {
	codec   protocol.Codec
	wire    protocol.Wire
	call    protocol.Message
	result  []byte           // the body that a reply must have
	scratch protocol.Scratch // the call may point into it
	reply   protocol.Message
	read    protocol.Scratch // of replies
}

// newSpeech prepares calls of service.method with one string of size bytes as argument 1. The service is named in the
// frame where it is not empty.
func newSpeech(word, service, method string, size int) (*speech, error) {
	return newSpeechWith(word, service, method, size, nil, false)
}

// badMark begins the argument of a call that servers with --fail-bad fail.
const badMark = '!'

// newSpeechWith is newSpeech with header entries, and with an argument that is bad perhaps.
func newSpeechWith(word, service, method string, size int, extra []protocol.KV, bad bool) (*speech, error) {
	wire, err := protocol.ParseWire(word)
	if err != nil {
		return nil, err
	}
	sp := &speech{codec: codecs()[wire.Framing], wire: wire}
	p := wire.PayloadFor(protocol.PayloadAny)
	sp.wire.Payload = p
	text := make([]byte, size)
	for i := range text {
		text[i] = 'a' + byte(i%26)
	}
	if bad && size > 0 {
		text[0] = badMark
	}
	sp.call = protocol.Message{
		Wire: strange(wire.Framing, p), Type: protocol.MessageCall, Service: []byte(service), Method: []byte(method),
		Body: appendText(nil, p, 1, text), KeepPrefix: service != "", Extra: extra,
	}
	sp.result = appendText(nil, p, 0, text)
	// The calls are copies of one call that was decoded again: that is the codecs' short way.
	frame, err := sp.codec.AppendCall(nil, &sp.call, sp.wire, 1, &sp.scratch)
	if err != nil {
		return nil, fmt.Errorf("making a call: %w", err)
	}
	if err := sp.codec.Decode(frame, &sp.call, &sp.scratch); err != nil {
		return nil, fmt.Errorf("reading the call that was made: %w", err)
	}
	sp.call.KeepPrefix = sp.call.Prefixed
	if len(extra) > 0 && len(sp.call.Info) == 0 {
		return nil, fmt.Errorf("--header: %s has no place for it", word)
	}
	return sp, nil
}

// strange is a wire with payload p that a codec of framing f must not take for its own: it then builds a frame from the
// message's parts instead of copying one.
func strange(f protocol.Framing, p protocol.Payload) protocol.Wire {
	switch f {
	case protocol.THeader, protocol.TTHeader, protocol.OSP, protocol.Dapeng:
		if p == protocol.Compact {
			return protocol.Wire{Framing: protocol.FramedCompact, Payload: p}
		}
		return protocol.Wire{Framing: protocol.FramedBinary, Payload: p}
	}
	return protocol.Wire{Framing: protocol.THeader, Payload: p}
}

// appendText appends the struct {id: string}, for id 0 or 1.
//
//	binary   0B id(2) len(4) text 00
//	compact  18 len text 00 (id 1 as a delta) · 08 00 len text 00 (id 0 has no delta form)
func appendText(dst []byte, p protocol.Payload, id byte, text []byte) []byte {
	if p == protocol.Compact {
		if id == 0 {
			dst = append(dst, 0x08, 0)
		} else {
			dst = append(dst, 0x08|id<<4)
		}
		dst = binary.AppendUvarint(dst, uint64(len(text)))
	} else {
		dst = append(dst, 0x0b, 0, id)
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(text)))
	}
	return append(append(dst, text...), 0)
}

// appendCall appends a call with this sequence.
func (sp *speech) appendCall(dst []byte, seq int32) ([]byte, error) {
	return sp.codec.AppendCall(dst, &sp.call, sp.wire, seq, &sp.scratch)
}

// errHeartbeat is a frame that answers no call.
var errHeartbeat = errors.New("a heartbeat")

// judge reads a reply. An error without a sequence (0) is of the connection, one with it is of the call.
func (sp *speech) judge(frame []byte) (seq int32, err error) {
	m := &sp.reply
	if err := sp.codec.Decode(frame, m, &sp.read); err != nil {
		return 0, fmt.Errorf("a reply that cannot be read: %w", err)
	}
	switch {
	case m.Type == protocol.MessageHeartbeat:
		return 0, errHeartbeat
	case m.Type == protocol.MessageException:
		return m.Seq, sp.exception()
	case m.Type != protocol.MessageReply:
		return 0, fmt.Errorf("message type %d instead of a reply", m.Type)
	case string(m.Body) != string(sp.result) && declared(m):
		return m.Seq, errDeclared
	case string(m.Body) != string(sp.result):
		return m.Seq, fmt.Errorf("a reply of %d bytes that is not the echo of the call (%d bytes)", len(m.Body), len(sp.result))
	}
	return m.Seq, nil
}

func (sp *speech) exception() error {
	m := &sp.reply
	if len(m.RetCode) > 0 {
		return &appError{text: fmt.Sprintf("%s: %s", m.RetCode, m.RetMessage), typ: -1}
	}
	text, typ, ok := protocol.AppException(m.Body, m.Payload)
	if !ok {
		return errors.New("an exception that cannot be read")
	}
	return &appError{text: string(text), typ: typ}
}

// appError is a TApplicationException, or an OSP or dapeng error (typ -1).
type appError struct {
	text string
	typ  int32
}

func (e *appError) Error() string {
	if e.typ < 0 {
		return e.text
	}
	return fmt.Sprintf("TApplicationException %d: %s", e.typ, e.text)
}

// Is makes errNotExecuted what begins as wire.md §9 says.
func (e *appError) Is(target error) bool {
	return target == errNotExecuted && strings.HasPrefix(e.text, "not executed:")
}

var (
	// errNotExecuted is a fault of a proxy that certainly did not let the call run.
	errNotExecuted = errors.New("not executed")
	// errDeclared is a reply that holds an exception which the method declares.
	errDeclared = errors.New("a declared exception")
)

// kindOf names what a failed reply was, for the counts by kind.
func kindOf(err error) string {
	var app *appError
	switch {
	case errors.Is(err, errDeclared):
		return "declared"
	case errors.Is(err, errNotExecuted):
		return "not_executed"
	case errors.As(err, &app) && app.typ >= 0:
		return fmt.Sprintf("exception_%d", app.typ)
	}
	return "exception"
}

// declared reports whether a result is none but a field that is not 0: an exception of the method.
//
//	binary   0C 00 01 …    compact   1C …
func declared(m *protocol.Message) bool {
	b := m.Body
	if m.Payload == protocol.Compact {
		return len(b) > 0 && b[0] == 0x1c
	}
	return len(b) > 2 && b[0] == 0x0c && b[1] == 0 && b[2] != 0
}
