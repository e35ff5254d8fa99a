package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"go.uber.org/goleak"

	"github.com/bellhop-mesh/bellhop/proxy"
	"github.com/bellhop-mesh/bellhop/proxy/cluster"
	"github.com/bellhop-mesh/bellhop/proxy/route"
	"github.com/bellhop-mesh/bellhop/registry"
)

// finder is a registry that learns of services when it is asked for them.
type finder struct {
	p     *proxy.Proxy
	addr  string // of every service that there is
	known map[string]*registry.Service
	asked chan string
}

// run answers until it is told that no more comes: services whose names begin with S are there.
func (f *finder) run(t *testing.T) {
	for name := range f.asked {
		if name == "" {
			return
		}
		if name[0] != 'S' {
			f.p.NotFound(name)
			continue
		}
		f.known[name] = &registry.Service{Name: name, Endpoints: []registry.Endpoint{{Addr: f.addr}}}
		table, err := route.Compile(&registry.Snapshot{Services: f.known}, f.p.Table(), route.Options{
			Workers: f.p.Workers(), Defaults: cluster.Defaults{Timeout: 10 * time.Second, MaxConns: 256, MaxPending: 1024, Depth: 8},
		})
		if err != nil {
			t.Error(err)
		}
		f.p.SetTable(table)
	}
}

// TestFirstCalls: callers on several event loops call services that are learned of meanwhile, and others that are not
// there. No first call fails but theirs, and Used tells which services there were.
func TestFirstCalls(t *testing.T) {
	f := &finder{addr: serve(t, &echo{}, framed(), binary()), known: map[string]*registry.Service{}, asked: make(chan string, 1000)}
	p, addr := start(t, 2, func(c *proxy.Config) {
		c.Timeouts.Lookup = time.Minute
		c.Timeouts.Call = 20 * time.Second
		c.Lookup = func(name string) bool { f.asked <- name; return true }
	})
	f.p = p
	var finding sync.WaitGroup
	finding.Go(func() { f.run(t) })
	var callers sync.WaitGroup
	var found, missing atomic.Int32
	for range 8 {
		callers.Go(func() {
			for i := range 20 {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				var r text
				_, err := dial(t, addr, fmt.Sprint("S", i), framed(), binary()).Call(ctx, "say", &text{"x"}, &r)
				if err != nil {
					t.Errorf("S%d: %v", i, err)
				} else {
					found.Add(1)
				}
				_, err = dial(t, addr, fmt.Sprint("none", i), framed(), binary()).Call(ctx, "say", &text{"x"}, &r)
				var ae thrift.TApplicationException
				if !errors.As(err, &ae) || ae.TypeId() != thrift.UNKNOWN_METHOD {
					t.Errorf("none%d: %v", i, err)
				} else {
					missing.Add(1)
				}
				cancel()
			}
		})
	}
	callers.Wait()
	f.asked <- ""
	finding.Wait()
	if found.Load() != 160 || missing.Load() != 160 {
		t.Errorf("%d calls were answered, %d were of services that are not there; want 160 each", found.Load(), missing.Load())
	}
	used, err := p.Used(t.Context())
	if slices.Sort(used); err != nil || len(used) != 20 || !slices.Contains(used, "S7") {
		t.Errorf("used were %q, %v", used, err)
	}
	if again, err := p.Used(t.Context()); err != nil || len(again) != 0 {
		t.Errorf("used were %q once more, %v", again, err)
	}
}

// waiting launches a proxy at which calls wait for a look-up that nobody ends.
func waiting(t *testing.T) *proxy.Proxy {
	t.Helper()
	const calls = 50
	asked := make(chan struct{}, calls)
	p, addr, err := launch(2, func(c *proxy.Config) {
		c.Timeouts.Lookup, c.Timeouts.Call = time.Minute, time.Minute
		c.Lookup = func(string) bool { asked <- struct{}{}; return true }
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range calls {
		if _, err := connect(t, addr).Write(request(int32(i), "x")); err != nil {
			t.Fatal(err)
		}
	}
	for {
		if s, err := p.Stats(t.Context()); err != nil {
			t.Fatal(err)
		} else if s.InFlight == calls {
			break
		}
	}
	if n := len(asked); n > 2 {
		t.Errorf("was asked %d times by 2 event loops", n)
	}
	return p
}

// TestStopWhileLookingUp: after Stop nothing is left of calls that waited, and who answers too late does no harm.
func TestStopWhileLookingUp(t *testing.T) {
	before := goleak.IgnoreCurrent()
	p := waiting(t)
	p.Stop()
	p.NotFound("Echo")
	goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("github.com/panjf2000/ants/v2.(*goWorker).run.func1"),
		goleak.IgnoreAnyFunction("github.com/panjf2000/ants/v2.(*poolCommon).purgeStaleWorkers"),
		goleak.IgnoreAnyFunction("github.com/panjf2000/ants/v2.(*poolCommon).ticktock"))
}

// TestDrainWhileLookingUp: a drain waits for calls that wait, and ends when they have their fault.
func TestDrainWhileLookingUp(t *testing.T) {
	p := waiting(t)
	defer p.Stop()
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := p.Drain(short, 0); err == nil {
		t.Error("the drain did not wait")
	}
	p.NotFound("Echo")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := p.Drain(ctx, 0); err != nil {
		t.Error(err)
	}
}
