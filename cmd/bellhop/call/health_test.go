package call

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/protocol/osp/osppeer"
)

// TestHealthy: a server that answers is well, even with an exception of the application or for a method that it does not
// have; one that fails inside, speaks something else, says nothing or is not there is not.
func TestHealthy(t *testing.T) {
	addr := serve(t, service{}, framed(), thrift.NewTBinaryProtocolFactoryConf(nil), false)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = gone.Close()
	for _, c := range []struct{ what, addr, word, method, want string }{
		{"a result", addr, "framed-binary", "ping", ""},
		{"a declared exception", addr, "framed-binary", "divide", ""},
		{"a method that is not there", addr, "framed-binary", "health", ""},
		{"an internal error", addr, "framed-binary", "fail", "INTERNAL_ERROR"},
		{"another framing", addr, "binary", "ping", "TRANSPORT"},
		{"no answer", silent.Addr().String(), "framed-binary", "ping", "no reply"},
		{"nobody", gone.Addr().String(), "framed-binary", "ping", "refused"},
	} {
		wire, err := protocol.ParseWire(c.word)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if c.want == "" {
			cancel() // a slow machine must not fail what is well
			ctx, cancel = context.WithTimeout(t.Context(), 20*time.Second)
		}
		err = Healthy(ctx, c.addr, wire, "demo.Interop", c.method)
		cancel()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
	}
}

func TestBeats(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &osppeer.Server{Framing: protocol.OSP, Handler: func(string, []byte, protocol.Payload) ([]byte, string, string) {
		return nil, "Err-Core-500", "no call was made"
	}}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	defer func() {
		if err := errors.Join(s.Close(), <-done); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := Beats(ctx, l.Addr().String()); err != nil {
		t.Errorf("a server that echoes: %v", err)
	}
	other := serve(t, service{}, framed(), thrift.NewTBinaryProtocolFactoryConf(nil), false)
	short, end := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer end()
	if err := Beats(short, other); err == nil {
		t.Error("a server that does not echo was taken for one that does")
	}
}
