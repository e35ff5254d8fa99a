package proxy_test

import (
	"context"
	bigendian "encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/bellhop-mesh/bellhop/proxy"
	"github.com/bellhop-mesh/bellhop/registry"
)

// This file shows the hazards of the event loop (docs/architecture.md) on real sockets.

// request is one framed call "Echo:say" as bytes, for callers that misbehave.
func request(seq int32, arg string) []byte {
	ctx, buf := context.Background(), thrift.NewTMemoryBuffer()
	p := thrift.NewTBinaryProtocolConf(buf, nil)
	err := errors.Join(p.WriteMessageBegin(ctx, "Echo:say", thrift.CALL, seq), (&text{arg}).Write(ctx, p), p.WriteMessageEnd(ctx), p.Flush(ctx))
	if err != nil {
		panic(err)
	}
	return append(bigendian.BigEndian.AppendUint32(nil, uint32(buf.Len())), buf.Bytes()...)
}

// connect opens a raw connection that ends with the test.
func connect(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.(*net.TCPConn)
}

// reset closes with a RST.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// settled waits until the proxy counts this many callers' connections, no call and no byte.
func settled(t *testing.T, p *proxy.Proxy, conns int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		s, err := p.Stats(ctx)
		if err != nil {
			t.Fatalf("%v: %d connections, %d calls, %d bytes are left", err, s.CallerConns, s.InFlight, s.BytesBuffered)
		}
		var of int64
		for _, src := range p.Sources() {
			of += src.Conns
		}
		if s.CallerConns == conns && of == conns && s.InFlight == 0 && s.BytesBuffered == 0 {
			return
		}
	}
}

// TestServerThatDies: the fault for a call whose connection was lost is written at once, not with the next event.
func TestServerThatDies(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // the test is over
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 1000))
			_ = c.Close()
		}
	}()
	_, addr := start(t, 1, nil, &registry.Service{Name: "Echo", Timeout: time.Minute, Endpoints: []registry.Endpoint{{Addr: l.Addr().String()}}})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var r text
	_, err = dial(t, addr, "Echo", framed(), binary()).Call(ctx, "say", &text{"x"}, &r)
	var ae thrift.TApplicationException
	if !errors.As(err, &ae) || ae.TypeId() != thrift.INTERNAL_ERROR {
		t.Fatalf("got %v, want INTERNAL_ERROR", err)
	}
}

// TestNobodyGetsAnothersReply: callers that go away, by close or reset, in the middle of calls, replies and megabytes,
// while others take over their descriptors. Who stays gets its own bytes.
func TestNobodyGetsAnothersReply(t *testing.T) {
	p, addr := start(t, 2, nil, &registry.Service{Name: "Echo", Timeout: 20 * time.Second, MaxConns: 8, Endpoints: []registry.Endpoint{
		{Addr: serve(t, &echo{}, framed(), binary())}, {Addr: serve(t, &echo{}, framed(), binary())},
	}})
	var stop atomic.Bool
	var rude, good sync.WaitGroup
	for i := range 2 {
		rude.Go(func() {
			big := request(1, strings.Repeat("secret", 20_000))
			for k := 0; !stop.Load(); k++ {
				c, err := net.Dial("tcp", addr)
				if err != nil {
					t.Error(err)
					return
				}
				b := big
				if k%3 > 0 {
					b = request(1, "secret")
				}
				_, _ = c.Write(b[:len(b)-k%2])
				if k%10 == 0 { // a whole call
					_, _ = c.Read(make([]byte, 10))
				}
				if (i+k)%2 == 0 {
					_ = c.(*net.TCPConn).SetLinger(0)
				}
				_ = c.Close()
			}
		})
	}
	for i := range 4 {
		good.Go(func() {
			for range 4 { // new connections, new descriptors
				callMany(t, dial(t, addr, "Echo", framed(), binary()), i, 21)
			}
		})
	}
	good.Wait()
	stop.Store(true)
	rude.Wait()
	settled(t, p, 16)
}

// TestResetBeforeEnrol: connections that are reset before anybody looks at them leave nothing behind.
func TestResetBeforeEnrol(t *testing.T) {
	p, addr := start(t, 1, nil, &registry.Service{Name: "Echo", Endpoints: []registry.Endpoint{{Addr: serve(t, &echo{}, framed(), binary())}}})
	for range 300 {
		reset(connect(t, addr))
	}
	callMany(t, dial(t, addr, "Echo", framed(), binary()), 1, 5)
	settled(t, p, 1)
}

// TestHalfClose: a caller that shuts its write side after the request loses the reply, as documented; the call is
// cancelled and nothing of it is left.
func TestHalfClose(t *testing.T) {
	release := make(chan struct{})
	p, addr := start(t, 1, nil, &registry.Service{Name: "Echo", Timeout: 10 * time.Second, Endpoints: []registry.Endpoint{
		{Addr: serve(t, &echo{onCall: func(string) { <-release }}, framed(), binary())},
	}})
	c := connect(t, addr)
	if _, err := c.Write(request(1, "x")); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); len(b) > 0 || err != nil {
		t.Fatalf("got %x, %v, want the end", b, err)
	}
	close(release)
	settled(t, p, 0)
}

// TestDrainTakesTheQueue: callers that are connected and have written a call when a drain begins are answered, whether
// they were accepted yet or not.
func TestDrainTakesTheQueue(t *testing.T) {
	p, addr := start(t, 2, nil, &registry.Service{Name: "Echo", Timeout: 10 * time.Second, Endpoints: []registry.Endpoint{{Addr: serve(t, &echo{}, framed(), binary())}}})
	var conns []net.Conn
	for i := range 100 {
		c := connect(t, addr)
		if _, err := c.Write(request(int32(i), "x")); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	drained := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		drained <- p.Drain(ctx, 0)
	}()
	for i, c := range conns {
		b := make([]byte, 100)
		if n, err := io.ReadAtLeast(c, b, 20); err != nil {
			t.Errorf("caller %d: %d bytes, %v", i, n, err)
		}
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	settled(t, p, 0)
}

// TestStopLeavesNothing: after Stop no goroutine of ours runs, although connects, calls and enrolments were under way.
func TestStopLeavesNothing(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close() //nolint:errcheck // the test is over
	before := goleak.IgnoreCurrent()
	p, addr, err := launch(2, nil, &registry.Service{Name: "Echo", Timeout: time.Minute, Endpoints: []registry.Endpoint{{Addr: silent.Addr().String()}}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		c := connect(t, addr)
		if _, err := c.Write(request(int32(i), "x")); err != nil {
			t.Fatal(err)
		}
	}
	p.Stop()
	_ = p.Tick(cancelled(t)) // a late wake-up must not reach a descriptor that somebody else has by now
	goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("github.com/panjf2000/ants/v2.(*goWorker).run.func1"),
		goleak.IgnoreAnyFunction("github.com/panjf2000/ants/v2.(*poolCommon).purgeStaleWorkers"),
		goleak.IgnoreAnyFunction("github.com/panjf2000/ants/v2.(*poolCommon).ticktock"))
}

func cancelled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// TestIdleSleeps: with connections open and nothing to do no loop wakes up. A tick of the timer wheel would be seen
// 500 times a second.
func TestIdleSleeps(t *testing.T) {
	_, addr := start(t, 2, nil, &registry.Service{Name: "Echo", Endpoints: []registry.Endpoint{{Addr: serve(t, &echo{}, framed(), binary())}}})
	for i := range 10 {
		callMany(t, dial(t, addr, "Echo", framed(), binary()), i, 3)
	}
	fewest := 1 << 30
	for range 5 { // the runtime's own threads may be busy once
		before := switches(t)
		<-time.After(300 * time.Millisecond) // what is measured
		fewest = min(fewest, switches(t)-before)
	}
	if fewest > 60 {
		t.Fatalf("the process woke up %d times in 300 ms of doing nothing", fewest)
	}
}

// switches is how often this process's threads have gone to sleep.
func switches(t *testing.T) (n int) {
	files, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil || len(files) == 0 {
		t.Skip("no /proc")
	}
	for _, f := range files {
		b, err := os.ReadFile(f) //nolint:gosec // a path of the kernel's
		if err != nil {
			continue // the thread has ended
		}
		if _, after, ok := strings.Cut(string(b), "\nvoluntary_ctxt_switches:"); ok {
			var k int
			if _, err := fmt.Sscan(after, &k); err == nil {
				n += k
			}
		}
	}
	return n
}

// TestServerThatHangs: a stopped server costs its callers their deadline and not more; when it goes on, its late reply
// reaches nobody.
func TestServerThatHangs(t *testing.T) {
	for _, mode := range []string{"exclusive", "multiplexed"} {
		t.Run(mode, func(t *testing.T) {
			cmd, _, _, server := child(t, "echo")
			p, addr := start(t, 1, nil, &registry.Service{Name: "Echo", Mode: mode, Timeout: time.Second, Endpoints: []registry.Endpoint{{Addr: server}}})
			client := dial(t, addr, "Echo", framed(), binary())
			say(t, client, "before")
			if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			var status unix.WaitStatus // the signal takes its time: until the process has stopped
			if _, err := unix.Wait4(cmd.Process.Pid, &status, unix.WUNTRACED, nil); err != nil || !status.Stopped() {
				t.Fatalf("wait for the stop: %v, status %v", err, status)
			}
			var r text
			_, err := client.Call(t.Context(), "say", &text{"late"}, &r)
			var ae thrift.TApplicationException
			if !errors.As(err, &ae) || ae.TypeId() != 12 {
				t.Fatalf("got %v, want TIMEOUT", err)
			}
			if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			say(t, client, "after")
			say(t, client, "and again")
			if s, err := p.Stats(t.Context()); err != nil || s.Counters["stray_replies"] > 0 {
				t.Fatalf("%d stray replies, %v", s.Counters["stray_replies"], err)
			}
			settled(t, p, 1)
		})
	}
}

func say(t *testing.T, c *thrift.TStandardClient, want string) {
	t.Helper()
	var r text
	if _, err := c.Call(t.Context(), "say", &text{want}, &r); err != nil || r.s != want {
		t.Fatalf("got %q, %v, want %q", r.s, err, want)
	}
}

// TestSlowReader: replies that nobody takes are bounded by the source's bytes; another source is not touched.
func TestSlowReader(t *testing.T) {
	p, addr := start(t, 1, func(c *proxy.Config) { c.Limits.SourceBytes = 8 << 20 }, &registry.Service{
		Name: "Echo", Timeout: 20 * time.Second, MaxConns: 4, Endpoints: []registry.Endpoint{{Addr: serve(t, &echo{}, framed(), binary())}},
	})
	c := connect(t, addr)
	if err := c.SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	big := request(1, strings.Repeat("x", 1<<20))
	for range 40 {
		if _, err := c.Write(big); err != nil { // closed: its bytes were in the way
			break
		}
		if s, err := p.Stats(t.Context()); err != nil || s.BytesBuffered > 16<<20 {
			t.Fatalf("%d bytes are buffered, %v", s.BytesBuffered, err)
		}
	}
	_ = c.Close()
	callMany(t, dial(t, addr, "Echo", framed(), binary()), 1, 5)
	settled(t, p, 1)
}

// TestTurns: two workers share a server that serves one connection; neither is kept waiting while the other has calls.
func TestTurns(t *testing.T) {
	for _, mode := range []string{"exclusive", "multiplexed"} {
		t.Run(mode, func(t *testing.T) {
			_, addr := start(t, 2, nil, &registry.Service{
				Name: "Echo", Mode: mode, MaxConns: 1, Timeout: 20 * time.Second, Endpoints: []registry.Endpoint{{Addr: serve(t, &echo{}, framed(), binary())}},
			})
			var done [6]atomic.Int64
			var wg sync.WaitGroup
			all := func() bool {
				for i := range done {
					if done[i].Load() < 10 {
						return false
					}
				}
				return true
			}
			end := time.Now().Add(15 * time.Second)
			for i := range done {
				c := dial(t, addr, "Echo", framed(), binary())
				wg.Go(func() {
					for !all() && time.Now().Before(end) && !t.Failed() {
						callMany(t, c, i, 1)
						done[i].Add(1)
					}
				})
			}
			wg.Wait()
			for i := range done {
				if n := done[i].Load(); n < 10 {
					t.Errorf("caller %d had %d calls answered while others went on", i, n)
				}
			}
		})
	}
}
