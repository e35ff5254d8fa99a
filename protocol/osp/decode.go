package osp

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// maxEntries bounds Message.Info: two empty strings take two bytes in a compact header and 48 in Info.
const maxEntries = 1024

var infoRetCode = []byte(keyRetCode)

// What can be wrong with a frame. Values, not constructors: hostile input must not make the proxy allocate.
var (
	errLength    = defect(protocol.CodeTooLarge, "too_large", "the length announces more bytes than a frame may have")
	errShort     = defect(protocol.CodeProtocolError, "frame_too_short", "the length is too small for a header, a body and ETX")
	errMismatch  = defect(protocol.CodeProtocolError, "length_mismatch", "the length is not the frame's")
	errSTX       = defect(protocol.CodeProtocolError, "bad_stx", "byte 4 is not STX (0x02)")
	errETX       = defect(protocol.CodeProtocolError, "bad_etx", "the last byte of the frame is not ETX (0x03)")
	errVersion   = defect(protocol.CodeUnsupported, "dapeng_version", "only version 1 of dapeng's framing is spoken")
	errJSON      = defect(protocol.CodeUnsupported, "codec_json", "codec 2 (TJSON) is not spoken: use TBinary (0) or TCompact (1)")
	errCodec     = defect(protocol.CodeUnsupported, "codec_unknown", "the layout of this codec is not known: use TBinary (0) or TCompact (1)")
	errHeader    = defect(protocol.CodeProtocolError, "header_past_frame", "the header struct does not end inside its frame")
	errHeaderBig = defect(protocol.CodeTooLarge, "header_too_large", "the header struct is larger than 64 KiB")
	errEntries   = defect(protocol.CodeTooLarge, "header_entries", "the header has more than 1024 cookies and extFields")
	errName      = defect(protocol.CodeProtocolError, "name_too_long", "a service, method, version or caller name is longer than 1 KiB")
	errNoBody    = defect(protocol.CodeProtocolError, "no_body", "the frame ends where its body should begin")
)

func defect(code protocol.Code, reason, detail string) *protocol.Error {
	return &protocol.Error{Code: code, Reason: reason, Detail: detail, Offset: -1}
}

// Split implements protocol.Codec.
func (c *codec) Split(sc *protocol.Scan, buf []byte, max int) (n int, err error) {
	if len(buf) < lengthSize {
		sc.Need = lengthSize
		return 0, nil
	}
	if max <= 0 {
		max = protocol.DefaultMaxFrame
	}
	length := int(binary.BigEndian.Uint32(buf))
	switch {
	case length == 0:
		sc.Need = 0
		return lengthSize, nil
	case length > min(max, protocol.HardMaxFrame+lengthSize)-lengthSize:
		return 0, errLength
	case length < c.minLength():
		return 0, errShort
	case len(buf) == lengthSize:
		sc.Need = lengthSize + 1 // STX tells a stream that is out of step before a whole frame of it is waited for
		return 0, nil
	case buf[lengthSize] != stx:
		return 0, errSTX
	case len(buf) < lengthSize+length:
		sc.Need = lengthSize + length
		return 0, nil
	}
	sc.Need = 0
	return lengthSize + length, nil
}

// Decode implements protocol.Codec. All views into the frame end at their own last byte: appending to one copies.
func (c *codec) Decode(frame []byte, m *protocol.Message, s *protocol.Scratch) error {
	m.Reset()
	m.Frame, m.Framing, m.Type, m.OutOfOrder = frame, c.framing, protocol.MessageCall, true
	m.Payload = c.defaultPayload()
	if len(frame) == lengthSize && binary.BigEndian.Uint32(frame) == 0 {
		m.Type = protocol.MessageHeartbeat
		return nil
	}
	if err := c.prefix(frame, m); err != nil {
		return err
	}
	last := len(frame) - 1
	rest := frame[c.head:last:last]
	hp := c.headerPayload(m.Payload)
	n, err := walkHeader(hp, rest, s)
	if err != nil {
		_ = c.readHeader(hp, rest[:min(len(rest), protocol.MaxHeader)], m) // what can be read, for the fault
		return err
	}
	m.Header, m.Body = rest[:n:n], rest[n:]
	if err := c.readHeader(hp, m.Header, m); err != nil {
		return err
	}
	switch {
	case frame[last] != etx:
		return errETX
	case m.IsCall():
		return protocol.WalkExact(m.Payload, m.Body, &s.Walker)
	case len(m.Body) == 0 && m.Type == protocol.MessageReply:
		return errNoBody
	}
	return nil
}

// defaultPayload is the body's protocol until the codec byte was read.
func (d *dialect) defaultPayload() protocol.Payload {
	return protocol.Wire{Framing: d.framing}.PayloadFor(protocol.PayloadAny)
}

// prefix reads what lies before the header.
func (c *codec) prefix(frame []byte, m *protocol.Message) *protocol.Error {
	if len(frame) < lengthSize+c.minLength() {
		return errShort
	}
	if int(binary.BigEndian.Uint32(frame)) != len(frame)-lengthSize {
		return errMismatch
	}
	m.Seq = int32(binary.BigEndian.Uint32(frame[c.seqAt:]))
	m.MsgSeq = m.Seq
	if frame[lengthSize] != stx {
		return errSTX
	}
	if c.framing == protocol.Dapeng && frame[lengthSize+1] != dapengVersion {
		return errVersion
	}
	switch frame[c.codecAt] {
	case codecBinary:
		m.Payload = protocol.Binary
	case codecCompact:
		m.Payload = protocol.Compact
	case codecJSON:
		return errJSON
	default:
		return errCodec
	}
	return nil
}

// walkHeader finds the header's end without looking further than a header may be long.
func walkHeader(p protocol.Payload, b []byte, s *protocol.Scratch) (int, error) {
	cut := len(b) > protocol.MaxHeader
	if cut {
		b = b[:protocol.MaxHeader]
	}
	n, err := protocol.Walk(p, b, &s.Walker)
	switch {
	case err != protocol.ErrShort: //nolint:errorlint // a value to be compared with ==, says its comment
		return n, err
	case cut:
		return 0, errHeaderBig
	default:
		return 0, errHeader
	}
}

// readHeader fills m from a header struct. Unknown ids and wrong types are passed over; they stay in m.Header.
func (c *codec) readHeader(p protocol.Payload, hdr []byte, m *protocol.Message) error {
	var cookies, ext pairs
	reply := false
	f := fields{p: p, b: hdr}
	for f.next() {
		switch f.id {
		case idService:
			take(&m.Service, &f)
		case idMethod:
			take(&m.Method, &f)
		case idVersion:
			take(&m.Version, &f)
		case c.caller:
			take(&m.Caller, &f)
		case c.ret:
			reply = take(&m.RetCode, &f) || reply
		case c.retMessage:
			take(&m.RetMessage, &f)
		case c.timeout:
			if ms, ok := f.num(tI32); ok {
				m.Timeout = milliseconds(ms)
			}
		case c.cookies:
			if entries, ok := f.stringMap(); ok {
				cookies = entries
			}
		case c.ext:
			if entries, ok := f.stringMap(); ok {
				ext = entries
			}
		}
	}
	if reply {
		m.Type = protocol.MessageException
		if string(m.RetCode) == c.ok {
			m.Type = protocol.MessageReply
		}
	}
	if m.Type == protocol.MessageException {
		m.Info = append(m.Info, protocol.KV{Key: infoRetCode, Value: m.RetCode})
	}
	if !readMaps(cookies, ext, m) {
		return errEntries
	}
	return capNames(m)
}

// take sets dst to the current field's value when that is a string, and says whether it was.
func take(dst *[]byte, f *fields) bool {
	if f.typ != tString {
		return false
	}
	*dst = f.str()
	return true
}

// capNames empties the names that are too long, so that no fault repeats them.
func capNames(m *protocol.Message) error {
	var err error
	for _, name := range [...]*[]byte{&m.Service, &m.Method, &m.Version, &m.Caller} {
		if len(*name) > protocol.MaxName {
			*name, err = nil, errName
		}
	}
	return err
}

// readMaps sorts the entries of both maps into m; false when there are too many of them.
func readMaps(cookies, ext pairs, m *protocol.Message) bool {
	if cookies.left+ext.left > maxEntries {
		return false
	}
	call := m.IsCall()
	for k, v, ok := cookies.next(); ok; k, v, ok = cookies.next() {
		switch {
		case string(k) == keyTrace:
			m.Trace = v
		case string(k) == keyState:
			m.GoingAway = string(v) == stateClosing
		case call && own(k): // not the caller's to set
		default:
			m.Info = append(m.Info, protocol.KV{Key: k, Value: v})
		}
	}
	for k, v, ok := ext.next(); ok; k, v, ok = ext.next() {
		switch {
		case string(k) == keyTimeout:
			m.Timeout = milliseconds(decimal(v))
		case string(k) == keyState:
			m.GoingAway = string(v) == stateClosing
		case !call:
			m.Info = append(m.Info, protocol.KV{Key: k, Value: v})
		}
	}
	return true
}

// own reports whether the key is one of this project's.
func own(key []byte) bool { return len(key) >= len(keyOwn) && string(key[:len(keyOwn)]) == keyOwn }

// decimal reads a number without sign; 0 when it is none or above what an i32 holds.
func decimal(b []byte) int64 {
	var v int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0
		}
		if v = v*10 + int64(c-'0'); v > math.MaxInt32 {
			return 0
		}
	}
	return v
}

// milliseconds turns a header's number into a timeout; what is not positive is none.
func milliseconds(ms int64) time.Duration {
	return time.Duration(max(ms, 0)) * time.Millisecond
}
