package cluster

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/proxy/govern"
	"github.com/bellhop-mesh/bellhop/registry"
)

// TestWorkersTogether: workers that choose, judge, hold and release at the same time, while somebody opens and closes by hand
// and asks: never are more endpoints ejected than may be, and when all is well again for long, none is held.
func TestWorkersTogether(t *testing.T) {
	const workers, n = 4, 8
	s := service("random", make([]int, n)...)
	s.Ejection.Base, s.Ejection.Max = 10*time.Millisecond, 40*time.Millisecond
	c, err := New(s, workers, Locality{}, Defaults{Timeout: time.Second}, func(*Endpoint) *Endpoint { return nil })
	if err != nil {
		t.Fatal(err)
	}
	c.eject.span = span{10e6, 40e6}
	breaker := rule
	breaker.MinCalls, breaker.OpenFor, breaker.MaxOpen = 5, 10*time.Millisecond, 40*time.Millisecond
	var wg sync.WaitGroup
	play := func(worker int, from, to int64, bad int) {
		defer wg.Done()
		r, v, m := rand.New(rand.NewPCG(1, uint64(worker))), &Evidence{}, &Method{}
		for now := from; now < to; now += 2e5 {
			e := c.Pick(worker, now, r, nil)
			if e == nil {
				continue
			}
			o := Outcome{Cluster: c, Endpoint: e, Method: m, Workload: uint64(worker), Sent: now, Now: now + 1e5, WorkloadName: fmt.Sprint(worker)}
			if int(e.id-c.all[0].id) < bad && r.IntN(4) > 0 {
				o.Class = govern.ClassFailed
			}
			v.Observe(&o)
			o.Trip(&breaker, "r")
			if held := c.Held(); held > n/2+workers {
				t.Errorf("%d of %d are held", held, n)
				return
			}
		}
	}
	wg.Add(workers + 1)
	for w := range workers {
		go play(w, second, 4*second, 6)
	}
	go func() {
		defer wg.Done()
		for i := range 500 {
			e := c.all[i%n]
			e.Set(i%2 == 0, second, second+int64(i)*1e6)
			c.Health(e, second)
			c.View(&govern.Part{Key: fmt.Sprint(i % 5), Version: "v1"})
		}
	}()
	wg.Wait()
	wg.Add(workers)
	for w := range workers {
		go play(w, 5*second, 9*second, 0)
	}
	wg.Wait()
	if held := c.Held(); held != 0 {
		t.Errorf("all is well for long, and %d are held", held)
	}
	for _, e := range c.all {
		if h := c.Health(e, 30*second); h.Held || e.special.Load()&isHeld != 0 {
			t.Errorf("%s: %+v", e, h)
		}
	}
}

// BenchmarkObserve is what a call's end costs when all is well, with so many endpoints, methods and workloads.
func BenchmarkObserve(b *testing.B) {
	for _, n := range []int{1, 4, 16} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := &registry.Service{Name: "S", Endpoints: service("", make([]int, 5)...).Endpoints}
			c := compile(b, s, Locality{})
			var v Evidence
			methods := make([]Method, n)
			b.ReportAllocs()
			i := 0
			for now := second; b.Loop(); now += 10_000 {
				i++
				v.Observe(&Outcome{
					Cluster: c, Endpoint: c.all[i%5], Method: &methods[i%n], Workload: uint64(i/7%n) * 0x9E3779B97F4A7C15, Sent: now - 1e6, Now: now,
				})
			}
		})
	}
}
