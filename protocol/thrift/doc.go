// Package thrift holds the codecs of everything whose payload is a Thrift message (TMessage): plain and framed TBinary
// and TCompact, THeader and TTHeader.
//
//	framing                      bytes
//	binary, binary-lax, compact  TMessage
//	framed-…                     len(4) TMessage
//	theader                      len(4) 0FFF flags(2) seq(4) words(2) header TMessage, perhaps deflated
//	ttheader                     len(4) 1000 flags(2) seq(4) words(2) header TMessage or len(4) TMessage
//
// A frame whose framing and payload stay the same is copied and its sequences are patched; every other one is built
// from the message's parts, its body transcoded where the payload protocols differ. Calls and replies of OSP and
// dapeng, which have no TMessage, are wrapped into one.
//
// The package never looks into a body beyond walking it, never keeps a reference to a frame, and never allocates from a
// length that was only announced.
package thrift

import "github.com/bellhop-mesh/bellhop/protocol"

// Codecs returns one codec for every framing of this package. They are stateless and safe for concurrent use.
func Codecs() []protocol.Codec {
	return []protocol.Codec{
		plain{framing: protocol.UnframedBinary, payload: protocol.Binary},
		plain{framing: protocol.UnframedLax, payload: protocol.Binary},
		plain{framing: protocol.FramedBinary, payload: protocol.Binary, framed: true},
		plain{framing: protocol.FramedLax, payload: protocol.Binary, framed: true},
		plain{framing: protocol.UnframedCompact, payload: protocol.Compact},
		plain{framing: protocol.FramedCompact, payload: protocol.Compact, framed: true},
		theader{},
		ttheader{},
	}
}
