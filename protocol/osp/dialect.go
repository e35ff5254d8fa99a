package osp

import "github.com/bellhop-mesh/bellhop/protocol"

// Bytes both framings share.
const (
	stx = 0x02
	etx = 0x03

	lengthSize    = 4
	dapengVersion = 1

	codecBinary  = 0
	codecCompact = 1
	codecJSON    = 2
)

// Header field ids that are the same in both framings: serviceName, method, version, all strings.
const (
	idService int32 = 1
	idMethod  int32 = 2
	idVersion int32 = 3
)

// No field's ids: ids are i16.
const (
	none    int32 = -1 << 31 // the framing has no such field
	nowhere int32 = none + 1 // an Info key that is not written
)

// Keys of cookies and extFields that have a meaning here.
const (
	keyTrace       = "traceparent"          // cookie
	keyOwn         = "bellhop-"             // prefix of every key of ours
	keyTimeout     = "bellhop-timeout-ms"   // extFields of an OSP call: our extension
	keyState       = "bellhop-state"        // extFields, dapeng cookies: our extension
	stateClosing   = "closing"              //
	keyNotExecuted = "bellhop-not-executed" // extFields, dapeng cookies
	keyGoHome      = "bellhop-go-home"      // extFields, dapeng cookies
	keyRetCode     = "bellhop-ret-code"     // only in Info: the code of an error reply on its way through other framings
	keyGroup       = "errorGroup"
	keyLevel       = "errorLevel"
	keyLocation    = "errorLocation"
	keyBroken      = "circuitBroken"
	keyRetry       = "retry"
)

// dialect is one framing's layout (wire.md §2, §3). Field ids are none where the framing has no such field.
type dialect struct {
	framing protocol.Framing
	codecAt int // offset of the codec byte
	seqAt   int // offset of the sequence
	head    int // offset of the header struct
	ok      string

	caller     int32    // string
	ret        int32    // string: its presence makes the frame a reply
	retMessage int32    // string
	cookies    int32    // map<string,string>
	ext        int32    // map<string,string>
	timeout    int32    // i32, milliseconds
	extra      int32    // the map that Message.Extra goes to
	tids       [3]int32 // i64: session, caller and callee trace ids
}

var ospDialect = dialect{
	framing: protocol.OSP, codecAt: 5, seqAt: 6, head: 10, ok: "0",
	caller: 6, ret: 7, retMessage: 8, cookies: 16, ext: 40, timeout: none, extra: 40, tids: [3]int32{10, 11, 23},
}

var dapengDialect = dialect{
	framing: protocol.Dapeng, codecAt: 6, seqAt: 7, head: 11, ok: "0000",
	caller: 4, ret: 11, retMessage: 12, cookies: 23, ext: none, timeout: 10, extra: 23, tids: [3]int32{7, 9, 13},
}

// headerPayload is the protocol of the header struct of a frame whose body is in p.
func (d *dialect) headerPayload(p protocol.Payload) protocol.Payload {
	if d.framing == protocol.Dapeng {
		return protocol.Binary
	}
	return p
}

// minLength is the smallest length that can hold a frame: what lies before the header, its stop byte and ETX. The body
// may be absent from error replies.
func (d *dialect) minLength() int { return d.head - lengthSize + 2 }

// sibling returns the dialect of f when it is OSP or dapeng.
func sibling(f protocol.Framing) *dialect {
	switch f {
	case protocol.OSP:
		return &ospDialect
	case protocol.Dapeng:
		return &dapengDialect
	default:
		return nil
	}
}
