package daemonset

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-mesh/bellhop/daemonset/addrfile"
)

// paper is an address file that remembers.
type paper struct {
	mu      sync.Mutex
	written []addrfile.File
	at      []time.Time
	touched []time.Time
	fail    error
}

func (p *paper) Write(f addrfile.File) (addrfile.File, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return f, p.fail
	}
	p.written, p.at = append(p.written, f), append(p.at, time.Now())
	return f, nil
}

func (p *paper) Touch() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.touched = append(p.touched, time.Now())
	return nil
}

func (p *paper) Lease() time.Duration { return 3 * time.Second }

func (p *paper) states() (out []addrfile.State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.written {
		out = append(out, f.State)
	}
	return out
}

func alive(context.Context) error { return nil }

// run runs a beacon in a bubble, with a file that says serving.
func run(t *testing.T, tick func(context.Context) error, f func(b *Beacon, p *paper)) {
	synctest.Test(t, func(t *testing.T) {
		p := &paper{}
		b := NewBeacon(p, tick, slog.New(slog.DiscardHandler))
		if err := b.Serving([]addrfile.Addr{{Net: addrfile.Unix, Addr: "call.sock"}}, nil); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			b.Run(ctx)
		}()
		f(b, p)
		cancel()
		<-done
	})
}

// TestLease: a third of the lease never goes by without a touch.
func TestLease(t *testing.T) {
	run(t, alive, func(b *Beacon, p *paper) {
		start := time.Now()
		time.Sleep(30 * time.Second)
		synctest.Wait()
		last := start
		for _, at := range p.touched {
			if gap := at.Sub(last); gap > time.Second {
				t.Errorf("no touch for %v", gap)
			}
			last = at
		}
		if len(p.touched) < 30 || len(p.written) != 1 {
			t.Errorf("%d touches and %d writes in 30 s", len(p.touched), len(p.written))
		}
	})
}

// TestLeaseEnds: workers that do not answer let the lease run out; when they answer again it is renewed again.
func TestLeaseEnds(t *testing.T) {
	var mu sync.Mutex
	stuck := true
	tick := func(ctx context.Context) error {
		mu.Lock()
		wait := stuck
		mu.Unlock()
		if wait {
			<-ctx.Done()
		}
		return ctx.Err()
	}
	run(t, tick, func(b *Beacon, p *paper) {
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if len(p.touched) != 0 {
			t.Errorf("%d touches while no worker answered", len(p.touched))
		}
		mu.Lock()
		stuck = false
		mu.Unlock()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(p.touched) < 5 {
			t.Errorf("%d touches in the 10 s after", len(p.touched))
		}
	})
}

// TestRemotes: a list that changes all the time is written every five seconds, and its last state is written.
func TestRemotes(t *testing.T) {
	run(t, alive, func(b *Beacon, p *paper) {
		list := func(port string) []addrfile.Addr {
			return []addrfile.Addr{{Net: addrfile.TCP, Addr: "10.0.0.1:" + port}}
		}
		for i := range 100 {
			b.SetRemote(list([]string{"1", "2"}[i%2]))
			time.Sleep(100 * time.Millisecond)
		}
		b.SetRemote(list("3"))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for i := 1; i < len(p.at); i++ {
			if gap := p.at[i].Sub(p.at[i-1]); gap < remoteEvery {
				t.Errorf("written again after %v", gap)
			}
		}
		if n := len(p.written); n < 3 || n > 5 || !slices.Equal(p.written[n-1].Remote, list("3")) {
			t.Errorf("%d writes, the last: %+v", n, p.written[n-1])
		}
	})
}

// TestFarewell: the farewells are written at once, and keep the list of remote proxies.
func TestFarewell(t *testing.T) {
	run(t, alive, func(b *Beacon, p *paper) {
		b.SetRemote([]addrfile.Addr{{Net: addrfile.TCP, Addr: "10.0.0.1:1"}})
		if err := errors.Join(b.Draining(), b.Down()); err != nil {
			t.Fatal(err)
		}
		if want := []addrfile.State{addrfile.Serving, addrfile.Draining, addrfile.Down}; !slices.Equal(p.states(), want) {
			t.Errorf("%v, want %v", p.states(), want)
		}
		if last := p.written[2]; len(last.Remote) != 1 || len(last.Local) != 1 {
			t.Errorf("%+v", last)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if b.State() != addrfile.Down || len(p.written) != 3 {
			t.Errorf("%s after %d writes", b.State(), len(p.written))
		}
	})
}

// TestNeverServed: who was never told to come is not told to go.
func TestNeverServed(t *testing.T) {
	p := &paper{}
	b := NewBeacon(p, alive, slog.New(slog.DiscardHandler))
	b.SetRemote([]addrfile.Addr{{Net: addrfile.TCP, Addr: "10.0.0.1:1"}})
	if err := errors.Join(b.Draining(), b.Down()); err != nil || len(p.written) != 0 {
		t.Errorf("%v, %+v", err, p.written)
	}
}

// TestWriteFails: a change that could not be written is written later.
func TestWriteFails(t *testing.T) {
	run(t, alive, func(b *Beacon, p *paper) {
		p.mu.Lock()
		p.fail = errors.New("disk full")
		p.mu.Unlock()
		b.SetRemote([]addrfile.Addr{{Net: addrfile.TCP, Addr: "10.0.0.1:1"}})
		time.Sleep(20 * time.Second)
		p.mu.Lock()
		p.fail = nil
		p.mu.Unlock()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := len(p.written); n != 2 || len(p.written[1].Remote) != 1 {
			t.Errorf("%+v", p.written)
		}
		if len(p.touched) < 30 {
			t.Errorf("%d touches: the lease of the old file must be renewed meanwhile", len(p.touched))
		}
	})
}
