package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"go.uber.org/goleak"

	"github.com/bellhop-mesh/bellhop/daemonset/addrfile"
)

// host is a world without a scenario file: a local and a remote fake, and a client.
func host(t *testing.T) *world {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	dir := t.TempDir()
	pub := filepath.Join(dir, "pub")
	if err := os.Mkdir(pub, 0o755); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: dir, gen: 100, servers: map[string]*fake{
		"local": newFake(t, "local", "unix", pub), "r0": newFake(t, "r0", "tcp", pub),
	}}
	w.publish(&caseFile{Local: []string{"local"}, Remote: []string{"r0"}})
	w.start()
	t.Cleanup(func() { w.client.Close() })
	return w
}

// TestKillUnderLoad: the local proxy ends under the calls of many. What was unsent or idempotent does not fail, what
// was written to it otherwise fails as lost at most, and nothing that is not idempotent runs twice.
func TestKillUnderLoad(t *testing.T) {
	w := host(t)
	var ledger sync.Map // call id → *atomic.Int32, by both servers
	for _, s := range w.servers {
		s.ledger = &ledger
	}
	const callers = 16
	var lost, total atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range callers {
		idem := i%2 == 0
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("%v-%d-%d", idem, i, n)
				_, err := w.tc[idem].Call(context.Background(), "where", &text{id: 1, s: id}, &text{id: 0})
				total.Add(1)
				switch {
				case err == nil:
				case !idem && ClassOf(err) == ClassLost:
					lost.Add(1)
				default:
					t.Errorf("call %s: %v", id, err)
				}
			}
		})
	}
	reach(t, "calls to local", func() bool { return w.client.Stats().Local > 200 })
	w.servers["local"].set("gone")
	reach(t, "calls to remote", func() bool { return w.client.Stats().Remote > 200 })
	w.servers["local"].set("serve")
	before := w.client.Stats().Local
	reach(t, "calls to local again", func() bool { return w.client.Stats().Local > before+200 })
	close(stop)
	wg.Wait()
	if lost.Load() > callers/2 {
		t.Errorf("%d calls lost, at most %d were in flight that are not idempotent", lost.Load(), callers/2)
	}
	ledger.Range(func(id, n any) bool {
		if strings.HasPrefix(id.(string), "false") && n.(*atomic.Int32).Load() > 1 {
			t.Errorf("call %s ran %d times", id, n.(*atomic.Int32).Load())
		}
		return true
	})
	t.Logf("%d calls, %d lost, %+v", total.Load(), lost.Load(), w.client.Stats())
}

// reach waits for something that other goroutines bring about.
func reach(t *testing.T, what string, ok func() bool) {
	t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	limit := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-look.C:
		case <-limit:
			t.Fatalf("not reached: %s", what)
		}
	}
}

func TestDrainingDropsIdleConnections(t *testing.T) {
	w := host(t)
	if got, err := w.call(false, time.Second); got != "local" {
		t.Fatalf("%s, %v", got, err)
	}
	local := w.servers["local"]
	if local.open() != 1 {
		t.Fatalf("%d connections to local, want the idle one", local.open())
	}
	w.publish(&caseFile{State: "draining", Local: []string{"local"}, Remote: []string{"r0"}})
	reach(t, "the idle connection is closed without a call", func() bool { return local.open() == 0 })
}

func TestOneLinePerSwitch(t *testing.T) {
	w := host(t)
	var log bytes.Buffer
	c, err := newClient(Options{AddressFile: w.path(), Logger: slog.New(slog.NewTextHandler(&log, nil))}, quick)
	if err != nil {
		t.Fatal(err)
	}
	w.servers["local"].set("refuse")
	tc := NewTClient(c, "Case", CallOptions{})
	for range 20 {
		if _, err := tc.Call(context.Background(), "where", &text{id: 1}, &text{}); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	if got := strings.Count(log.String(), "\n"); got != 1 || !strings.Contains(log.String(), "to=remote") {
		t.Errorf("%d lines, want one:\n%s", got, log.String())
	}
	if s := c.Stats(); s.Switches != 1 || !s.Away || s.Remote != 20 || s.Refused == 0 {
		t.Errorf("%+v", s)
	}
}

func TestOneway(t *testing.T) {
	w := host(t)
	meta, err := w.tc[false].Call(context.Background(), "tell", &text{id: 1, s: "x"}, nil)
	if err != nil || meta.Headers != nil {
		t.Fatal(meta, err)
	}
	reach(t, "the oneway call arrives", func() bool { n, _ := w.servers["local"].seen(); return n == 1 })
	if got, err := w.call(false, time.Second); got != "local" || w.servers["local"].open() != 1 {
		t.Errorf("%s, %v, %d connections: want the same one used again", got, err, w.servers["local"].open())
	}
}

func TestCancel(t *testing.T) {
	w := host(t)
	w.servers["local"].set("hold")
	ctx, cancel := context.WithCancel(context.Background())
	failed := make(chan error, 1)
	go func() {
		_, err := w.tc[true].Call(ctx, "where", &text{id: 1}, &text{})
		failed <- err
	}()
	reach(t, "the call is written", func() bool { return w.client.Stats().Local == 1 })
	cancel()
	err := <-failed
	if ClassOf(err) != ClassDeadline || !errors.Is(err, context.Canceled) {
		t.Errorf("%v (%v), want cancelled", err, ClassOf(err))
	}
}

func TestClose(t *testing.T) {
	w := host(t)
	if got, err := w.call(false, time.Second); got != "local" {
		t.Fatalf("%s, %v", got, err)
	}
	w.client.Close()
	w.client.Close()
	if _, err := w.call(false, time.Second); ClassOf(err) != ClassUnsent {
		t.Errorf("after Close: %v, want unsent", err)
	}
}

func TestInFlightIsBounded(t *testing.T) {
	w := host(t)
	w.servers["local"].set("hold")
	c, err := newClient(Options{AddressFile: w.path(), MaxInFlight: 1}, quick)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	tc := NewTClient(c, "Case", CallOptions{})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = tc.Call(ctx, "where", &text{id: 1}, &text{}) })
	reach(t, "one call in flight", func() bool { return c.Stats().Local == 1 })
	short, done := context.WithTimeout(context.Background(), 20*time.Millisecond)
	_, err = tc.Call(short, "where", &text{id: 1}, &text{})
	done()
	if ClassOf(err) != ClassUnsent || !strings.Contains(err.Error(), "1 calls are in flight") {
		t.Errorf("the second call: %v", err)
	}
	cancel()
	wg.Wait()
}

// TestRepliesThatAreWrong: a reply that is not the call's is an error of the connection, and is not delivered.
func TestRepliesThatAreWrong(t *testing.T) {
	frame := func(name string, kind thrift.TMessageType, seq int32) []byte {
		mem := thrift.NewTMemoryBuffer()
		p := thrift.NewTBinaryProtocolConf(mem, nil)
		_ = p.WriteMessageBegin(context.Background(), name, kind, seq)
		_ = (&text{id: 0, s: "forged"}).Write(context.Background(), p)
		return append([]byte{0, 0, 0, byte(mem.Len())}, mem.Bytes()...)
	}
	for name, c := range map[string]struct {
		reply []byte
		want  string
	}{
		"another sequence": {frame("where", thrift.REPLY, 77), "does not belong to the call"},
		"another method":   {frame("other", thrift.REPLY, 1), "does not belong to the call"},
		"a call":           {frame("where", thrift.CALL, 1), "does not belong to the call"},
		"garbage":          {[]byte{0, 0, 0, 3, 1, 2, 3}, "reply"},
		"a huge frame":     {[]byte{0x7f, 0, 0, 0}, "a frame of 2130706432 bytes"},
		"an empty frame":   {[]byte{0, 0, 0, 0}, "a frame of 0 bytes"},
		"half a frame":     {[]byte{0, 0, 0, 9, 1}, "closed"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					cn, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = cn.Read(make([]byte, 4096))
					_, _ = cn.Write(c.reply)
					cn.Close()
				}
			}()
			cl, err := New(Options{AddressFile: filepath.Join(t.TempDir(), "none"), Proxy: l.Addr().String()})
			if err != nil {
				t.Fatal(err)
			}
			defer cl.Close()
			result := &text{}
			_, err = NewTClient(cl, "Case", CallOptions{}).Call(context.Background(), "where", &text{id: 1}, result)
			if ClassOf(err) != ClassLost || !strings.Contains(err.Error(), c.want) || result.s != "" {
				t.Errorf("%v (%v), result %q; want lost, with %q", err, ClassOf(err), result.s, c.want)
			}
		})
	}
}

// TestHalfWritten: a call of which some bytes were written is lost, not unsent, though it can't have run.
func TestHalfWritten(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	var taken atomic.Int32
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			cn, err := l.Accept()
			if err != nil {
				return
			}
			taken.Add(1)
			_, _ = cn.Read(make([]byte, 1))
			cn.Close()
		}
	})
	defer wg.Wait()
	defer l.Close()
	c, err := New(Options{AddressFile: filepath.Join(t.TempDir(), "none"), Proxy: "unix:" + l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	big := &text{id: 1, s: strings.Repeat("x", 8<<20)}
	_, err = NewTClient(c, "Case", CallOptions{Timeout: 5 * time.Second}).Call(context.Background(), "where", big, &text{})
	if ClassOf(err) != ClassLost || taken.Load() != 1 {
		t.Errorf("%v (%v) over %d connections, want lost over one", err, ClassOf(err), taken.Load())
	}
	if s := c.Stats(); s.ResentUnsent != 0 || s.Lost != 1 {
		t.Errorf("%+v", s)
	}
}

func TestOptions(t *testing.T) {
	for proxy, want := range map[string]string{
		"nowhere": "want host:port", "host:0": "port of 1 to 65535", "unix:relative": "absolute path", ":80": "host:port", "a:1,,b:2": `""`,
	} {
		if c, err := New(Options{AddressFile: "/nonexistent", Proxy: proxy}); err == nil {
			c.Close()
			t.Errorf("BELLHOP_PROXY=%s accepted", proxy)
		} else if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "BELLHOP_PROXY") {
			t.Errorf("%s: %v does not say %q", proxy, err, want)
		}
	}
	if _, err := New(Options{MaxIdle: -1}); err == nil {
		t.Error("a negative MaxIdle accepted")
	}
	t.Setenv("BELLHOP_ADDRESS_FILE", "/tmp/x/address")
	t.Setenv("BELLHOP_PROXY", "[::1]:90, unix:/run/s")
	t.Setenv("BELLHOP_SOURCE", "me")
	var o Options
	if err := o.fill(); err != nil || o.AddressFile != "/tmp/x/address" || o.Source != "me" {
		t.Errorf("%+v, %v", o, err)
	}
	list, err := parseProxy(o.Proxy)
	if err != nil || fmt.Sprint(list) != "[tcp:[::1]:90 unix:/run/s]" {
		t.Errorf("%v, %v", list, err)
	}
	if addrfile.DefaultPath != "/run/bellhop/pub/address" {
		t.Error("the well-known path changed")
	}
}

func TestClassOf(t *testing.T) {
	app := thrift.NewTApplicationException
	for _, c := range []struct {
		err  error
		want Class
	}{
		{nil, ClassOK},
		{errors.New("declared by the IDL"), ClassOK},
		{&Error{Class: ClassLost, Cause: errEOF}, ClassLost},
		{fmt.Errorf("wrapped: %w", &Error{Class: ClassUnsent, Cause: errEOF}), ClassUnsent},
		{app(6, "boom"), ClassApp},
		{app(11, "too busy"), ClassApp},
		{app(11, "not executed: draining"), ClassNotExecuted},
		{app(6, "not executed: but not LOADSHEDDING"), ClassApp},
		{fmt.Errorf("wrapped: %w", app(11, "not executed: x")), ClassNotExecuted},
	} {
		if got := ClassOf(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
	var te thrift.TTransportException
	if !errors.As(error(&Error{Class: ClassDeadline, Cause: context.DeadlineExceeded}), &te) || te.TypeId() != thrift.TIMED_OUT {
		t.Errorf("an Error is not a transport exception that timed out: %v", te)
	}
}
