package protocol

import "time"

// MessageType is TMessage's type; OSP and dapeng calls are MessageCall, their replies MessageReply or MessageException.
type MessageType uint8

// Message types 1–4 are Thrift's own numbers.
const (
	MessageHeartbeat MessageType = 0 // a zero-length OSP/dapeng frame
	MessageCall      MessageType = 1
	MessageReply     MessageType = 2
	MessageException MessageType = 3
	MessageOneway    MessageType = 4
)

// KV is one header entry; both sides are views into the frame or into a Scratch.
type KV struct{ Key, Value []byte }

// Message is a view of one decoded frame. It is valid until the bytes it was decoded from, or the Scratch that was
// used, change. A Message is re-used by its owner: Decode resets it first.
type Message struct {
	Wire              // how the frame was laid out; Payload is never PayloadAny
	Type  MessageType // a dapeng/OSP error reply is MessageException
	Frame []byte      // the whole frame

	Seq    int32 // the sequence that matches a reply to its call: the frame's where it has one, else the message's
	MsgSeq int32 // the TMessage's own sequence; equals Seq where there is only one

	Service  []byte // empty when the frame does not name one
	Method   []byte // bare: without "Service:"
	Prefixed bool   // the service came as "Service:method"
	Version  []byte
	Caller   []byte // a claim, not an identity
	Trace    []byte // traceparent
	Timeout  time.Duration

	Info       []KV   // baggage: header keys that no field above models, in wire order
	Header     []byte // raw header bytes, framing-specific (OSP/dapeng: the header struct incl. its stop byte)
	Rest       int    // Frame is a stub: so many bytes of the body are still to come (stub.go)
	Body       []byte // args or result struct incl. its stop byte, in Payload; empty only in dapeng error replies
	OutOfOrder bool   // TTHeader flag 0x01, OSP and dapeng: replies may overtake each other
	GoingAway  bool   // the peer announces that it is closing (TTHeader crrst, OSP bellhop-state: closing)

	RetCode    []byte // OSP retCode / dapeng respCode on replies
	RetMessage []byte

	// OSPHeader is the raw header of an OSP call or reply that travelled through a hand-off connection
	// (bellhop-osp-header), in Payload's protocol; AppendCall and AppendReply of OSP use it verbatim.
	OSPHeader []byte
	// Extra entries are added to the header by AppendCall/AppendReply where the framing has a place for them
	// (THeader and TTHeader info keys, OSP extFields, dapeng cookies).
	Extra []KV
	// KeepPrefix makes AppendCall write "Service:method" as the method name in TMessage framings.
	KeepPrefix bool
}

// Reset empties m and keeps its slices for re-use.
func (m *Message) Reset() {
	info, extra := m.Info[:0], m.Extra[:0]
	*m = Message{Info: info, Extra: extra}
}

// IsCall reports whether m asks something of a server.
func (m *Message) IsCall() bool { return m.Type == MessageCall || m.Type == MessageOneway }

// Find returns the value of the first Info entry with this key.
func (m *Message) Find(key string) ([]byte, bool) {
	for i := range m.Info {
		if string(m.Info[i].Key) == key {
			return m.Info[i].Value, true
		}
	}
	return nil, false
}

// ReplyTo is all that must be remembered of a call to answer it in its caller's own framing.
type ReplyTo struct {
	Wire
	Seq     int32
	MsgSeq  int32
	Service []byte
	Method  []byte // bare
	Version []byte
	Handoff bool // the caller is another proxy's hand-off connection: OSP reply headers travel in bellhop-osp-header
}

// SetFrom remembers a call. It copies the names into dst's own slices, which grow once and are then re-used.
func (r *ReplyTo) SetFrom(m *Message) {
	r.Wire, r.Seq, r.MsgSeq, r.Handoff = m.Wire, m.Seq, m.MsgSeq, false
	r.Service = append(r.Service[:0], m.Service...)
	r.Method = append(r.Method[:0], m.Method...)
	r.Version = append(r.Version[:0], m.Version...)
}

// Codec is one framing. Its methods are pure; every method is safe for concurrent use with distinct arguments.
type Codec interface {
	Framing() Framing
	// Split finds the first frame of buf. n > 0: buf[:n] is one whole frame. n == 0 and err == nil: more bytes are
	// needed, and calling again before sc.Need bytes are there is useless. An error (*Error) is final for the
	// connection. max bounds the frame. sc belongs to the connection and direction; buf must start at the same frame
	// until n > 0 was returned.
	Split(sc *Scan, buf []byte, max int) (n int, err error)
	// Decode parses a frame that Split returned. For calls and oneways the body was walked when it returns nil: it is
	// exactly one well-formed struct that ends where its frame ends. Replies are not walked: servers are trusted.
	// After an error m holds what was understood so far (at least Type, Seq and Method where they were readable), so
	// that the fault can be answered.
	Decode(frame []byte, m *Message, s *Scratch) error
	// AppendCall appends m, decoded from any framing, as a call (or oneway) with this sequence for a peer that speaks
	// to. Where the framings are the same, unknown header fields survive byte for byte.
	AppendCall(dst []byte, m *Message, to Wire, seq int32, s *Scratch) ([]byte, error)
	// AppendReply appends m, a reply decoded from any framing, as the answer to the call remembered in to.
	AppendReply(dst []byte, m *Message, to *ReplyTo, s *Scratch) ([]byte, error)
	// AppendFault appends the proxy's own answer to that call.
	AppendFault(dst []byte, f Fault, to *ReplyTo) []byte
}

// Scan is a connection's memory between two calls of Split. The zero value is ready.
type Scan struct {
	Need int     // bytes that must be buffered before Split can say more; 0: unknown
	Pos  int     // unframed: how far the walk has come
	Part uint8   // unframed: 0 message header, 1 body
	Walk *Walker // unframed: allocated only when a message arrives in pieces
}

// Reset forgets a partly scanned frame.
func (sc *Scan) Reset() { *sc = Scan{} }

// Scratch is a worker's own buffers for decoding and transcoding, re-used from frame to frame. Not safe for concurrent use.
type Scratch struct {
	// Max bounds what one inflate or transcode may produce, in bytes (0: DefaultMaxFrame).
	Max int
	Walker
	Inflated []byte // output of the last inflate; Message.Body may point into it
	Flate    any    // the codec's re-used zlib reader and writer
	Tmp      []byte // the codec's own
}

// Numbers of wire.md §7.
const (
	DefaultMaxFrame = 16 << 20   // bytes
	HardMaxFrame    = 0x3FFFFFFF // bytes
	MaxHeader       = 64 << 10   // bytes
	MaxName         = 1 << 10    // bytes of a service or method name
	MaxDepth        = 64         // nested structs and containers
)
