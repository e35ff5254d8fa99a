// Package osp speaks the two framings that put a Thrift header struct before a bare args or result struct: OSP and
// dapeng-soa. Like everything in protocol it is pure functions over bytes: it must never open a socket, read a clock,
// start a goroutine, log, or allocate from a length that was only announced.
//
// OSP is reconstructed from public material and not verified against a running OSP system. dapeng is public and exact.
//
//	OSP     length(4) 02 codec(1)         sequence(4) Header    body 03    codec 0 TBinary, 1 TCompact: header and body
//	dapeng  length(4) 02 01      codec(1) sequence(4) SoaHeader body 03    header always TBinary; codec is the body's
//	        ▲ excludes itself; 0 is a heartbeat (a frame of four bytes)
//
//	frame ─► Split ─► Decode: walk header and body ─► Message ─► AppendCall / AppendReply ─► frame for the other peer
//	                     any framing's Message ────────────────────────┘         AppendFault ─► the proxy's own answer
//
// # Calls and replies
//
// Neither framing says whether a frame is a call or a reply. Here a header with retCode (OSP field 7) or respCode
// (dapeng field 11) is a reply: a request has no such field. OK is "0" for OSP and "0000" for dapeng; any other code
// makes the Message a MessageException. A reply is not walked, so whoever reads from callers must refuse a Message
// that is not a call before anything of it goes upstream (Message.IsCall).
//
// # What the Message holds
//
// Info holds the cookies that no field of Message models, in wire order; for replies the entries of OSP's extFields
// follow (errorGroup, errorLocation, bellhop-not-executed, …), because they say how the call ended. Cookies under
// "bellhop-" are not shown for calls: on other framings such keys are the proxies' own, and a caller must not be able to
// set them. An error reply's Info begins with bellhop-ret-code, so that the code survives a way through THeader or
// TTHeader and back (a call that was handed to a remote proxy). A map that comes twice counts the last time, as generated Thrift readers do it. Timeouts, source and
// attempt in the extFields of an OSP *request* are this project's extension of OSP (wire.md §2), as is bellhop-state.
//
// # Errors across framings
//
// A TApplicationException becomes a retCode by protocol.RetCodeOfAppType (other types are Err-Core-500):
//
//	UNKNOWN, INTERNAL_ERROR, INJECTED_FAILURE      Err-Core-500    LOADSHEDDING          Err-Core-503
//	PROTOCOL_ERROR, INVALID_MESSAGE_TYPE,                          TIMEOUT               Err-Core-504
//	WRONG_METHOD_NAME                              Err-Core-400    BAD_SEQUENCE_ID,
//	UNSUPPORTED_CLIENT_TYPE                        Err-Core-401    MISSING_RESULT        Err-Core-506
//	UNKNOWN_METHOD                                 Err-Core-404
//	INVALID_PROTOCOL                               Err-Core-415
//	INVALID_TRANSFORM                              Err-Core-416
//
// and protocol.AppTypeOfRetCode is the way back. The body of an error reply is the empty struct for OSP and absent for
// dapeng (it may be absent from a server's OSP error reply too); between both the code itself passes unchanged.
package osp

import "github.com/bellhop-mesh/bellhop/protocol"

// Codecs returns the codecs of OSP and dapeng, in this order. Each is safe for concurrent use.
func Codecs() []protocol.Codec {
	return []protocol.Codec{&codec{dialect: ospDialect}, &codec{dialect: dapengDialect}}
}

// codec is both framings; the dialect holds all in which they differ but for a few lines that ask for it by name.
type codec struct{ dialect }

// Framing implements protocol.Codec.
func (c *codec) Framing() protocol.Framing { return c.framing }
