package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/bellhop-mesh/bellhop/scripts/interop/gen-go/interop"
)

// serve starts one server a --serve flag and returns once all of them accept.
func serve(args []string, out io.Writer) error {
	set := flag.NewFlagSet("server", flag.ContinueOnError)
	prefix := set.String("service", "", "also answer PREFIX.FRAMING:method")
	var serves []string
	set.Func("serve", "FRAMING=ADDR, repeatable", func(s string) error {
		serves = append(serves, s)
		return nil
	})
	if err := set.Parse(args); err != nil {
		return err
	}
	h := &handler{notified: map[string]int64{}}
	for _, s := range serves {
		name, addr, ok := strings.Cut(s, "=")
		if !ok {
			return fmt.Errorf("--serve %q: want FRAMING=ADDR", s)
		}
		f, err := framingOf(name)
		if err != nil {
			return err
		}
		bound, err := f.listen(addr, processor(h, *prefix, name))
		if err != nil {
			return fmt.Errorf("--serve %q: %w", s, err)
		}
		fmt.Fprintf(out, "listening %s %s\n", name, bound)
	}
	fmt.Fprintln(out, "ready")
	return nil
}

func processor(h *handler, prefix, framing string) thrift.TProcessor {
	p := interop.NewInteropProcessor(h)
	m := thrift.NewTMultiplexedProcessor()
	m.RegisterDefault(p)
	if prefix != "" {
		m.RegisterProcessor(prefix+"."+framing, p)
	}
	return m
}

// listen serves p at addr and returns the address it got. The servers live as long as the process.
func (f framing) listen(addr string, p thrift.TProcessor) (string, error) {
	network, address := splitAddr(addr)
	l, err := net.Listen(network, address)
	if err != nil {
		return "", err
	}
	bound := l.Addr().String()
	if network == "unix" {
		bound = "unix:" + bound
	}
	switch {
	case f.ttheader:
		go f.acceptTTHeader(l, p)
	case f.osp:
		go f.serveOSP(l, p)
	default:
		server := thrift.NewTSimpleServer4(p, &acceptor{Listener: l}, f.transports(), f.protocols())
		go func() { _ = server.Serve() }()
	}
	return bound, nil
}

// acceptor is a thrift.TServerTransport over a listener that is already bound, so that port 0 can be told.
type acceptor struct{ net.Listener }

func (a *acceptor) Listen() error    { return nil }
func (a *acceptor) Interrupt() error { return a.Listener.Close() }
func (a *acceptor) Accept() (thrift.TTransport, error) {
	c, err := a.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return thrift.NewTSocketFromConnConf(c, nil), nil
}

func (f framing) acceptTTHeader(l net.Listener, p thrift.TProcessor) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			t := serveTTHeader(c, f)
			for t.readFrame() == nil {
				g := f
				g.compact = t.compact // of this frame
				prot := g.protocols().GetProtocol(t)
				if !answerable(p.Process(context.Background(), prot, prot)) {
					return
				}
			}
		}()
	}
}

// answerable reports whether a connection can go on after a call: an unknown method was answered like a handler's error.
func answerable(ok bool, err thrift.TException) bool {
	var app thrift.TApplicationException
	return ok || errors.As(err, &app) && app.TypeId() == thrift.UNKNOWN_METHOD
}

// handler is the service; interop.thrift says what each method promises.
type handler struct {
	mu       sync.Mutex
	notified map[string]int64
}

func (h *handler) Ping(context.Context) error { return nil }

func (h *handler) EchoString(_ context.Context, s string) (string, error) { return s, nil }

func (h *handler) EchoEverything(_ context.Context, e *interop.Everything) (*interop.Everything, error) {
	return e, nil
}

func (h *handler) Verify(_ context.Context, e *interop.Everything) (string, error) {
	return differs(e, sample()), nil
}

func (h *handler) Sample(context.Context) (*interop.Everything, error) { return sample(), nil }

func (h *handler) Add(_ context.Context, a, b int64) (int64, error) { return a + b, nil }

func (h *handler) Negate(_ context.Context, b bool) (bool, error) { return !b, nil }

func (h *handler) Half(_ context.Context, d float64) (float64, error) { return d / 2, nil }

func (h *handler) NextColor(_ context.Context, c interop.Color) (interop.Color, error) {
	switch c {
	case interop.Color_RED:
		return interop.Color_GREEN, nil
	case interop.Color_GREEN:
		return interop.Color_BLUE, nil
	default:
		return interop.Color_RED, nil
	}
}

func (h *handler) Blob(_ context.Context, b []byte) ([]byte, error) { return b, nil }

func (h *handler) Divide(_ context.Context, a, b int32) (int32, error) {
	if b == 0 {
		return 0, &interop.InvalidOperation{
			Code: 22, Why: fmt.Sprintf("divide %d by zero", a), Details: map[string]string{"a": fmt.Sprint(a)},
		}
	}
	return a / b, nil
}

func (h *handler) Notify(_ context.Context, key string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.notified[key]++
	return nil
}

func (h *handler) Notified(_ context.Context, key string) (int64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.notified[key], nil
}

func (h *handler) Fail(context.Context) error { return fmt.Errorf("failed on purpose") }
