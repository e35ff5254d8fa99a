package protocol

import (
	"encoding/binary"
	"strings"
)

// DetectBytes is how many bytes Detect needs at most before it decides or refuses.
const DetectBytes = 64

// What a connection's first bytes may be instead of a framing that is spoken here.
var (
	errTLS          = refusal("tls", "the bytes look like a TLS handshake; this listener speaks plain text")
	errHTTP2        = refusal("http2", "the bytes look like HTTP/2 (gRPC?)")
	errProxyV1      = refusal("proxy_protocol", "the bytes look like the PROXY protocol, version 1")
	errProxyV2      = refusal("proxy_protocol", "the bytes look like the PROXY protocol, version 2")
	errFbthrift     = refusal("fbthrift_compact", "compact protocol version 2 (fbthrift) is not spoken here; use version 1")
	errJSONProtocol = refusal("json_protocol", "Thrift's JSON protocols are not spoken here; use binary or compact")
	errOSPCodec     = refusal("osp_codec", "an OSP frame with a codec other than 0 (binary) and 1 (compact)")
	errUnknown      = refusal("unknown_framing", "the first bytes fit no framing; pin the listener if it is unframed lax binary")
)

func refusal(reason, detail string) *Error {
	return &Error{Code: CodeUnsupported, Reason: reason, Detail: detail, Offset: 0}
}

// Detect tells the framing of a connection from its first bytes (wire.md §4). FramingUnknown without an error: more
// bytes are needed. heartbeats is the number of leading bytes that are four-byte zero heartbeats: the caller of Detect
// answers them (echo) and drops them, the connection stays undecided. An error (*Error) names what the bytes look like
// (TLS, HTTP/2, PROXY protocol, fbthrift compact, …). Safe for concurrent use.
//
//	80 01 | 82 x1        unframed strict binary | compact
//	A–Z                  HTTP, or HTTP/2 and PROXY protocol to be refused
//	len(4) 0F FF | 10 00 THeader | TTHeader
//	len(4) 80 01 | 82 x1 framed strict binary | compact
//	len(4) 02 …          dapeng, OSP
//	len(4) size(4) …     framed lax binary
func Detect(b []byte) (f Framing, heartbeats int, err error) {
	for len(b)-heartbeats >= 4 && binary.BigEndian.Uint32(b[heartbeats:]) == 0 {
		heartbeats += 4
	}
	f, e := detect(b[heartbeats:])
	if e != nil {
		return FramingUnknown, heartbeats, e
	}
	return f, heartbeats, nil
}

func detect(b []byte) (Framing, *Error) {
	if len(b) == 0 {
		return FramingUnknown, nil
	}
	switch c := b[0]; {
	case c == 0x80 || c == 0x82:
		return detectMessage(b, UnframedBinary, UnframedCompact)
	case c >= 'A' && c <= 'Z':
		return detectText(b)
	case c == '[' || c == '{':
		return FramingUnknown, errJSONProtocol
	case c > HardMaxFrame>>24:
		return FramingUnknown, errUnknown // no length is that large
	case c == 0x16 && len(b) > 1 && b[1] == 3:
		return FramingUnknown, errTLS
	case len(b) < 4:
		return FramingUnknown, nil
	case string(b[:4]) == "\r\n\r\n":
		return FramingUnknown, errProxyV2
	}
	return detectFramed(b, int(binary.BigEndian.Uint32(b)))
}

// detectMessage tells a strict binary message from a compact one; b[0] is 80 or 82.
func detectMessage(b []byte, strict, compact Framing) (Framing, *Error) {
	switch {
	case len(b) < 2:
		return FramingUnknown, nil
	case b[0] == 0x80 && b[1] == 0x01:
		return strict, nil
	case b[0] == 0x82 && b[1]&0x1F == 1:
		return compact, nil
	case b[0] == 0x82 && b[1]&0x1F == 2:
		return FramingUnknown, errFbthrift
	}
	return FramingUnknown, errUnknown
}

var textStarts = [...]struct {
	word string
	f    Framing
	e    *Error
}{
	{"POST ", HTTP, nil},
	{"GET ", HTTP, nil},
	{"PUT ", HTTP, nil},
	{"HEAD ", HTTP, nil},
	{"DELETE ", HTTP, nil},
	{"OPTIONS ", HTTP, nil},
	{"PATCH ", HTTP, nil},
	{"CONNECT ", HTTP, nil},
	{"TRACE ", HTTP, nil},
	{"PRI ", FramingUnknown, errHTTP2},
	{"PROXY ", FramingUnknown, errProxyV1},
}

// detectText waits only as long as what is there may still become one of the words.
func detectText(b []byte) (Framing, *Error) {
	may := false
	for i := range textStarts {
		t := &textStarts[i]
		if len(b) >= len(t.word) && string(b[:len(t.word)]) == t.word {
			return t.f, t.e
		}
		may = may || (len(b) < len(t.word) && strings.HasPrefix(t.word, string(b)))
	}
	if may {
		return FramingUnknown, nil
	}
	return FramingUnknown, errUnknown
}

// leastFrame is the shortest frame that any framing can be in, without its length: a compact message with an empty
// name and no fields.
const leastFrame = 5

// detectFramed decides from what follows the length n.
func detectFramed(b []byte, n int) (Framing, *Error) {
	if n > HardMaxFrame || n < leastFrame {
		return FramingUnknown, errUnknown
	}
	if len(b) < 5 {
		return FramingUnknown, nil
	}
	if b[4] == 0x80 || b[4] == 0x82 {
		return detectMessage(b[4:], FramedBinary, FramedCompact)
	}
	if b[4] == '[' || b[4] == '{' {
		return FramingUnknown, errJSONProtocol
	}
	if len(b) < 6 {
		return FramingUnknown, nil
	}
	switch binary.BigEndian.Uint16(b[4:]) {
	case 0x0FFF:
		return THeader, nil
	case 0x1000:
		return TTHeader, nil
	case 0x0200:
		return detectOSPBinary(b, n)
	case 0x0201:
		return detectDapeng(b, n)
	}
	if b[4] == 2 {
		return FramingUnknown, errOSPCodec
	}
	return detectLax(b, n)
}

// detectOSPBinary: len(4) 02 00 seq(4) header, which begins with a string field.
func detectOSPBinary(b []byte, n int) (Framing, *Error) {
	switch {
	case n+4 < 12:
		return FramingUnknown, errUnknown
	case len(b) < 11:
		return FramingUnknown, nil
	case b[10] == binString:
		return OSP, nil
	}
	return FramingUnknown, errUnknown
}

// detectDapeng tests dapeng before OSP compact: a dapeng frame with sequence 24 in its low byte passes both tests.
//
//	dapeng       len(4) 02 01 codec(1) seq(4) 0B 00 01 …
//	OSP compact  len(4) 02 01 seq(4) 18 …
func detectDapeng(b []byte, n int) (Framing, *Error) {
	const wait = 14
	switch {
	case n+4 < wait:
		return FramingUnknown, errUnknown
	case len(b) < wait:
		return FramingUnknown, nil
	case b[6] <= 2 && b[11] == binString && b[12] == 0 && b[13] == 1:
		return Dapeng, nil
	case b[10] == 1<<4|cmpString:
		return OSP, nil
	}
	return FramingUnknown, errUnknown
}

// detectLax: len(4) size(4) name type(1) seq(4) struct. A name must be printable; one that is longer than DetectBytes
// allows to wait for is taken for a name without having seen the type behind it.
func detectLax(b []byte, n int) (Framing, *Error) {
	if len(b) < 8 {
		return FramingUnknown, nil
	}
	name := int(binary.BigEndian.Uint32(b[4:]))
	if name == 0 || name > MaxName || n < 4+name+1+4+1 {
		return FramingUnknown, errUnknown
	}
	seen := b[8:min(len(b), 8+name, DetectBytes)]
	for _, c := range seen {
		if c < ' ' || c > '~' {
			return FramingUnknown, errUnknown
		}
	}
	switch at := 8 + name; {
	case at >= DetectBytes && len(b) >= DetectBytes:
		return FramedLax, nil
	case at >= len(b):
		return FramingUnknown, nil
	case MessageType(b[at]) >= MessageCall && MessageType(b[at]) <= MessageOneway:
		return FramedLax, nil
	}
	return FramingUnknown, errUnknown
}
