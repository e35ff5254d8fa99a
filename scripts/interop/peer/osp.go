package main

import (
	"context"
	"errors"
	"net"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/protocol/osp/osppeer"
)

// OSP and dapeng have no public library in Go: package osppeer speaks their frames (without this project's codecs), and
// what is here carries generated Thrift code over it. Neither has a TMessage: a frame's body is the bare args or result
// struct, its header names the method, and a retCode stands where Thrift has a TApplicationException.

// The retCodes that a framework gives, as against a service's own.
const (
	retUnknownMethod = "Err-Core-404"
	retInternalError = "Err-Core-500"
)

func (f framing) framing() protocol.Framing {
	if f.dapeng {
		return protocol.Dapeng
	}
	return protocol.OSP
}

func (f framing) payload() protocol.Payload {
	if f.compact {
		return protocol.Compact
	}
	return protocol.Binary
}

// body is the protocol of one args or result struct.
func body(p protocol.Payload, b []byte) (thrift.TProtocol, *thrift.TMemoryBuffer) {
	buf := thrift.NewTMemoryBuffer()
	buf.Write(b)
	if p == protocol.Compact {
		return thrift.NewTCompactProtocolConf(buf, nil), buf
	}
	return thrift.NewTBinaryProtocolConf(buf, nil), buf
}

// ospClient is a thrift.TClient over an OSP or dapeng connection.
type ospClient struct {
	peer    *osppeer.Client
	payload protocol.Payload
	service string
}

func (f framing) ospClient(conn net.Conn, service string) *ospClient {
	peer := osppeer.NewClient(conn, f.framing(), f.payload())
	peer.Caller, peer.Version = "interop", "1.0.0"
	peer.Cookies = map[string]string{"tenant": "interop"}
	return &ospClient{peer: peer, payload: f.payload(), service: service}
}

// Call is thrift.TClient's. A oneway (no result) is sent, and its reply, if any, is nobody's.
func (c *ospClient) Call(ctx context.Context, method string, args, result thrift.TStruct) (thrift.ResponseMeta, error) {
	out, buf := body(c.payload, nil)
	if err := args.Write(ctx, out); err != nil {
		return thrift.ResponseMeta{}, err
	}
	if err := out.Flush(ctx); err != nil {
		return thrift.ResponseMeta{}, err
	}
	if result == nil {
		go func() { _, _ = c.peer.Call(c.service, method, buf.Bytes(), patience) }()
		return thrift.ResponseMeta{}, nil
	}
	reply, err := c.peer.Call(c.service, method, buf.Bytes(), patience)
	var ret *osppeer.RetError
	if errors.As(err, &ret) {
		kind := int32(thrift.UNKNOWN_APPLICATION_EXCEPTION) // retInternalError too: it stands for both
		if ret.Reply.RetCode == retUnknownMethod {
			kind = thrift.UNKNOWN_METHOD
		}
		return thrift.ResponseMeta{}, thrift.NewTApplicationException(kind, ret.Error())
	}
	if err != nil {
		return thrift.ResponseMeta{}, err
	}
	in, _ := body(reply.Payload, reply.Body)
	return thrift.ResponseMeta{}, result.Read(ctx, in)
}

// serveOSP answers frames with a generated processor. It does not look at the service: the matrix's proxy did.
func (f framing) serveOSP(l net.Listener, p thrift.TProcessor) {
	server := &osppeer.Server{Framing: f.framing(), Concurrency: 8}
	server.Handler = func(method string, args []byte, payload protocol.Payload) ([]byte, string, string) {
		function, ok := p.ProcessorMap()[method]
		if !ok {
			return nil, retUnknownMethod, "unknown method " + method
		}
		in, _ := body(payload, args)
		out, buf := body(payload, nil)
		ctx := context.Background()
		_, _ = function.Process(ctx, 1, in, out) // what went wrong is in the answer
		if err := out.Flush(ctx); err != nil || buf.Len() == 0 {
			return []byte{0}, "", "" // a oneway has no answer: the empty struct
		}
		if _, kind, _, err := out.ReadMessageBegin(ctx); err != nil || kind == thrift.EXCEPTION {
			return nil, retInternalError, "the handler failed"
		}
		return buf.Bytes(), "", ""
	}
	_ = server.Serve(l)
}
