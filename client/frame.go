package client

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
)

// Framing is how a TClient writes its calls.
type Framing uint8

// The framings. In the framed ones the message's name is `Service:method`; THeader has keys for the service, the
// deadline and the caller.
const (
	FramedBinary Framing = iota
	FramedCompact
	THeader        // binary payload
	THeaderCompact // compact payload
)

// The keys of the THeader framing (docs/protocols.md).
const (
	keyService     = "service"
	keyTimeout     = "timeout" // ms
	keyCaller      = "caller"
	keyNotExecuted = "bellhop-not-executed"
	keyGoHome      = "bellhop-go-home"
)

// codec writes calls and reads replies in one framing. Immutable, so safe for concurrent use.
type codec struct {
	framing Framing
	service string
	caller  string
	cfg     *thrift.TConfiguration
}

func newCodec(service string, o CallOptions, maxFrame int) (*codec, error) {
	if o.Framing > THeaderCompact {
		return nil, fmt.Errorf("bellhop: framing %d is unknown", o.Framing)
	}
	id := thrift.THeaderProtocolBinary
	if o.Framing == THeaderCompact {
		id = thrift.THeaderProtocolCompact
	}
	return &codec{framing: o.Framing, service: service, caller: o.Caller, cfg: &thrift.TConfiguration{
		MaxMessageSize: int32(maxFrame), MaxFrameSize: int32(maxFrame), THeaderProtocolID: &id,
	}}, nil
}

// protocol reads or writes one message in mem.
func (cd *codec) protocol(mem *thrift.TMemoryBuffer) thrift.TProtocol {
	switch cd.framing {
	case FramedCompact:
		return thrift.NewTCompactProtocolConf(mem, cd.cfg)
	case THeader, THeaderCompact:
		return thrift.NewTHeaderProtocolConf(mem, cd.cfg)
	default:
		return thrift.NewTBinaryProtocolConf(mem, cd.cfg)
	}
}

// encode writes one call as a whole frame.
//
//	len(4, excludes itself) · message       framed
//	len(4) 0FFF … message                   THeader: the library writes all of it
func (cd *codec) encode(ctx context.Context, method string, oneway bool, seq int32, args thrift.TStruct) ([]byte, error) {
	mem := thrift.NewTMemoryBufferLen(512)
	name := method
	p := cd.protocol(mem)
	hp, header := p.(*thrift.THeaderProtocol)
	if header {
		cd.setKeys(ctx, hp)
	} else {
		_, _ = mem.Write([]byte{0, 0, 0, 0})
		if cd.service != "" {
			name = cd.service + ":" + method
		}
	}
	kind := thrift.CALL
	if oneway {
		kind = thrift.ONEWAY
	}
	if err := p.WriteMessageBegin(ctx, name, kind, seq); err != nil {
		return nil, err
	}
	if err := args.Write(ctx, p); err != nil {
		return nil, err
	}
	if err := p.WriteMessageEnd(ctx); err != nil {
		return nil, err
	}
	if err := p.Flush(ctx); err != nil {
		return nil, err
	}
	frame := mem.Bytes()
	if !header {
		binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	}
	if len(frame)-4 > int(cd.cfg.GetMaxFrameSize()) {
		return nil, fmt.Errorf("a call of %d bytes, at most %d", len(frame)-4, cd.cfg.GetMaxFrameSize())
	}
	return frame, nil
}

func (cd *codec) setKeys(ctx context.Context, hp *thrift.THeaderProtocol) {
	for _, key := range thrift.GetWriteHeaderList(ctx) {
		if value, ok := thrift.GetHeader(ctx, key); ok {
			hp.SetWriteHeader(key, value)
		}
	}
	if cd.service != "" {
		hp.SetWriteHeader(keyService, cd.service)
	}
	if cd.caller != "" {
		hp.SetWriteHeader(keyCaller, cd.caller)
	}
	if at, ok := ctx.Deadline(); ok {
		left := max(time.Until(at).Milliseconds(), 1)
		hp.SetWriteHeader(keyTimeout, strconv.FormatInt(left, 10))
	}
}

// errMismatch: the reply is not the reply to this call; the connection can't be trusted any more.
var errMismatch = errors.New("the reply does not belong to the call")

// reply is what came back for one call.
type reply struct {
	headers     thrift.THeaderMap
	app         thrift.TApplicationException // nil for a REPLY
	notExecuted bool
	goHome      bool  // a moved caller: its host's grant is spent
	err         error // the reply could not be read
}

// decode reads a whole frame into result.
func (cd *codec) decode(ctx context.Context, frame []byte, method string, seq int32, result thrift.TStruct) reply {
	if cd.framing < THeader {
		frame = frame[4:]
	}
	p := cd.protocol(&thrift.TMemoryBuffer{Buffer: bytes.NewBuffer(frame)})
	hp, header := p.(*thrift.THeaderProtocol)
	name, kind, gotSeq, err := p.ReadMessageBegin(ctx)
	if err != nil {
		return reply{err: err}
	}
	var r reply
	if header {
		r.headers = hp.GetReadHeaders()
	}
	if gotSeq != seq || (name != method && kind != thrift.EXCEPTION) {
		r.err = fmt.Errorf("%w: %s with sequence %d, want %s with %d", errMismatch, name, gotSeq, method, seq)
		return r
	}
	r.goHome = r.headers[keyGoHome] != ""
	switch kind {
	case thrift.REPLY:
		r.err = result.Read(ctx, p)
	case thrift.EXCEPTION:
		r.app = thrift.NewTApplicationException(0, "")
		r.err = r.app.Read(ctx, p)
		r.notExecuted = r.app.TypeId() == appLoadshedding && strings.HasPrefix(r.app.Error(), notExecuted) ||
			r.headers[keyNotExecuted] == "true"
		r.goHome = r.goHome || r.notExecuted && strings.HasPrefix(r.app.Error(), goHome)
	default:
		r.err = fmt.Errorf("%w: a message of type %d", errMismatch, kind)
	}
	return r
}
