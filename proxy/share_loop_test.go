package proxy

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// loops is a crowd whose callers keep a number of calls under way on every connection: what is answered is asked again, in one
// write. A clock goes with the work that is done, and stands still for the worker now and then as it does under a quota of
// CPU time.
type loops struct {
	*crowd
	pipes []*pipe
	all   []*source
	wakes map[*source]int64 // when its process runs next
	rnd   *rand.Rand
	idle  int64 // time in which nothing was done
}

// pipe is one connection of a source.
type pipe struct {
	conn   *fakeConn
	src    *source
	asks   int    // calls to be sent
	rest   []byte // of replies
	calls  int    // that were answered
	failed int
}

const (
	workEach  = int64(1e6) // of every period there is so much time to work in
	stallEach = int64(4e6) // ... and then none for so long
)

func newLoops(t testing.TB) *loops {
	k := &loops{crowd: newCrowd(t, nil), wakes: map[*source]int64{}, rnd: rand.New(rand.NewPCG(1, 7))}
	base := k.now
	k.p.clock = func() int64 {
		at := 2*k.w.shares.charged + k.idle
		return base + at + at/workEach*stallEach
	}
	k.p.cpu = func() int64 { return 2*k.w.shares.charged + k.rnd.Int64N(20)/19*int64(time.Second) } // or another thread's
	return k
}

// open opens connections of a source that keep so many calls under way each.
func (k *loops) open(id Identity, conns, depth int) *source {
	var src *source
	for range conns {
		c := k.caller(&listener{ListenerConfig: ListenerConfig{Name: "test"}}, id)
		src = c.ctx.(*downstream).src
		k.pipes = append(k.pipes, &pipe{conn: c, src: src, asks: depth})
	}
	k.all = append(k.all, src)
	return src
}

// run plays poll rounds for so long, in ns.
func (k *loops) run(ns int64) {
	one := frame("Echo:say", 1, 1, 1, string(make([]byte, 100)))
	for end := k.p.clock() + ns; k.p.clock() < end; {
		before, now := k.w.shares.charged, k.p.clock()
		for _, i := range k.rnd.Perm(len(k.pipes)) {
			if p := k.pipes[i]; p.asks > 0 && k.wakes[p.src] <= now {
				var b []byte
				for ; p.asks > 0; p.asks-- {
					b = append(b, one...)
				}
				p.conn.arrive(b)
			}
		}
		for _, src := range k.all {
			if k.wakes[src] <= now {
				k.wakes[src] = now + k.rnd.Int64N(3e6)
			}
		}
		k.turn()
		k.answer()
		for _, p := range k.pipes {
			p.take()
		}
		if k.w.shares.charged == before {
			k.idle += 50_000
		}
	}
}

// take looks at the replies that have come.
func (p *pipe) take() {
	p.rest = append(p.rest, p.conn.taken()...)
	for len(p.rest) >= 4 {
		n := 4 + int(binary.BigEndian.Uint32(p.rest))
		if len(p.rest) < n {
			return
		}
		if p.rest[7] != 2 {
			p.failed++
		}
		p.rest = p.rest[n:]
		p.calls++
		p.asks++
	}
}

// taken returns how many calls of each source were answered since it was asked last.
func (k *loops) taken(all ...*source) (n []float64) {
	n = make([]float64, len(all))
	for _, p := range k.pipes {
		if p.failed > 0 {
			k.t.Errorf("%d calls of %s failed", p.failed, p.src.Source)
		}
		for i, s := range all {
			if s == p.src {
				n[i] += float64(p.calls)
			}
		}
		p.calls, p.failed = 0, 0
	}
	return n
}

// TestWeightsInClosedLoops: sources that always have calls waiting get their weights' shares, however many those are.
func TestWeightsInClosedLoops(t *testing.T) {
	for _, size := range [][2]int{{24, 16}, {72, 16}, {24, 48}, {8, 16}} {
		t.Run(fmt.Sprintf("%d connections of %d calls", size[0], size[1]), func(t *testing.T) {
			k := newLoops(t)
			k.p.SetRules(parseRules(t, []byte("version: 1\nsources: [{match: {source: middle}, workload_weight: 2}, {match: {source: heavy}, workload_weight: 4}]")))
			var all []*source
			for _, name := range []string{"light", "middle", "heavy"} {
				all = append(all, k.open(Identity{Source: name, Workload: name}, size[0], size[1]))
			}
			k.run(5e8)
			k.taken(all...)
			k.run(2e9)
			n := k.taken(all...)
			sum := n[0] + n[1] + n[2]
			for i, part := range []float64{1. / 7, 2. / 7, 4. / 7} {
				if got := n[i] / sum; got < part*0.97 || got > part*1.03 {
					t.Errorf("source %s got %.3f of %.0f calls, want %.3f", all[i].Source, got, sum, part)
				}
			}
		})
	}
}

// TestDearWork: a source whose work takes longer than what others' is estimated at pays for it; one that does what is usual never
// does, however unsteady the time is that work takes.
func TestDearWork(t *testing.T) {
	rnd := rand.New(rand.NewPCG(2, 7))
	var s shares
	usual, dear := &lane{dear: 1}, &lane{dear: 1}
	for i := range 5000 {
		estimate := callCost * (1 + rnd.Int64N(6))
		took := estimate/2 + estimate*rnd.Int64N(1000)/2000
		switch rnd.IntN(8) {
		case 0:
			took += 4e6
		case 1:
			took = -took
		}
		s.learn(usual, took, estimate)
		if i%3 == 0 {
			s.learn(dear, 4*took, estimate)
		}
		if n := usual.price(1000); n != 1000 {
			t.Fatalf("after %d samples the usual work of 1000 costs %d", i, n)
		}
	}
	if n := dear.price(1000); n < 3000 || n > 8000 {
		t.Errorf("work of 1000 that takes four times as long costs %d", n)
	}
}

// TestOverdueWhenItsTurnComes: a deadline counts from the read that brought the call. When it has passed before the call's turn
// comes the call is answered, and never sent on.
func TestOverdueWhenItsTurnComes(t *testing.T) {
	k := newCrowd(t, nil)
	k.join(Identity{Source: "other", Workload: "o"}, 1, 10)
	k.join(Identity{Source: "a", Workload: "a"}, 1, 10)
	k.callers[0].call()
	k.callers[1].call()
	conn := k.callers[1].conn
	d := conn.ctx.(*downstream)
	many := frame("Echo:say", 1, 1, 1, "x")
	for range 6 {
		many = append(many, many...)
	}
	conn.arrive(many) // 64 calls: more than some turns
	k.callers[0].conn.arrive(many)
	k.now += int64(600 * time.Millisecond)
	before := d.inFlight
	k.w.shares.ahead = k.now // a short round
	k.woken = true
	k.turn()
	if d.inFlight == before || d.calls.deadline != k.now+int64(400*time.Millisecond) {
		t.Fatalf("%d calls were taken; what was read 0.6 s ago has %v left of a second", d.inFlight-before, time.Duration(d.calls.deadline-k.now))
	}
	sent := d.inFlight
	conn.arrive(frame("Echo:say", 1, 1, 1, "later"))
	k.answer()
	conn.taken()
	k.up.taken()
	k.now += int64(450 * time.Millisecond)
	k.settle()
	if n := frames(conn.taken(), 3); n+sent != 65 { // with the first, without the one that came later
		t.Errorf("%d calls were answered with a fault when it was too late, %d before", n, sent)
	}
	if n := frames(k.up.taken(), 1); n != 1 || d.inFlight != 1 || d.calls.deadline != k.now+int64(550*time.Millisecond) {
		t.Errorf("%d calls were sent, %d are under way; one had time left", n, d.inFlight)
	}
}

// frames counts whole frames of a kind.
func frames(b []byte, kind byte) (n int) {
	for len(b) >= 8 {
		if b[7] == kind {
			n++
		}
		b = b[4+int(binary.BigEndian.Uint32(b)):]
	}
	return n
}
