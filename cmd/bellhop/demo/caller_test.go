package demo

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"go.uber.org/goleak"

	"github.com/bellhop-mesh/bellhop/daemonset/addrfile"
	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/protocol/osp/osppeer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ordersAt serves the OSP service at an address of loopback, as a proxy would be seen to.
func ordersAt(t *testing.T, addr string) (*osppeer.Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &osppeer.Server{Framing: protocol.OSP, Handler: orders}
	go func() { _ = s.Serve(l) }() // Close ends it
	t.Cleanup(func() { _ = s.Close() })
	return s, l.Addr().String()
}

// An OSP caller loses its local proxy between two calls and in the middle of none: no call fails, and it comes back when
// the probes were good for a second.
func TestOSPCaller(t *testing.T) {
	near, nearAddr := ordersAt(t, "127.0.0.1:0")
	_, farAddr := ordersAt(t, "127.0.0.1:0")
	dir := t.TempDir()
	w, err := addrfile.OpenWriter(dir, addrfile.WriterOptions{Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	file := addrfile.File{State: addrfile.Serving, Local: []addrfile.Addr{{Net: addrfile.TCP, Addr: nearAddr}}, Remote: []addrfile.Addr{{Net: addrfile.TCP, Addr: farAddr}}}
	if _, err := w.Write(file); err != nil {
		t.Fatal(err)
	}
	c := &ospCaller{watch: addrfile.Watch(filepath.Join(dir, addrfile.Name), addrfile.WatchOptions{})}
	defer c.watch.Close()
	defer c.hangUp()
	args, err := toBytes(t.Context(), &text{1, "bob"})
	if err != nil {
		t.Fatal(err)
	}
	call := func(what string, want via) {
		t.Helper()
		if got, err := c.call(args, time.Now()); err != nil || got != want {
			t.Fatalf("%s: %v, %v; want %v", what, got, err, want)
		}
	}
	call("the proxy is there", local)
	if err := near.Close(); err != nil {
		t.Fatal(err)
	}
	call("the proxy is gone", remote)
	now := time.Now()
	c.choose(now.Add(time.Second))
	call("nobody answers the probe", remote)
	ordersAt(t, nearAddr)
	c.choose(now.Add(2 * time.Second))
	c.choose(now.Add(2900 * time.Millisecond))
	if !c.away {
		t.Error("back before a second was over")
	}
	c.choose(now.Add(3200 * time.Millisecond))
	if c.away {
		t.Error("not back after a second of good probes")
	}
	call("the proxy is back", local)
}

// The service's own answer is not sent again.
func TestOSPCallerTakesAnAnswer(t *testing.T) {
	_, addr := ordersAt(t, "127.0.0.1:0")
	dir := t.TempDir()
	w, err := addrfile.OpenWriter(dir, addrfile.WriterOptions{Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.Write(addrfile.File{State: addrfile.Serving, Local: []addrfile.Addr{{Net: addrfile.TCP, Addr: addr}}}); err != nil {
		t.Fatal(err)
	}
	c := &ospCaller{watch: addrfile.Watch(filepath.Join(dir, addrfile.Name), addrfile.WatchOptions{})}
	defer c.watch.Close()
	defer c.hangUp()
	_, err = c.call([]byte{0xff}, time.Now()) // no struct
	if err == nil || !strings.Contains(err.Error(), "BadArguments") || strings.Contains(err.Error(), "remote") {
		t.Errorf("%v, want BadArguments from the local proxy alone", err)
	}
}

// The greeter against Apache's own client.
func TestGreeter(t *testing.T) {
	ctx := context.Background()
	call := func(method string, args thrift.TStruct) (string, error) {
		out, back := thrift.NewTMemoryBuffer(), thrift.NewTMemoryBuffer()
		proto := func(b *thrift.TMemoryBuffer) thrift.TProtocol { return thrift.NewTBinaryProtocolConf(b, nil) }
		c := thrift.NewTStandardClient(proto(back), proto(out))
		if err := c.Send(ctx, proto(out), 7, method, args); err != nil {
			t.Fatal(err)
		}
		if ok, err := (greeter{"greeter 1"}).Process(ctx, proto(out), proto(back)); err != nil {
			return "", err
		} else if !ok {
			t.Error("not ok, and no error")
		}
		var result text
		err := c.Recv(ctx, proto(back), 7, method, &result)
		return result.value, err
	}
	if got, err := call(helloMethod, &text{1, "bob"}); err != nil || got != "hello bob, this is greeter 1" {
		t.Errorf("got %q, %v", got, err)
	}
	var app thrift.TApplicationException
	if _, err := call("nosuch", &text{1, "bob"}); !errors.As(err, &app) || app.TypeId() != thrift.UNKNOWN_METHOD {
		t.Errorf("got %v, want an unknown method", err)
	}
	if got, err := call(helloMethod, &text{2, "bob"}); err != nil || got != "hello , this is greeter 1" {
		t.Errorf("an unknown field: got %q, %v", got, err)
	}
}

func TestNoPython(t *testing.T) {
	for want, names := range map[string][]string{
		"there is no python3":               {"/nonexistent/python3"},
		"/bin/false has no module thrift":   {"/nonexistent/python3", "/bin/false"},
		"get it with scripts/setup.sh demo": {},
	} {
		_, err := findPython(t.Context(), names)
		var none *noPythonError
		if !errors.As(err, &none) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: got %v, want %q in one line", names, err, want)
		}
	}
}
