package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/bellhop-mesh/bellhop/daemonset/addrfile"
)

// processor is what the compiler generates for `string where(1: string s)`, with what the test wants to know in the
// answer: the argument, and the keys of a THeader.
type processor struct{}

func (processor) Process(ctx context.Context, in, out thrift.TProtocol) (bool, thrift.TException) {
	name, _, seq, err := in.ReadMessageBegin(ctx)
	if err != nil {
		return false, thrift.WrapTException(err)
	}
	args := &text{id: 1}
	if err := args.Read(ctx, in); err != nil {
		return false, thrift.WrapTException(err)
	}
	service, _ := thrift.GetHeader(ctx, "service")
	caller, _ := thrift.GetHeader(ctx, "caller")
	timeout, _ := thrift.GetHeader(ctx, "timeout")
	answer := fmt.Sprintf("%s(%s) service=%s caller=%s timeout=%d", name, args.s, service, caller, min(len(timeout), 1))
	if name == "fail" {
		_ = out.WriteMessageBegin(ctx, name, thrift.EXCEPTION, seq)
		_ = thrift.NewTApplicationException(thrift.INTERNAL_ERROR, "boom").Write(ctx, out)
	} else {
		_ = out.WriteMessageBegin(ctx, name, thrift.REPLY, seq)
		_ = (&text{id: 0, s: answer}).Write(ctx, out)
	}
	_ = out.WriteMessageEnd(ctx)
	return true, thrift.WrapTException(out.Flush(ctx))
}

func (processor) ProcessorMap() map[string]thrift.TProcessorFunction  { return nil }
func (processor) AddToProcessorMap(string, thrift.TProcessorFunction) {}

// apache runs Apache's own server in one framing and returns a client whose only proxy it is.
func apache(t *testing.T, p thrift.TProcessor, tf thrift.TTransportFactory, pf thrift.TProtocolFactory) *Client {
	t.Helper()
	c, err := New(Options{AddressFile: filepath.Join(t.TempDir(), "none"), Proxy: apacheServer(t, p, tf, pf)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func apacheServer(t *testing.T, p thrift.TProcessor, tf thrift.TTransportFactory, pf thrift.TProtocolFactory) (addr string) {
	t.Helper()
	l, err := thrift.NewTServerSocket("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Listen(); err != nil {
		t.Fatal(err)
	}
	server := thrift.NewTSimpleServer4(p, l, tf, pf)
	server.SetForwardHeaders([]string{"service", "caller", "timeout"})
	done := make(chan error, 1)
	go func() { done <- server.Serve() }()
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// tagged answers with its name and, in THeader, one key beside the answer.
type tagged struct {
	processor
	name, key string
	fault     bool
}

func (p tagged) Process(ctx context.Context, in, out thrift.TProtocol) (bool, thrift.TException) {
	name, kind, seq, err := in.ReadMessageBegin(ctx)
	if err != nil {
		return false, thrift.WrapTException(err)
	}
	if err := (&text{id: 1}).Read(ctx, in); err != nil {
		return false, thrift.WrapTException(err)
	}
	if kind == thrift.ONEWAY {
		return true, nil
	}
	if p.key != "" {
		out.(*thrift.THeaderProtocol).SetWriteHeader(p.key, "true")
	}
	if p.fault {
		_ = out.WriteMessageBegin(ctx, name, thrift.EXCEPTION, seq)
		_ = thrift.NewTApplicationException(thrift.INTERNAL_ERROR, "draining").Write(ctx, out)
	} else {
		_ = out.WriteMessageBegin(ctx, name, thrift.REPLY, seq)
		_ = (&text{id: 0, s: p.name}).Write(ctx, out)
	}
	return true, thrift.WrapTException(out.Flush(ctx))
}

// headerHost is a client in THeader between two of Apache's servers, by an address file.
func headerHost(t *testing.T, local, remote tagged, move ...addrfile.Move) (*Client, func() string) {
	t.Helper()
	tf, pf := thrift.NewTHeaderTransportFactoryConf(nil, nil), thrift.NewTHeaderProtocolFactoryConf(nil)
	f := addrfile.File{
		State:  addrfile.Serving,
		Local:  []addrfile.Addr{{Net: "tcp", Addr: apacheServer(t, local, tf, pf)}},
		Remote: []addrfile.Addr{{Net: "tcp", Addr: apacheServer(t, remote, tf, pf)}},
		Move:   move,
	}
	dir := filepath.Join(t.TempDir(), "pub")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w, err := addrfile.OpenWriter(dir, addrfile.WriterOptions{Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.Write(f); err != nil {
		t.Fatal(err)
	}
	c, err := newClient(Options{AddressFile: filepath.Join(dir, addrfile.Name), Source: "me"}, quick)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	tc := NewTClient(c, "Case", CallOptions{Framing: THeader, Timeout: 5 * time.Second})
	return c, func() string {
		result := &text{}
		if _, err := tc.Call(context.Background(), "where", &text{id: 1}, result); err != nil {
			return err.Error()
		}
		return result.s
	}
}

func TestNotExecutedByKey(t *testing.T) {
	c, call := headerHost(t, tagged{name: "local", key: keyNotExecuted, fault: true}, tagged{name: "remote"})
	if got := call(); got != "remote" {
		t.Errorf("%s, want the remote's answer", got)
	}
	if s := c.Stats(); s.ResentNotExecuted != 1 || s.Away {
		t.Errorf("%+v", s)
	}
}

func TestSentHome(t *testing.T) {
	c, call := headerHost(t, tagged{name: "local"}, tagged{name: "remote", key: keyGoHome}, addrfile.Move{Key: "me", TTLMillis: 600000})
	if got := call(); got != "remote" {
		t.Fatalf("%s, want the remote: the source was asked to move", got)
	}
	// Apache's server echoes no heartbeat, so the probes of local fail here: the rule is asked, not the proxy.
	v, av := c.look()
	if v.moved || !av.Moved("me") {
		t.Errorf("after go-home: moved %v, and the file says %v", v.moved, av.Moved("me"))
	}
}

func multiplexed() thrift.TProcessor {
	m := thrift.NewTMultiplexedProcessor()
	m.RegisterProcessor("Case", processor{})
	return m
}

func TestFramings(t *testing.T) {
	framed := thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), nil)
	header := thrift.NewTHeaderTransportFactoryConf(nil, nil)
	for name, c := range map[string]struct {
		framing Framing
		p       thrift.TProcessor
		tf      thrift.TTransportFactory
		pf      thrift.TProtocolFactory
		keys    string
	}{
		"framed binary":   {FramedBinary, multiplexed(), framed, thrift.NewTBinaryProtocolFactoryConf(nil), "service= caller= timeout=0"},
		"framed compact":  {FramedCompact, multiplexed(), framed, thrift.NewTCompactProtocolFactoryConf(nil), "service= caller= timeout=0"},
		"THeader":         {THeader, processor{}, header, thrift.NewTHeaderProtocolFactoryConf(nil), "service=Case caller=me timeout=1"},
		"THeader compact": {THeaderCompact, processor{}, header, thrift.NewTHeaderProtocolFactoryConf(nil), "service=Case caller=me timeout=1"},
	} {
		t.Run(name, func(t *testing.T) {
			cl := apache(t, c.p, c.tf, c.pf)
			tc := NewTClient(cl, "Case", CallOptions{Framing: c.framing, Caller: "me"})
			for _, arg := range []string{"bob", "", strings.Repeat("long ", 20000)} {
				result := &text{}
				if _, err := tc.Call(context.Background(), "where", &text{id: 1, s: arg}, result); err != nil {
					t.Fatal(err)
				}
				if want := "where(" + arg + ") " + c.keys; result.s != want {
					t.Errorf("%.200s, want %.200s", result.s, want)
				}
			}
			_, err := tc.Call(context.Background(), "fail", &text{id: 1}, &text{})
			if ClassOf(err) != ClassApp || !strings.Contains(err.Error(), "boom") {
				t.Errorf("an exception came as %v (%v)", err, ClassOf(err))
			}
			if s := cl.Stats(); s.Fixed != 4 || s.App != 1 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestCallAboveTheLimit(t *testing.T) {
	w := host(t)
	c, err := newClient(Options{AddressFile: w.path(), MaxFrame: 1000}, quick)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	big := &text{id: 1, s: strings.Repeat("x", 2000)}
	for _, f := range []Framing{FramedBinary, FramedCompact, THeader, THeaderCompact, 9} {
		_, err := NewTClient(c, "Case", CallOptions{Framing: f}).Call(context.Background(), "where", big, &text{})
		if ClassOf(err) != ClassUnsent {
			t.Errorf("framing %d: %v", f, err)
		}
	}
	tr := c.NewTransport()
	_ = tr.Open()
	if _, err := tr.Write(make([]byte, 2000)); ClassOf(err) != ClassUnsent {
		t.Errorf("transport: %v", err)
	}
}

// generated is how generated code uses a transport: Thrift's own client over Thrift's own protocols.
func generated(tr thrift.TTransport) (*thrift.TStandardClient, func(string) (string, error)) {
	framed := thrift.NewTFramedTransportConf(tr, nil)
	in := thrift.NewTBinaryProtocolConf(framed, nil)
	tc := thrift.NewTStandardClient(in, thrift.NewTMultiplexedProtocol(in, "Case"))
	return tc, func(arg string) (string, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		result := &text{}
		_, err := tc.Call(ctx, "where", &text{id: 1, s: arg}, result)
		return result.s, err
	}
}

func TestTransportUnderGeneratedCode(t *testing.T) {
	w := host(t)
	tr := w.client.NewTransport()
	_, call := generated(tr)
	if _, err := call("x"); ClassOf(err) != ClassUnsent {
		t.Fatalf("before Open: %v", err)
	}
	if err := tr.Open(); err != nil || !tr.IsOpen() {
		t.Fatal(err)
	}
	defer tr.Close()
	want := func(what, server string) {
		t.Helper()
		if got, err := call("x"); got != server || err != nil {
			t.Fatalf("%s: %s, %v, want %s", what, got, err, server)
		}
	}
	want("at first", "local")
	want("again", "local")
	if n := w.servers["local"].open(); n != 1 {
		t.Errorf("%d connections, want one for both calls", n)
	}
	w.servers["local"].set("refuse")
	want("local is gone", "r0")
	w.servers["local"].set("serve")
	reach(t, "local again", func() bool { got, err := call("x"); return err == nil && got == "local" })
	w.publish(&caseFile{State: "draining", Local: []string{"local"}, Remote: []string{"r0"}})
	reach(t, "the remote tier", func() bool { got, err := call("x"); return err == nil && got == "r0" })
}

func TestTransportClasses(t *testing.T) {
	for mode, want := range map[string]Class{"lose": ClassLost, "hold": ClassDeadline} {
		w := host(t)
		tr := w.client.NewTransport()
		_ = tr.Open()
		tc, _ := generated(tr)
		w.servers["local"].set(mode)
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		_, err := tc.Call(ctx, "where", &text{id: 1}, &text{})
		cancel()
		if ClassOf(err) != want {
			t.Errorf("%s: %v (%v), want %v", mode, err, ClassOf(err), want)
		}
		var te thrift.TTransportException
		if !errors.As(err, &te) {
			t.Errorf("%s: %T is no transport exception", mode, err)
		}
		tr.Close()
		if n := len(w.client.turns); n != 0 {
			t.Errorf("%s: %d turns are not given back", mode, n)
		}
	}
}

func TestTransportUnframed(t *testing.T) {
	cl := apache(t, multiplexed(), thrift.NewTBufferedTransportFactory(4096), thrift.NewTBinaryProtocolFactoryConf(nil))
	tr := cl.NewTransport()
	_ = tr.Open()
	defer tr.Close()
	p := thrift.NewTBinaryProtocolConf(thrift.NewTBufferedTransport(tr, 4096), nil)
	tc := thrift.NewTStandardClient(p, thrift.NewTMultiplexedProtocol(p, "Case"))
	for range 3 {
		result := &text{}
		if _, err := tc.Call(context.Background(), "where", &text{id: 1, s: "bob"}, result); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(result.s, "where(bob)") {
			t.Error(result.s)
		}
	}
}

// FuzzReply: whatever a proxy answers, a call ends with a result or a classed error, and without a large allocation.
func FuzzReply(f *testing.F) {
	for _, framing := range []Framing{FramedBinary, FramedCompact, THeader, THeaderCompact} {
		cd, err := newCodec("", CallOptions{Framing: framing}, 1<<20)
		if err != nil {
			f.Fatal(err)
		}
		frame, err := cd.encode(context.Background(), "where", false, 1, &text{id: 0, s: "x"})
		if err != nil {
			f.Fatal(err)
		}
		// A call's type byte made a reply's: the second of the strict version word, or the compact type bits.
		f.Add(uint8(framing), bytes.Replace(frame, []byte{0x80, 1, 0, 1}, []byte{0x80, 1, 0, 2}, 1))
		f.Add(uint8(framing), bytes.Replace(frame, []byte{0x82, 0x21}, []byte{0x82, 0x41}, 1))
	}
	f.Fuzz(func(t *testing.T, framing uint8, frame []byte) {
		if len(frame) < 4 {
			return
		}
		cd, err := newCodec("", CallOptions{Framing: Framing(framing % 4)}, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		r := cd.decode(context.Background(), frame, "where", 1, &text{id: 0})
		if r.notExecuted && r.app == nil {
			t.Fatal("not executed without an exception")
		}
	})
}
