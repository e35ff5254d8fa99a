package osppeer

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// MaxFrame is the longest frame a peer reads, in bytes.
const MaxFrame = protocol.DefaultMaxFrame

const (
	stx = 0x02
	etx = 0x03
)

// Frame is one call or reply, or a heartbeat.
type Frame struct {
	Header
	Heartbeat bool // everything else is unset
	Payload   protocol.Payload
	Seq       int32
	Body      []byte // args or result struct; empty in dapeng's error replies
}

// codecs are the codec bytes by payload.
var codecs = map[protocol.Payload]byte{protocol.Binary: 0, protocol.Compact: 1}

// EncodeFrame returns the bytes of f in framing, protocol.OSP or protocol.Dapeng. Safe for concurrent use.
func EncodeFrame(framing protocol.Framing, f *Frame) ([]byte, error) {
	if f.Heartbeat {
		return make([]byte, 4), nil
	}
	code, ok := codecs[f.Payload]
	if !ok {
		return nil, fmt.Errorf("osppeer: no codec byte for payload %v", f.Payload)
	}
	header, err := f.encode(framing, f.Payload)
	if err != nil {
		return nil, err
	}
	b := []byte{0, 0, 0, 0, stx}
	if framing == protocol.Dapeng {
		b = append(b, 1) // version
	}
	b = binary.BigEndian.AppendUint32(append(b, code), uint32(f.Seq))
	b = append(append(append(b, header...), f.Body...), etx)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b, nil
}

// ReadFrame reads one frame. Errors of the frame name what was wrong; io.EOF means that the peer closed between frames.
func ReadFrame(r *bufio.Reader, framing protocol.Framing) (*Frame, error) {
	var prefix [4]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(prefix[:])
	if length == 0 {
		return &Frame{Heartbeat: true}, nil
	}
	if length > MaxFrame {
		return nil, fmt.Errorf("osppeer: a frame of %d bytes, the most is %d", length, MaxFrame)
	}
	b := make([]byte, length)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("osppeer: inside a frame: %w", err)
	}
	return parse(framing, b)
}

// parse reads what follows the length.
func parse(framing protocol.Framing, b []byte) (*Frame, error) {
	head := 6 // STX codec sequence(4)
	if framing == protocol.Dapeng {
		head = 7 // STX version codec sequence(4)
	}
	if len(b) < head+2 || b[0] != stx || b[len(b)-1] != etx {
		return nil, errors.New("osppeer: a frame that is not STX … ETX")
	}
	if framing == protocol.Dapeng && b[1] != 1 {
		return nil, fmt.Errorf("osppeer: dapeng version %d, only 1 is known", b[1])
	}
	f := &Frame{Seq: int32(binary.BigEndian.Uint32(b[head-4:]))}
	switch code := b[head-5]; code {
	case 0:
		f.Payload = protocol.Binary
	case 1:
		f.Payload = protocol.Compact
	default:
		return nil, fmt.Errorf("osppeer: codec %d is not spoken here", code)
	}
	buf := thrift.NewTMemoryBuffer()
	buf.Write(b[head : len(b)-1])
	if err := f.decode(framing, f.Payload, buf); err != nil {
		return nil, fmt.Errorf("osppeer: header: %w", err)
	}
	f.Body = buf.Bytes()
	return f, nil
}
