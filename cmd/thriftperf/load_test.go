package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"go.uber.org/goleak"

	"github.com/bellhop-mesh/bellhop/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startServer serves on a unix socket until the test ends.
func startServer(t *testing.T, o serveOptions) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	o.listen = []string{"unix:" + path}
	if o.framing == "" {
		o.framing = "auto"
	}
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, o, w) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	said := make([]byte, 256)
	for {
		n, err := r.Read(said)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(said[:n]), "ready") {
			return path
		}
	}
}

func loadFor(t *testing.T, o loadOptions) (*report, error) {
	t.Helper()
	o.method, o.size, o.json = "echo", 128, true
	o.duration, o.timeout = 100*time.Millisecond, 2*time.Second
	if o.framing == "" {
		o.framing = "framed-binary"
	}
	var out bytes.Buffer
	err := runLoad(context.Background(), o, &out, io.Discard)
	var r report
	if jsonErr := json.Unmarshal(out.Bytes(), &r); jsonErr != nil && err == nil {
		t.Fatalf("%v in %q", jsonErr, out.String())
	}
	return &r, err
}

func TestClosedLoop(t *testing.T) {
	path := startServer(t, serveOptions{})
	for _, depth := range []int{1, 7} {
		r, err := loadFor(t, loadOptions{target: "unix:" + path, connections: 5, depth: depth, cpuOf: []int{os.Getpid()}})
		if err != nil {
			t.Fatal(err)
		}
		if r.Calls == 0 || r.Latency.Max == 0 || r.Latency.P50 > r.Latency.Max || len(r.Failed) != 0 || len(r.Processes) != 1 {
			t.Fatalf("depth %d: %+v", depth, r)
		}
	}
}

// TestPerCall: every call comes on a connection of its own, in both loops and on both kinds of socket.
func TestPerCall(t *testing.T) {
	path := startServer(t, serveOptions{})
	for _, rate := range []float64{0, 500} {
		r, err := loadFor(t, loadOptions{target: "unix:" + path, connections: 3, depth: 1, rate: rate, perCall: true})
		if err != nil {
			t.Fatal(err)
		}
		if r.Calls == 0 || !r.PerCall {
			t.Fatalf("rate %v: %+v", rate, r)
		}
	}
	if _, err := loadFor(t, loadOptions{target: "unix:" + path, connections: 1, depth: 2, perCall: true}); err == nil {
		t.Error("two calls in flight on a connection that carries one")
	}
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan int)
	go func() { accepted <- countConnections(l) }()
	r, err := loadFor(t, loadOptions{target: "tcp:" + l.Addr().String(), connections: 2, depth: 1, perCall: true})
	_ = l.Close()
	if n := int64(<-accepted); err != nil || r.Calls == 0 || n < r.Calls {
		t.Errorf("%d connections for %d calls, %v", n, r.Calls, err)
	}
}

// countConnections answers one call on each connection until l is closed, and returns how many there were.
func countConnections(l net.Listener) (n int) {
	wg := sync.WaitGroup{}
	defer wg.Wait()
	e := &echo{}
	for ; ; n++ {
		c, err := l.Accept()
		if err != nil {
			return n
		}
		buf := make([]byte, 4096)
		got, _ := c.Read(buf) // 128 bytes are one segment
		if out, err := e.answer(nil, codecs()[protocol.FramedBinary], buf[:got]); err == nil {
			_, _ = c.Write(out)
		}
		wg.Go(func() { // until the generator has closed
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		})
	}
}

// TestOpenLoopDelay: the server's delay is in every latency, and the calls come at their rate although each takes
// longer than the time between two.
func TestOpenLoopDelay(t *testing.T) {
	path := startServer(t, serveOptions{delay: 5 * time.Millisecond})
	begun := time.Now()
	r, err := loadFor(t, loadOptions{target: "unix:" + path, connections: 4, depth: 64, rate: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if r.Latency.P50 < 5000 {
		t.Errorf("half of the calls took %d µs, less than the server's delay", r.Latency.P50)
	}
	if due := int64(1000 * r.Seconds); r.Calls+r.NotStarted < due-1 || r.Calls > int64(1000*time.Since(begun).Seconds()) {
		t.Errorf("%d calls in %.3f s at 1000/s", r.Calls, r.Seconds)
	}
}

// TestOpenLoopIsNotCoordinated: one slot and a slow server. The calls pile up, and what they waited for the slot counts.
func TestOpenLoopIsNotCoordinated(t *testing.T) {
	path := startServer(t, serveOptions{delay: 10 * time.Millisecond})
	r, err := loadFor(t, loadOptions{target: "unix:" + path, connections: 1, depth: 1, rate: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if r.Latency.Max < 30_000 || r.NotStarted == 0 {
		t.Errorf("the slowest of %d calls took %d µs and %d were left behind: the backlog is not in the figures", r.Calls, r.Latency.Max, r.NotStarted)
	}
}

func TestLoadSeesLostCalls(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 10)) // a call came
			_ = c.Close()
		}
	}()
	r, err := loadFor(t, loadOptions{target: "tcp:" + l.Addr().String(), connections: 2, depth: 1})
	if err == nil || r.Failed["lost"] == 0 || r.Reconnects == 0 {
		t.Fatalf("%v, %+v", err, r)
	}
}

func TestLoadOptions(t *testing.T) {
	good := loadOptions{target: "tcp:127.0.0.1:1", framing: "framed-binary", connections: 1, depth: 1, size: 1, duration: 1, timeout: 1}
	for want, change := range map[string]func(*loadOptions){
		"tcp:HOST:PORT":     func(o *loadOptions) { o.target = "127.0.0.1:1" },
		"--connections 0":   func(o *loadOptions) { o.connections = 0 },
		"--depth 2000":      func(o *loadOptions) { o.depth = 2000 },
		"unknown framing":   func(o *loadOptions) { o.framing = "frammed" },
		"must be positive":  func(o *loadOptions) { o.duration = 0 },
		"--rate -1":         func(o *loadOptions) { o.rate = -1 },
		"--size 9000000000": func(o *loadOptions) { o.size = 9_000_000_000 },
	} {
		o := good
		change(&o)
		if _, err := newGenerator(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to name %q", err, want)
		}
	}
}

// TestApacheClient: the echo server is a Thrift server for others too.
func TestApacheClient(t *testing.T) {
	path := startServer(t, serveOptions{})
	for name, pf := range map[string]thrift.TProtocolFactory{
		"binary": thrift.NewTBinaryProtocolFactoryConf(nil), "compact": thrift.NewTCompactProtocolFactoryConf(nil),
		"header": thrift.NewTHeaderProtocolFactoryConf(nil),
	} {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		var tr thrift.TTransport = thrift.NewTSocketFromConnConf(c, nil)
		if name != "header" {
			tr = thrift.NewTFramedTransportConf(tr, nil)
		}
		p := pf.GetProtocol(tr)
		for _, text := range []string{"", "hello", strings.Repeat("x", 100_000)} {
			if got, err := echoOnce(context.Background(), p, text); err != nil || got != text {
				t.Errorf("%s: %d bytes came back as %d, %v", name, len(text), len(got), err)
			}
		}
		_ = tr.Close()
	}
}

func echoOnce(ctx context.Context, p thrift.TProtocol, text string) (got string, err error) {
	for _, err := range []error{
		p.WriteMessageBegin(ctx, "echo", thrift.CALL, 9), p.WriteStructBegin(ctx, "args"), p.WriteFieldBegin(ctx, "s", thrift.STRING, 1),
		p.WriteString(ctx, text), p.WriteFieldEnd(ctx), p.WriteFieldStop(ctx), p.WriteStructEnd(ctx), p.WriteMessageEnd(ctx), p.Flush(ctx),
	} {
		if err != nil {
			return "", err
		}
	}
	if _, _, _, err := p.ReadMessageBegin(ctx); err != nil {
		return "", err
	}
	if _, err := p.ReadStructBegin(ctx); err != nil {
		return "", err
	}
	for {
		_, typ, _, err := p.ReadFieldBegin(ctx)
		if err != nil || typ == thrift.STOP {
			return got, err
		}
		if got, err = p.ReadString(ctx); err != nil {
			return "", err
		}
	}
}
