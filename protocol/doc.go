// Package protocol knows what bytes mean, and nothing else: where a frame ends, what its header says, how it is
// rewritten for another peer, and how a fault is spoken. Everything here is a pure function over bytes: no socket, no
// clock, no goroutine, no logging, no allocation from a length that was only announced.
//
//	bytes ─► Detect ─► Codec.Split ─► Codec.Decode ─► Message (a view) ─► Codec.AppendCall / AppendReply ─► bytes
//	                                                        └────────────► Codec.AppendFault ──────────────► bytes
//
// The framings themselves live in protocol/thrift (plain, framed, THeader, TTHeader) and protocol/osp (OSP, dapeng).
package protocol
