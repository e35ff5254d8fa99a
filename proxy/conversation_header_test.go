package proxy

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/bellhop-mesh/bellhop/registry"
	"github.com/bellhop-mesh/bellhop/remote"
)

// The words for THeader callers and for remote proxies (testdata/README.md).

// headerFrame makes "KEY=VALUE[,KEY=VALUE]" and "SEQ NAME TEXT" into a THeader message.
func headerFrame(keys string, args []string) []byte {
	seq, err := strconv.Atoi(args[0])
	if err != nil {
		panic(err)
	}
	return withHeader(args[1], thrift.CALL, int32(seq), strings.Split(keys, ","), text(1, textOf(args[2:])))
}

// withHeader is a THeader message with keys, as KEY=VALUE.
func withHeader(name string, typ thrift.TMessageType, seq int32, keys []string, body func(context.Context, thrift.TProtocol) error) []byte {
	ctx, buf := context.Background(), thrift.NewTMemoryBuffer()
	p := thrift.NewTHeaderProtocolConf(buf, nil)
	for _, kv := range keys {
		k, v, _ := strings.Cut(kv, "=")
		p.SetWriteHeader(k, v)
	}
	if err := errors.Join(p.WriteMessageBegin(ctx, name, typ, seq), body(ctx, p), p.WriteFieldStop(ctx), p.Flush(ctx)); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

// text writes a field with a text.
func text(field int16, s string) func(context.Context, thrift.TProtocol) error {
	return func(ctx context.Context, p thrift.TProtocol) error {
		return errors.Join(p.WriteFieldBegin(ctx, "", thrift.STRING, field), p.WriteString(ctx, s))
	}
}

// isHeader tells THeader by its magic.
func isHeader(frame []byte) bool {
	return len(frame) > 6 && binary.BigEndian.Uint16(frame[4:]) == 0x0fff
}

// protocolOf reads a frame that was written to a connection: THeader, else framed binary.
func protocolOf(frame []byte) thrift.TProtocol {
	buf := thrift.NewTMemoryBuffer()
	if isHeader(frame) {
		buf.Write(frame)
		return thrift.NewTHeaderProtocolConf(buf, nil)
	}
	buf.Write(frame[4:])
	return thrift.NewTBinaryProtocolConf(buf, nil)
}

// withRemotes puts remote proxies into a snapshot; nil: there are none, and nothing is handed over.
func withRemotes(snap *registry.Snapshot, names []string) *remote.Client {
	if len(names) == 0 {
		return nil
	}
	for _, name := range names {
		snap.Remotes = append(snap.Remotes, registry.Remote{Addr: name + ":1"})
	}
	return &remote.Client{Host: "host", Instance: "instance", Token: "token"}
}

// admits: a remote proxy must have been sent a hello, and grants this many calls in flight.
func (k *talk) admits(c *fakeConn, name string, calls int) error {
	b := append(k.rest[name], c.taken()...)
	p := protocolOf(b)
	method, _, seq, err := p.ReadMessageBegin(context.Background())
	if err != nil || method != remote.MethodHello && method != remote.Service+":"+remote.MethodHello {
		return fmt.Errorf("was sent %q, not a hello: %w", method, err)
	}
	k.rest[name] = nil
	c.bring(withHeader(remote.MethodHello, thrift.REPLY, seq, nil, func(ctx context.Context, p thrift.TProtocol) error {
		return errors.Join(p.WriteFieldBegin(ctx, "", thrift.I32, 1), p.WriteI32(ctx, remote.Version), p.WriteFieldBegin(ctx, "", thrift.STRUCT, 2),
			p.WriteFieldBegin(ctx, "", thrift.I32, 1), p.WriteI32(ctx, int32(calls)), p.WriteFieldStop(ctx))
	}))
	return nil
}
