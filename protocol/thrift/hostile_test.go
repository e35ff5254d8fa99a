package thrift

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	apache "github.com/apache/thrift/lib/go/thrift"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// sized puts a frame's length before it.
func sized(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

// headed builds a THeader or TTHeader frame around a header and a payload.
func headed(magic uint16, header, payload []byte) []byte {
	header = append(bytes.Clone(header), make([]byte, (4-len(header)%4)%4)...)
	b := binary.BigEndian.AppendUint16(nil, magic)
	b = append(b, 0, 0, 0, 0, 0, 9)
	b = binary.BigEndian.AppendUint16(b, uint16(len(header)/4))
	return sized(append(append(b, header...), payload...))
}

func squeezed(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// What hostile callers send: each is refused by name, and what can be known for the fault is known.
func TestHostile(t *testing.T) {
	const msg = "80010001 00000004 6563686f 00000003 0b0001 00000003 626f62 00"
	good := unhex(t, msg)
	squeezedGood := squeezed(t, good)
	broken := bytes.Clone(squeezedGood)
	broken[len(broken)-1]++
	long := append(unhex(t, "80010001 00000401"), make([]byte, 0x401+5)...)
	key := func(name string, n int) []byte {
		h := append(unhex(t, "00 00 01 01"), byte(len(name)))
		h = protocol.AppendVarint32(append(h, name...), uint32(n))
		return append(h, make([]byte, n)...)
	}
	th := func(header string, payload []byte) []byte { return headed(magicTHeader, unhex(t, header), payload) }
	tt := func(header string, payload []byte) []byte { return headed(magicTTHeader, unhex(t, header), payload) }
	for _, c := range []struct {
		name   string
		f      protocol.Framing
		frame  []byte
		code   protocol.Code
		reason string
		method string // what the fault can name
		seq    int32
	}{
		{"two messages", protocol.FramedBinary, sized(append(bytes.Clone(good), good...)), protocol.CodeProtocolError, "trailing_bytes", "echo", 3},
		{"string past frame", protocol.FramedBinary, sized(unhex(t, "80010001 00000004 6563686f 00000003 0b0001 00000009 626f62 00")), protocol.CodeProtocolError, "string_past_frame", "echo", 3},
		{"no body", protocol.FramedBinary, sized(good[:16]), protocol.CodeProtocolError, "short", "echo", 3},
		{"type 5", protocol.FramedBinary, sized(unhex(t, "80010005 00000004 6563686f 00000003 00")), protocol.CodeProtocolError, "bad_message_type", "echo", 3},
		{"type 0", protocol.FramedCompact, sized(unhex(t, "82 01 03 04 6563686f 00")), protocol.CodeProtocolError, "bad_message_type", "echo", 3},
		{"version 2", protocol.FramedBinary, sized(unhex(t, "80020001 00000004 6563686f 00000003 00")), protocol.CodeProtocolError, "bad_version", "", 0},
		{"long name", protocol.FramedBinary, sized(long), protocol.CodeProtocolError, "name_too_long", "", 0},
		{"long lax name", protocol.FramedLax, sized(long[4:]), protocol.CodeProtocolError, "name_too_long", "", 0},
		{"negative name", protocol.FramedBinary, sized(unhex(t, "80010001 ffffffff 6563686f 00000003 00")), protocol.CodeProtocolError, "negative_size", "", 0},
		{"cut header", protocol.FramedBinary, sized(good[:10]), protocol.CodeProtocolError, "short", "", 0},
		{"wrong length", protocol.FramedBinary, append(sized(good), 0), protocol.CodeProtocolError, "bad_length", "echo", 3},
		{"fbthrift", protocol.FramedCompact, sized(unhex(t, "82 22 03 04 6563686f 00")), protocol.CodeUnsupported, "fbthrift_compact", "", 0},
		{"overlong seq", protocol.FramedCompact, sized(unhex(t, "82 21 ffffffff1f 04 6563686f 00")), protocol.CodeProtocolError, "bad_varint", "", 0},
		{"negative compact name", protocol.FramedCompact, sized(unhex(t, "82 21 03 ffffffff0f 00")), protocol.CodeProtocolError, "negative_size", "", 0},

		{"magic", protocol.THeader, tt("00 00", good), protocol.CodeProtocolError, "bad_magic", "", 0},
		{"header past frame", protocol.THeader, sized(unhex(t, "0fff 0000 00000009 0001 0000")), protocol.CodeProtocolError, "short", "", 9},
		{"no header", protocol.THeader, sized(append(unhex(t, "0fff 0000 00000009 0000"), good...)), protocol.CodeProtocolError, "header_past_end", "", 9},
		{"header of 64 KiB and a word", protocol.THeader, headed(magicTHeader, make([]byte, protocol.MaxHeader+4), good), protocol.CodeTooLarge, "header_too_large", "", 9},
		{"JSON", protocol.THeader, th("01 00", good), protocol.CodeUnsupported, "payload_protocol", "", 9},
		{"hmac", protocol.THeader, th("00 01 02 00", good), protocol.CodeInvalidTransform, "transform", "", 9},
		{"snappy", protocol.THeader, th("00 01 03", good), protocol.CodeInvalidTransform, "transform", "", 9},
		{"zlib twice", protocol.THeader, th("00 02 01 01", squeezedGood), protocol.CodeInvalidTransform, "transform", "", 9},
		{"a million transforms", protocol.THeader, th("00 ffffff07", good), protocol.CodeProtocolError, "header_past_end", "", 9},
		{"no zlib", protocol.THeader, th("00 01 01", good), protocol.CodeProtocolError, "bad_zlib", "", 9},
		{"cut zlib", protocol.THeader, th("00 01 01", squeezedGood[:len(squeezedGood)-1]), protocol.CodeProtocolError, "bad_zlib", "", 9},
		{"zlib and more", protocol.THeader, th("00 01 01", append(bytes.Clone(squeezedGood), 0)), protocol.CodeProtocolError, "bad_zlib", "", 9},
		{"zlib checksum", protocol.THeader, th("00 01 01", broken), protocol.CodeProtocolError, "bad_zlib", "", 9},
		{"two messages in zlib", protocol.THeader, th("00 01 01", squeezed(t, append(bytes.Clone(good), good...))), protocol.CodeProtocolError, "trailing_bytes", "echo", 9},
		{"bomb", protocol.THeader, th("00 01 01", squeezed(t, make([]byte, 1<<20))), protocol.CodeTooLarge, "too_large", "", 9},
		{"key past header", protocol.THeader, th("00 00 01 01 7f 61", good), protocol.CodeProtocolError, "header_past_end", "", 9},
		{"a million keys", protocol.THeader, th("00 00 01 ffffff07", good), protocol.CodeProtocolError, "header_past_end", "", 9},
		{"513 keys", protocol.THeader, headed(magicTHeader, append(unhex(t, "00 00 01 8104"), make([]byte, 2*513)...), good), protocol.CodeProtocolError, "too_many_headers", "", 9},
		{"long service", protocol.THeader, headed(magicTHeader, key("service", 1025), good), protocol.CodeProtocolError, "name_too_long", "echo", 9},
		{"long caller", protocol.THeader, headed(magicTHeader, key("caller", 1025), good), protocol.CodeProtocolError, "name_too_long", "echo", 9},

		{"transform", protocol.TTHeader, tt("00 01 01", good), protocol.CodeInvalidTransform, "transform", "", 9},
		{"protobuf", protocol.TTHeader, tt("03 00", good), protocol.CodeUnsupported, "payload_protocol", "", 9},
		{"string past header", protocol.TTHeader, tt("00 00 01 0001 00ff 61", good), protocol.CodeProtocolError, "header_past_end", "", 9},
		{"int past header", protocol.TTHeader, tt("00 00 10 0001 0006 00ff 61", good), protocol.CodeProtocolError, "header_past_end", "", 9},
		{"token past header", protocol.TTHeader, tt("00 00 11 00ff 61", good), protocol.CodeProtocolError, "header_past_end", "", 9},
		{"65535 keys", protocol.TTHeader, tt("00 00 01 ffff", good), protocol.CodeProtocolError, "header_past_end", "", 9},
		{"inner frame too long", protocol.TTHeader, tt("00 00", append(unhex(t, "0000001c"), good...)), protocol.CodeProtocolError, "short", "", 9},
	} {
		t.Run(c.f.String()+"/"+c.name, func(t *testing.T) {
			var m protocol.Message
			s := protocol.Scratch{Max: 1 << 18}
			var e *protocol.Error
			err := codec(t, c.f).Decode(c.frame, &m, &s)
			if !errors.As(err, &e) || e.Code != c.code || e.Reason != c.reason {
				t.Errorf("%v, want %v %s", err, c.code, c.reason)
			}
			if string(m.Method) != c.method || m.Seq != c.seq {
				t.Errorf("method %q, sequence %d", m.Method, m.Seq)
			}
			if cap(s.Inflated) > s.Max*2 {
				t.Errorf("%d bytes of output are held", cap(s.Inflated))
			}
			cd := codec(t, c.f)
			if n := testing.AllocsPerRun(10, func() { _ = cd.Decode(c.frame, &m, &s) }); c.name != "bomb" && n > 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

// Lengths that no frame may have.
func TestHostileSplit(t *testing.T) {
	deepStruct := append(unhex(t, "80010001 00000004 6563686f 00000003"), bytes.Repeat([]byte{12, 0, 1}, 65)...)
	for _, c := range []struct {
		name   string
		f      protocol.Framing
		hex    []byte
		code   protocol.Code
		reason string
	}{
		{"zero", protocol.FramedBinary, unhex(t, "00000000"), protocol.CodeProtocolError, "zero_frame"},
		{"negative", protocol.FramedBinary, unhex(t, "80010001"), protocol.CodeProtocolError, "negative_size"},
		{"huge", protocol.THeader, unhex(t, "3fffffff"), protocol.CodeTooLarge, "too_large"},
		{"huge unframed string", protocol.UnframedBinary, unhex(t, "80010001 00000004 6563686f 00000003 0b0001 7fffffff"), protocol.CodeTooLarge, "too_large"},
		{"huge unframed list", protocol.UnframedCompact, unhex(t, "82 21 03 04 6563686f 19 fc ffffffff07"), protocol.CodeTooLarge, "too_large"},
		{"long unframed name", protocol.UnframedBinary, unhex(t, "80010001 00000401"), protocol.CodeProtocolError, "name_too_long"},
		{"unframed version", protocol.UnframedCompact, unhex(t, "82 23"), protocol.CodeProtocolError, "bad_version"},
		{"unframed depth", protocol.UnframedBinary, deepStruct, protocol.CodeProtocolError, "depth"},
		{"unframed type", protocol.UnframedLax, unhex(t, "00000004 6563686f 01 00000003 07"), protocol.CodeProtocolError, "bad_type"},
		{"unframed message type", protocol.UnframedLax, unhex(t, "00000004 6563686f 07 00000003 00"), protocol.CodeProtocolError, "bad_message_type"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var sc protocol.Scan
			var e *protocol.Error
			if n, err := codec(t, c.f).Split(&sc, c.hex, 0); n != 0 || !errors.As(err, &e) || e.Code != c.code || e.Reason != c.reason {
				t.Errorf("%d, %v, want %v %s", n, err, c.code, c.reason)
			}
		})
	}
}

// A large unframed message that arrives in small pieces costs one walk: what was passed is not looked at again.
func TestUnframedWalksOnce(t *testing.T) {
	body := &node{t: apache.STRUCT, ids: []int16{1}, kids: []node{{t: apache.LIST, vt: apache.STRING}}}
	for range 2000 {
		body.kids[0].kids = append(body.kids[0].kids, node{t: apache.STRING, str: strings.Repeat("x", 50)})
	}
	w := protocol.Wire{Framing: protocol.UnframedBinary, Payload: protocol.Binary}
	frame := apacheFrame(t, w, "echo", apache.CALL, 1, body, nil)
	c := codec(t, w.Framing)
	var sc protocol.Scan
	var b []byte
	passed := 0
	for len(b) < len(frame) {
		b = append(b, frame[len(b):min(len(b)+100, len(frame))]...)
		n, err := c.Split(&sc, b, 0)
		if err != nil || (n > 0) != (len(b) == len(frame)) {
			t.Fatalf("after %d of %d bytes: %d, %v", len(b), len(frame), n, err)
		}
		if n == 0 {
			clear(b[passed:sc.Pos]) // would be nonsense to a second look
			passed = sc.Pos
		}
	}
	if passed < len(frame)/2 {
		t.Errorf("only %d of %d bytes were passed before the last piece", passed, len(frame))
	}
}
