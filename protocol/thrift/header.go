package thrift

import (
	"encoding/binary"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// The fourteen bytes that THeader and TTHeader begin with:
//
//	0       4        6        8      12       14           14+4*words
//	length  magic    flags    seq    words    header …     payload …
const (
	offMagic  = 4
	offFlags  = 6
	offSeq    = 8
	offWords  = 12
	offHeader = 14

	magicTHeader  = 0x0FFF
	magicTTHeader = 0x1000
)

// Keys of wire.md §5, §8 and §9.
const (
	keyService     = "service"
	keyVersion     = "version"
	keyCaller      = "caller"
	keyTrace       = "traceparent"
	keyTimeout     = "timeout" // decimal milliseconds
	keyOSPHeader   = "bellhop-osp-header"
	keyNotExecuted = "bellhop-not-executed"
	keyGoHome      = "bellhop-go-home"
	ownPrefix      = "bellhop-"
)

// maxInfo bounds the entries of one header: an empty one takes two bytes on the wire and 48 in a Message.
const maxInfo = 512

var (
	errPrefix     = defect("short", "the frame ends inside its header")
	errMagic      = defect("bad_magic", "the frame does not have the magic number of its framing")
	errHeader     = defect("header_past_end", "a header entry is longer than the header")
	errInfoCount  = defect("too_many_headers", "the header has more than 512 entries")
	errHeaderSize = &protocol.Error{
		Code: protocol.CodeTooLarge, Reason: "header_too_large", Offset: offWords,
		Detail: "the header is larger than 64 KiB",
	}
	errProtocol = &protocol.Error{
		Code: protocol.CodeUnsupported, Reason: "payload_protocol", Offset: offHeader,
		Detail: "the header names a payload protocol other than 0 (binary) and 2 (compact)",
	}
	errTransform = &protocol.Error{
		Code: protocol.CodeInvalidTransform, Reason: "transform", Offset: offHeader,
		Detail: "the header names a transform other than one zlib",
	}
)

// openHeader cuts a frame into header and payload and notes its sequence.
func openHeader(frame []byte, magic uint16, m *protocol.Message) (header, payload []byte, e *protocol.Error) {
	if len(frame) < offHeader {
		return nil, nil, errPrefix
	}
	if int(binary.BigEndian.Uint32(frame)) != len(frame)-4 {
		return nil, nil, errFrameEnd
	}
	if binary.BigEndian.Uint16(frame[offMagic:]) != magic {
		return nil, nil, errMagic
	}
	m.Seq = int32(binary.BigEndian.Uint32(frame[offSeq:]))
	size := int(binary.BigEndian.Uint16(frame[offWords:])) * 4
	switch {
	case size > protocol.MaxHeader:
		return nil, nil, errHeaderSize
	case size > len(frame)-offHeader:
		return nil, nil, errPrefix
	}
	m.Header = frame[offHeader : offHeader+size]
	return m.Header, frame[offHeader+size:], nil
}

// payloadOf maps the protocol ids that both framings share.
func payloadOf(id int) (protocol.Payload, *protocol.Error) {
	switch id {
	case 0:
		return protocol.Binary, nil
	case 2:
		return protocol.Compact, nil
	}
	return protocol.PayloadAny, errProtocol
}

func protocolID(p protocol.Payload) byte {
	if p == protocol.Compact {
		return 2
	}
	return 0
}

// cursor reads a header. After the first value that is not there everything reads as zero and bad is set.
type cursor struct {
	b   []byte
	pos int
	bad bool
}

func (c *cursor) more() bool { return !c.bad && c.pos < len(c.b) }

func (c *cursor) fail() int {
	c.bad = true
	return 0
}

func (c *cursor) u8() int {
	if c.bad || c.pos >= len(c.b) {
		return c.fail()
	}
	c.pos++
	return int(c.b[c.pos-1])
}

func (c *cursor) u16() int { return c.u8()<<8 | c.u8() }

func (c *cursor) varint() int {
	if c.bad {
		return 0
	}
	v, n := protocol.Varint32(c.b[c.pos:])
	if n <= 0 || int32(v) < 0 {
		return c.fail()
	}
	c.pos += n
	return int(v)
}

func (c *cursor) bytes(n int) []byte {
	if c.bad || n > len(c.b)-c.pos {
		c.fail()
		return nil
	}
	c.pos += n
	return c.b[c.pos-n : c.pos]
}

// addInfo appends one entry that no field of the model takes.
func addInfo(m *protocol.Message, key, value []byte) *protocol.Error {
	if len(m.Info) >= maxInfo {
		return errInfoCount
	}
	m.Info = append(m.Info, protocol.KV{Key: key, Value: value})
	return nil
}

// setTimeout reads decimal milliseconds; false: v is no such number.
func setTimeout(m *protocol.Message, v []byte) bool {
	if len(v) == 0 || len(v) > 10 {
		return false
	}
	ms := int64(0)
	for _, c := range v {
		if c < '0' || c > '9' {
			return false
		}
		ms = ms*10 + int64(c-'0')
	}
	m.Timeout = time.Duration(ms) * time.Millisecond
	return true
}

func appendTimeout(dst []byte, d time.Duration) []byte {
	return strconv.AppendInt(dst, max(int64(d/time.Millisecond), 1), 10)
}

// startHeader appends the fourteen bytes; words and length are filled in by sealHeader and closeFrame.
func startHeader(dst []byte, magic, flags uint16, seq int32) []byte {
	dst = binary.BigEndian.AppendUint16(openFrame(dst), magic)
	dst = binary.BigEndian.AppendUint16(dst, flags)
	return append(binary.BigEndian.AppendUint32(dst, uint32(seq)), 0, 0)
}

// sealHeader pads the header that ends dst to whole words and writes their number.
func sealHeader(dst []byte, base int) ([]byte, *protocol.Error) {
	for (len(dst)-base-offHeader)%4 != 0 {
		dst = append(dst, 0)
	}
	size := len(dst) - base - offHeader
	if size > protocol.MaxHeader {
		return dst[:base], errHeaderSize
	}
	binary.BigEndian.PutUint16(dst[base+offWords:], uint16(size/4))
	return dst, nil
}

// copyHeader appends m's own header byte for byte, with another frame sequence.
func copyHeader(dst []byte, m *protocol.Message, seq int32) []byte {
	base := len(dst)
	dst = append(dst, m.Frame[:offHeader+len(m.Header)]...)
	binary.BigEndian.PutUint32(dst[base+offSeq:], uint32(seq))
	return dst
}

// overridden reports whether an entry of Info gives way to a key of the model, or is hidden.
func overridden(m *protocol.Message, key []byte) bool {
	switch string(key) {
	case keyService, keyVersion, keyCaller, keyTrace, keyTimeout, keyOSPHeader:
		return true
	}
	return hidden(m, key)
}

// hidden reports whether a caller's header entry gives way to an entry of Extra with the same key or, in calls that get
// Extra entries, is left out because it pretends to be one of the proxy's own: a remote proxy trusts those.
func hidden(m *protocol.Message, key []byte) bool {
	if len(m.Extra) == 0 {
		return false
	}
	for i := range m.Extra {
		if string(m.Extra[i].Key) == string(key) {
			return true
		}
	}
	return m.IsCall() && strings.HasPrefix(string(key), ownPrefix)
}
