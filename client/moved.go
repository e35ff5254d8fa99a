package client

import (
	"context"

	"github.com/apache/thrift/lib/go/thrift"
)

// A caller that was asked to use the remote tier (the address file's `move`) says so there, by a oneway before the first call of
// each connection: its calls then spend its host's grant, and a remote proxy that is full sends it home before it refuses a
// caller whose local proxy is gone (docs/protocols.md, "The hand-off connection"). Proxies that do not know the oneway do not
// answer it.
const (
	ownService  = "bellhop"
	methodMoved = "moved"
	goHome      = notExecuted + " go home" // how a fault says so in framings without a header
)

// movedArgs are {1: string instance}: the address file's.
type movedArgs struct{ instance string }

func (a movedArgs) Write(ctx context.Context, p thrift.TProtocol) error {
	for _, step := range []func() error{
		func() error { return p.WriteStructBegin(ctx, "moved") },
		func() error { return p.WriteFieldBegin(ctx, "instance", thrift.STRING, 1) },
		func() error { return p.WriteString(ctx, a.instance) },
		func() error { return p.WriteFieldEnd(ctx) },
		func() error { return p.WriteFieldStop(ctx) },
		func() error { return p.WriteStructEnd(ctx) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (movedArgs) Read(ctx context.Context, p thrift.TProtocol) error {
	return p.Skip(ctx, thrift.STRUCT)
}

// mark is the frame that says so, also for a call that the local proxy has no room for (full): its host's grant is to be spent then, too; nil when this connection is not to carry it.
func (cd *codec) mark(ctx context.Context, c *Client, cn *conn, full bool) []byte {
	if cn.told || cn.tier != tierRemote {
		return nil
	}
	cn.told = true
	v, av := c.look()
	if !v.moved && !full || v.stale || v.draining || v.down || av.File == nil {
		return nil
	}
	own := codec{framing: cd.framing, service: ownService, cfg: cd.cfg}
	frame, err := own.encode(ctx, methodMoved, true, 0, movedArgs{av.File.Instance})
	if err != nil { // it only costs the remote proxy its order of preference
		return nil
	}
	return frame
}
