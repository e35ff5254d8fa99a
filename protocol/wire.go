package protocol

import (
	"fmt"
	"sort"
	"strings"
)

// Framing names how messages are delimited and headed on a connection.
type Framing uint8

// The framings this project speaks; see docs/protocols.md for their layouts.
const (
	FramingUnknown  Framing = iota
	UnframedBinary          // TBuffered, strict TBinary
	UnframedLax             // TBuffered, TBinary without the version word; can only be pinned
	FramedBinary            // TFramed, strict TBinary
	FramedLax               // TFramed, lax TBinary
	UnframedCompact         // TBuffered, TCompact
	FramedCompact           // TFramed, TCompact
	THeader                 // Apache THeader
	TTHeader                // CloudWeGo TTHeader
	OSP                     // OSP (reconstructed)
	Dapeng                  // dapeng-soa
	HTTP                    // recognised only to be refused with a reason
	numFramings
)

// NumFramings sizes tables indexed by Framing.
const NumFramings = int(numFramings)

// Payload is the Thrift protocol of a message body.
type Payload uint8

// Payload protocols. PayloadAny in a declared Wire means "keep the caller's".
const (
	PayloadAny Payload = iota
	Binary
	Compact
)

// Wire says how one peer's bytes are laid out: what an endpoint is declared to speak, or what a caller was seen to speak.
type Wire struct {
	Framing Framing
	Payload Payload
	Zlib    bool // THeader: the payload is zlib-compressed
	Inner   bool // TTHeader: the payload is len(4)+TMessage instead of a bare TMessage
	Lax     bool // TBinary without the version word inside THeader/TTHeader/framed payloads
}

var framingNames = [...]string{
	FramingUnknown: "unknown", UnframedBinary: "binary", UnframedLax: "binary-lax", FramedBinary: "framed-binary",
	FramedLax: "framed-lax", UnframedCompact: "compact", FramedCompact: "framed-compact", THeader: "theader",
	TTHeader: "ttheader", OSP: "osp", Dapeng: "dapeng", HTTP: "http",
}

// String returns the name used in configuration, metrics and logs.
func (f Framing) String() string {
	if int(f) < len(framingNames) {
		return framingNames[f]
	}
	return fmt.Sprintf("framing(%d)", uint8(f))
}

// Multiplexed reports whether peers of this framing match replies by sequence by default (wire.md §8, product.md).
func (f Framing) Multiplexed() bool { return f == OSP || f == Dapeng }

// String returns "any", "binary" or "compact".
func (p Payload) String() string { return [...]string{"any", "binary", "compact"}[p%3] }

// wires are the words a registry or a listener may use for a Wire.
var wires = map[string]Wire{
	"binary":           {Framing: UnframedBinary, Payload: Binary},
	"binary-lax":       {Framing: UnframedLax, Payload: Binary, Lax: true},
	"framed-binary":    {Framing: FramedBinary, Payload: Binary},
	"framed-lax":       {Framing: FramedLax, Payload: Binary, Lax: true},
	"compact":          {Framing: UnframedCompact, Payload: Compact},
	"framed-compact":   {Framing: FramedCompact, Payload: Compact},
	"theader":          {Framing: THeader},
	"theader-binary":   {Framing: THeader, Payload: Binary},
	"theader-compact":  {Framing: THeader, Payload: Compact},
	"theader-zlib":     {Framing: THeader, Zlib: true},
	"ttheader":         {Framing: TTHeader},
	"ttheader-binary":  {Framing: TTHeader, Payload: Binary},
	"ttheader-compact": {Framing: TTHeader, Payload: Compact},
	"ttheader-framed":  {Framing: TTHeader, Inner: true},
	"osp":              {Framing: OSP},
	"osp-binary":       {Framing: OSP, Payload: Binary},
	"osp-compact":      {Framing: OSP, Payload: Compact},
	"dapeng":           {Framing: Dapeng},
	"dapeng-binary":    {Framing: Dapeng, Payload: Binary},
	"dapeng-compact":   {Framing: Dapeng, Payload: Compact},
}

// ParseWire turns a configured word ("framed-binary", "theader-compact", …) into a Wire. The error lists the words.
func ParseWire(s string) (Wire, error) {
	if w, ok := wires[s]; ok {
		return w, nil
	}
	return Wire{}, fmt.Errorf("unknown framing %q: use one of %s", s, strings.Join(WireNames(), ", "))
}

// WireNames returns every word that ParseWire takes, sorted.
func WireNames() []string {
	names := make([]string, 0, len(wires))
	for n := range wires {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// PayloadFor resolves PayloadAny: the caller's protocol p when it is known, else the framing's own default.
func (w Wire) PayloadFor(p Payload) Payload {
	switch {
	case w.Payload != PayloadAny:
		return w.Payload
	case p != PayloadAny:
		return p
	case w.Framing == Dapeng:
		return Compact
	default:
		return Binary
	}
}
