package callers

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
)

// TestCalls: one failed or misrouted call, or callers that did not call, fail the proof.
func TestCalls(t *testing.T) {
	for _, c := range []struct {
		name string
		n    Tally
		code int
	}{
		{"good", Tally{Calls: 1000}, 0},
		{"excused", Tally{Calls: 1000, Excused: 10}, 0},
		{"one failed", Tally{Calls: 1000, Failed: 1, First: errors.New("lost")}, 1},
		{"one misrouted", Tally{Calls: 1000, Wrong: 1}, 1},
		{"too few", Tally{Calls: 800}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := prove.NewTable("x")
			Calls(table, "an event", c.n, time.Second)
			var b strings.Builder
			if code := table.Finish(&b); code != c.code {
				t.Errorf("exit code %d, want %d: %s", code, c.code, b.String())
			}
		})
	}
}

// TestPeer: it says who it is, and answers what has arrived before it ends.
func TestPeer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{name: "shop.Cart|here", conns: map[net.Conn]struct{}{}}
	ended := make(chan struct{})
	go func() {
		p.accept(l)
		p.all.Wait()
		close(ended)
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	ask(t, c, 1)
	if who := reply(t, c); who != p.name {
		t.Errorf("%q answered", who)
	}
	p.drain(l)
	ask(t, c, 2)
	if who := reply(t, c); who != p.name {
		t.Errorf("%q answered at its end", who)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("after its last reply: %v", err)
	}
	_ = c.Close()
	<-ended
}

// ask sends a call.
func ask(t *testing.T, c net.Conn, seq int32) {
	t.Helper()
	ctx, out := context.Background(), thrift.NewTMemoryBuffer()
	proto := thrift.NewTBinaryProtocolConf(out, nil)
	err := errors.Join(proto.WriteMessageBegin(ctx, "who", thrift.CALL, seq), (&prove.Text{S: "?"}).Write(ctx, proto), proto.WriteMessageEnd(ctx))
	if err == nil {
		_, err = c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(out.Len())), out.Bytes()...))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// reply reads who answered.
func reply(t *testing.T, c net.Conn) string {
	t.Helper()
	frame, err := readFrame(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, in := context.Background(), thrift.NewTMemoryBuffer()
	_, _ = in.Write(frame)
	proto := thrift.NewTBinaryProtocolConf(in, nil)
	if _, typ, _, err := proto.ReadMessageBegin(ctx); err != nil || typ != thrift.REPLY {
		t.Fatal(typ, err)
	}
	var who prove.Text
	if err := who.Read(ctx, proto); err != nil {
		t.Fatal(err)
	}
	return who.S
}
