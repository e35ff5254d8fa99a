package proxy

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/bellhop-mesh/bellhop/registry"
)

// crowd is a worker with an endpoint that answers at once, and callers that call again as soon as they have their reply.
type crowd struct {
	*rig
	up      *fakeConn
	callers []*member
}

// member is one connection of a source.
type member struct {
	conn  *fakeConn
	src   *source
	size  int
	busy  bool // waits for a reply
	calls int  // that were answered
}

func newCrowd(t testing.TB, change func(*Config)) *crowd {
	k := &crowd{rig: newRig(t, change, &registry.Snapshot{Services: map[string]*registry.Service{
		"Echo": {Name: "Echo", Mode: "multiplexed", Depth: 10_000, Endpoints: []registry.Endpoint{{Addr: "e1:1"}}},
	}})}
	first := k.caller(&listener{ListenerConfig: ListenerConfig{Name: "test"}}, Identity{Source: "first", Workload: "first"})
	first.bring(frame("Echo:say", 1, 1, 1, "x"))
	k.up = k.connected(k.dials[0], nil)
	k.answer()
	first.drop()
	return k
}

// join opens n connections of a source that send calls of this size.
func (k *crowd) join(id Identity, n, size int) *source {
	for range n {
		c := k.caller(&listener{ListenerConfig: ListenerConfig{Name: "test"}}, id)
		k.callers = append(k.callers, &member{conn: c, src: c.ctx.(*downstream).src, size: size})
	}
	return k.callers[len(k.callers)-1].src
}

// call has one member send.
func (m *member) call() {
	m.busy = true
	m.conn.arrive(frame("Echo:say", 1, 1, 1, string(make([]byte, m.size))))
}

// poll is one poll round: those who are free call, the worker comes to the end of its round, the endpoint answers.
func (k *crowd) poll() {
	for _, m := range k.callers {
		if !m.busy {
			m.call()
		}
	}
	k.turn()
	k.answer()
	for _, m := range k.callers {
		if m.busy && len(m.conn.taken()) > 0 {
			m.busy = false
			m.calls++
		}
	}
}

// turn plays one end of a poll round, not all that are asked for.
func (k *crowd) turn() {
	if k.woken {
		k.woken = false
		k.w.begin()
		k.w.round()
		k.w.end()
	}
}

// answer has the endpoint reply to all that it was sent.
func (k *crowd) answer() {
	b := k.up.taken()
	for at := 0; at+8 < len(b); at += 4 + int(binary.BigEndian.Uint32(b[at:])) {
		b[at+7] = 2 // CALL becomes REPLY
	}
	if len(b) > 0 {
		k.up.arrive(b)
		k.w.flush()
	}
}

func (k *crowd) answered() map[*source]int {
	n := map[*source]int{}
	for _, m := range k.callers {
		n[m.src] += m.calls
		m.calls = 0
	}
	return n
}

// TestPoliteBesideFlooder: a source with 64 connections, large calls or many of them in one read is held to its turn; the
// call of another that comes behind all of that is taken before the rest of it, in the same round.
func TestPoliteBesideFlooder(t *testing.T) {
	for _, kind := range []struct {
		name        string
		conns, size int
	}{{"connections", 64, 100}, {"large calls", 8, 60_000}, {"many calls", 1, 100}} {
		t.Run(kind.name, func(t *testing.T) {
			k := newCrowd(t, nil)
			polite := k.join(Identity{Source: "polite", Workload: "p"}, 1, 100)
			flooder := k.join(Identity{Source: "flooder", Workload: "f"}, kind.conns, kind.size)
			k.poll()
			for range 10 {
				k.settle()
				k.poll()
			}
			before := flooder.calls.Load()
			for _, m := range k.callers[1:] {
				if !m.busy {
					m.call()
				}
			}
			if kind.conns == 1 {
				c := k.callers[1].conn
				all := frame("Echo:say", 1, 1, 1, "x")
				for range 9 {
					all = append(all, all[:]...)
				}
				c.arrive(all)
			}
			taken, total := flooder.calls.Load(), k.p.inFlight.Load()
			k.callers[0].call()
			if polite.calls.Load() != 1 || k.p.inFlight.Load() != total+1 {
				t.Fatalf("the polite call was not taken at once: %d in flight", polite.calls.Load())
			}
			if n := taken - before; n > 3 && kind.conns > 1 || n > quantum/callCost+2 { // it was heavy lately, or not yet; the first ones find nothing under way
				t.Errorf("the flooder had %d calls taken before its turn", n)
			}
			k.turn()
			if n := flooder.calls.Load(); n <= taken {
				t.Errorf("the flooder waits though nobody else does: %d in flight", n)
			}
			if k.w.shares.turns.Len() == 0 && kind.conns > 8 {
				t.Error("all that waited was served in one round")
			}
			k.settle()
			if n := k.w.shares.turns.Len(); n != 0 {
				t.Errorf("%d connections are left waiting", n)
			}
		})
	}
}

// TestEqualShares: where there is more to do than one round takes, sources get the same, whatever the number of their
// connections and the size of their calls; weights and workloads count.
func TestEqualShares(t *testing.T) {
	k := newCrowd(t, nil)
	var all []*source
	for i := range 10 {
		all = append(all, k.join(Identity{Source: fmt.Sprint(i), Workload: fmt.Sprint(i)}, 20+10*i, 100))
	}
	for range 400 {
		k.poll()
	}
	n := k.answered()
	var sum, squares float64
	for _, s := range all {
		sum += float64(n[s])
		squares += float64(n[s]) * float64(n[s])
	}
	if jain := sum * sum / (10 * squares); jain < 0.99 {
		t.Errorf("Jain's index of ten sources is %.4f: %v", jain, n)
	}
	k.p.SetRules(parseRules(t, []byte("version: 1\nsources: [{match: {source: \"1\"}, workload_weight: 2}, {match: {source: \"2\"}, workload_weight: 4}]")))
	k.callers = k.callers[:20+30+40]
	for range 400 {
		k.poll()
	}
	n = k.answered()
	for i, part := range []float64{1. / 7, 2. / 7, 4. / 7} {
		if got := float64(n[all[i]]) / float64(n[all[0]]+n[all[1]]+n[all[2]]); got < part*0.95 || got > part*1.05 {
			t.Errorf("source %d of weights 1:2:4 got %.3f of all, want %.3f", i, got, part)
		}
	}
}

// TestWorkloadsShare: fifty sources of one workload get as much as one of another.
func TestWorkloadsShare(t *testing.T) {
	k := newCrowd(t, nil)
	for i := range 50 {
		k.join(Identity{Source: fmt.Sprint(i), Workload: "many"}, 2, 100)
	}
	one := k.join(Identity{Source: "one", Workload: "one"}, 100, 100)
	for range 400 {
		k.poll()
	}
	n := k.answered()
	all := 0
	for _, c := range n {
		all += c
	}
	if got := float64(n[one]) / float64(all); got < 0.48 || got > 0.52 {
		t.Errorf("one source of a workload got %.3f beside fifty of another", got)
	}
}

// TestAloneIsNotHeldBack: a source that is alone does not wait for turns, however much it sends.
func TestAloneIsNotHeldBack(t *testing.T) {
	k := newCrowd(t, nil)
	src := k.join(Identity{Source: "alone"}, 200, 1000)
	k.now += 2 * sharedFor
	for range 10 {
		for _, m := range k.callers {
			m.call()
		}
		if n := src.calls.Load(); n != 200 {
			t.Fatalf("%d of 200 calls were taken at once", n)
		}
		k.settle()
		k.answer()
		for _, m := range k.callers {
			m.conn.taken()
		}
	}
	if k.w.stats.deferred != 0 {
		t.Errorf("%d times a connection waited", k.w.stats.deferred)
	}
}

// TestDelayCountsFromTheRead: what a call has waited for its turn counts from the read that brought it, also when its connection
// had turns for others in between.
func TestDelayCountsFromTheRead(t *testing.T) {
	k := newCrowd(t, nil)
	k.join(Identity{Source: "other", Workload: "o"}, 1, 10)
	src := k.join(Identity{Source: "a", Workload: "a"}, 1, 10)
	k.callers[0].call()
	k.callers[1].call()
	d := k.callers[1].conn.ctx.(*downstream)
	many := frame("Echo:say", 1, 1, 1, "x")
	for range 5 {
		many = append(many, many...)
	}
	began := k.now
	k.callers[1].conn.arrive(many) // 32 calls: more than a turn
	if !d.place.Queued() || d.since != began {
		t.Fatalf("waits: %v, since %d, want %d", d.place.Queued(), d.since, began)
	}
	k.w.shares.ahead = k.now // short rounds
	k.now += 1e6
	later := k.now
	k.turn()
	if n := src.calls.Load(); n < 8 || n > 24 || d.since != began {
		t.Fatalf("%d taken; the rest waits since %d, want %d", n, d.since, began)
	}
	k.w.begin()
	k.callers[1].conn.arrive(many)
	k.w.shares.sample = 1
	k.now += 1e6
	for d.place.Queued() && d.since == began {
		k.woken = true
		k.turn()
	}
	if d.since != 0 && d.since != later {
		t.Errorf("what came later waits since %d, want %d", d.since, later)
	}
	k.settle()
	if d.since != 0 || d.mark != 0 {
		t.Errorf("nothing waits, and it does since %d, mark %d", d.since, d.mark)
	}
	if most := src.lanes[0].Load().delays.Load().most.Load(); most < 1e6 {
		t.Errorf("the longest sample is %d ns", most)
	}
}
