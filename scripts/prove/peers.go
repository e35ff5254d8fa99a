package prove

import (
	"context"
	"errors"
	"net"

	"github.com/apache/thrift/lib/go/thrift"
)

// FreePorts are ports that nobody has now: a server of ours that is no Go program can't be given a listener.
func FreePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all are held until all are known
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// Text is {1: string} as arguments and {0: string} as a result.
type Text struct{ S string }

// Write implements thrift.TStruct for arguments.
func (t *Text) Write(ctx context.Context, p thrift.TProtocol) error { return t.write(ctx, p, 1) }

// Reply writes it as a result.
func (t *Text) Reply(ctx context.Context, p thrift.TProtocol) error { return t.write(ctx, p, 0) }

func (t *Text) write(ctx context.Context, p thrift.TProtocol, id int16) error {
	return errors.Join(p.WriteStructBegin(ctx, "text"), p.WriteFieldBegin(ctx, "s", thrift.STRING, id), p.WriteString(ctx, t.S),
		p.WriteFieldEnd(ctx), p.WriteFieldStop(ctx), p.WriteStructEnd(ctx))
}

// Read implements thrift.TStruct: the first string field is the text.
func (t *Text) Read(ctx context.Context, p thrift.TProtocol) error {
	if _, err := p.ReadStructBegin(ctx); err != nil {
		return err
	}
	for {
		_, typ, _, err := p.ReadFieldBegin(ctx)
		if err != nil || typ == thrift.STOP {
			return err
		}
		if typ != thrift.STRING {
			return errors.New("a field that is not a string")
		}
		if t.S, err = p.ReadString(ctx); err != nil {
			return err
		}
		if err := p.ReadFieldEnd(ctx); err != nil {
			return err
		}
	}
}
