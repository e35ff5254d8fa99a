package call

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bellhop-mesh/bellhop/client"
	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/protocol/osp"
	"github.com/bellhop-mesh/bellhop/protocol/thrift"
)

// seq is the sequence of the one call of a connection. Not 0, which some servers answer with whatever they were asked.
const seq = 1

// request is one call.
type request struct {
	wire                             protocol.Wire
	service, method, version, caller string
	oneway, prefix                   bool
	timeout                          time.Duration
	body                             []byte // TBinary
	maxFrame                         int
}

// reply is how a call ended: with a result struct in TBinary, or a fault. Both are nil for a oneway.
type reply struct {
	body  []byte
	fault *fault
	notes []string // what was odd and did no harm
}

// fault is what --json prints under that name.
type fault struct {
	Code        string `json:"code"` // client.Class's words, and bad_reply
	Type        string `json:"type"` // TApplicationException's, or TRANSPORT
	Message     string `json:"message"`
	NotExecuted bool   `json:"not_executed"`
	RetCode     string `json:"ret_code,omitempty"` // OSP and dapeng
}

const (
	typeTransport = "TRANSPORT"
	codeBadReply  = "bad_reply"
)

func codecFor(f protocol.Framing) protocol.Codec {
	for _, c := range append(thrift.Codecs(), osp.Codecs()...) {
		if c.Framing() == f {
			return c
		}
	}
	return nil
}

// frame writes the call as its framing has it.
func (r *request) frame(codec protocol.Codec) ([]byte, error) {
	m := &protocol.Message{
		Wire: protocol.Wire{Payload: protocol.Binary}, Type: protocol.MessageCall, Seq: seq, MsgSeq: seq,
		Service: []byte(r.service), Method: []byte(r.method), Version: []byte(r.version), Caller: []byte(r.caller),
		Timeout: r.timeout, Body: r.body, KeepPrefix: r.prefix,
	}
	if r.oneway {
		m.Type = protocol.MessageOneway
	}
	to := r.wire
	to.Payload = to.PayloadFor(protocol.PayloadAny)
	return codec.AppendCall(nil, m, to, seq, &protocol.Scratch{Max: r.maxFrame})
}

// exchange makes the call over l. It never returns without an answer: what fails is a fault.
func (r *request) exchange(ctx context.Context, l link) reply {
	codec := codecFor(r.wire.Framing)
	out, err := r.frame(codec)
	if err != nil {
		return failed(&linkError{client.ClassUnsent, err})
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	if err := l.send(ctx, out); err != nil {
		return failed(err)
	}
	if r.oneway {
		return reply{}
	}
	for {
		in, err := r.read(codec, l)
		if err != nil {
			return failed(err)
		}
		m, s := &protocol.Message{}, &protocol.Scratch{Max: r.maxFrame}
		if err := codec.Decode(in.frame, m, s); err != nil {
			return bad("the reply: %v", err)
		}
		if m.Type == protocol.MessageHeartbeat {
			l = in.rest
			continue
		}
		return r.understood(m, s)
	}
}

// received is one frame and what came behind it.
type received struct {
	frame []byte
	rest  *remainder
}

// remainder is a link with bytes that were read too early.
type remainder struct {
	link
	b []byte
}

func (r *remainder) recv(p []byte) (int, error) {
	if len(r.b) > 0 {
		n := copy(p, r.b)
		r.b = r.b[n:]
		return n, nil
	}
	return r.link.recv(p)
}

// read collects one frame. It grows with the bytes that came, never by an announced length.
func (r *request) read(codec protocol.Codec, l link) (received, error) {
	var buf []byte
	sc, chunk := &protocol.Scan{}, make([]byte, 64<<10)
	for {
		n, err := l.recv(chunk)
		buf = append(buf, chunk[:n]...)
		if n > 0 && len(buf) >= sc.Need {
			size, e := codec.Split(sc, buf, r.maxFrame)
			if e != nil {
				return received{}, fmt.Errorf("the reply is no %s: %w (it begins %x; see --framing)", r.wire.Framing, e, buf[:min(len(buf), 16)])
			}
			if size > 0 {
				return received{buf[:size], &remainder{l, buf[size:]}}, nil
			}
		}
		if err != nil {
			return received{}, err
		}
		if len(buf) > r.maxFrame+protocol.MaxHeader {
			return received{}, fmt.Errorf("the reply is longer than %d bytes", r.maxFrame)
		}
	}
}

// understood takes a decoded reply apart.
func (r *request) understood(m *protocol.Message, s *protocol.Scratch) reply {
	var notes []string
	if m.Seq != seq {
		notes = append(notes, fmt.Sprintf("the reply's sequence is %d, the call's %d: declare such servers `seqid: positional`", m.Seq, seq))
	}
	if len(m.Method) > 0 && r.wire.Framing != protocol.OSP && r.wire.Framing != protocol.Dapeng && string(m.Method) != r.method {
		notes = append(notes, fmt.Sprintf("the reply names the method %q", m.Method))
	}
	switch m.Type {
	case protocol.MessageException:
		f := exception(m)
		return reply{fault: f, notes: notes}
	case protocol.MessageReply:
	default:
		return bad("the answer is a message of type %d, not a reply", m.Type)
	}
	if err := protocol.WalkExact(m.Payload, m.Body, &s.Walker); err != nil {
		return bad("the reply's body: %v", err)
	}
	body, err := protocol.Transcode(nil, m.Payload, protocol.Binary, m.Body, 4*r.maxFrame)
	if err != nil {
		return bad("the reply's body: %v", err)
	}
	return reply{body: body, notes: notes}
}

const (
	keyNotExecuted = "bellhop-not-executed"
	notExecuted    = "not executed:"
)

// exception reads an error reply: a TApplicationException, or OSP's and dapeng's retCode.
func exception(m *protocol.Message) *fault {
	f := &fault{Code: client.ClassApp.String()}
	v, _ := m.Find(keyNotExecuted)
	f.NotExecuted = string(v) == "true"
	if m.Framing == protocol.OSP || m.Framing == protocol.Dapeng {
		f.RetCode, f.Message = string(m.RetCode), string(m.RetMessage)
		f.Type = appWord(protocol.AppTypeOfRetCode(m.RetCode))
	} else {
		msg, typ, ok := protocol.AppException(m.Body, m.Payload)
		if !ok {
			return &fault{Code: codeBadReply, Type: typeTransport, Message: "the exception that came is not well-formed"}
		}
		f.Message, f.Type = string(msg), appWord(typ)
		f.NotExecuted = f.NotExecuted || typ == protocol.AppLoadshedding && len(msg) >= len(notExecuted) && string(msg[:len(notExecuted)]) == notExecuted
	}
	if f.NotExecuted {
		f.Code = client.ClassNotExecuted.String()
	}
	return f
}

// appWords has the names of TApplicationException's types (docs/protocols.md).
var appWords = [...]string{
	"UNKNOWN", "UNKNOWN_METHOD", "INVALID_MESSAGE_TYPE", "WRONG_METHOD_NAME", "BAD_SEQUENCE_ID",
	"MISSING_RESULT", "INTERNAL_ERROR", "PROTOCOL_ERROR", "INVALID_TRANSFORM", "INVALID_PROTOCOL",
	"UNSUPPORTED_CLIENT_TYPE", "LOADSHEDDING", "TIMEOUT", "INJECTED_FAILURE",
}

func appWord(typ int32) string {
	if typ >= 0 && int(typ) < len(appWords) {
		return appWords[typ]
	}
	return fmt.Sprintf("TYPE_%d", typ)
}

// failed is a call that ended on its way.
func failed(err error) reply {
	var le *linkError
	if !errors.As(err, &le) {
		return bad("%v", err)
	}
	unsent := le.class == client.ClassUnsent
	return reply{fault: &fault{Code: le.class.String(), Type: typeTransport, Message: le.Error(), NotExecuted: unsent}}
}

func bad(format string, args ...any) reply {
	return reply{fault: &fault{Code: codeBadReply, Type: typeTransport, Message: fmt.Sprintf(format, args...)}}
}
