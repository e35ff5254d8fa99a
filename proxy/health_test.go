package proxy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/cluster"
	"github.com/bellhop-mesh/bellhop/proxy/govern"
	"github.com/bellhop-mesh/bellhop/proxy/rules"
	"github.com/bellhop-mesh/bellhop/registry"
)

// breaker tells the proxy what somebody says of a breaker.
func (k *talk) breaker(w []string) error {
	if len(w) < 3 {
		return fmt.Errorf("write breaker open or close, a service, and an endpoint or a method")
	}
	var d time.Duration
	if len(w) > 3 {
		var err error
		if d, err = time.ParseDuration(w[3]); err != nil {
			return err
		}
	}
	return k.p.SetBreaker(w[1], w[2], w[0], d)
}

// field is a worker whose endpoints behave as said, played call by call. Slow replies are played by the passing of time.
type field struct {
	*rig
	callers map[string]*fakeConn
	ups     map[string]*fakeConn
	behave  func(endpoint, workload string) (fate string, took time.Duration)
	got     map[string]int // calls by endpoint
	fates   map[string]int
	longest []time.Duration // of callers' calls
	seq     int32
}

// newField makes one of a service as a rules document has it; "": there is none.
func newField(t *testing.T, document string, s *registry.Service) *field {
	f := &field{callers: map[string]*fakeConn{}, ups: map[string]*fakeConn{}, got: map[string]int{}, fates: map[string]int{}}
	f.rig = newRig(t, nil, &registry.Snapshot{})
	f.serve(document, s)
	f.behave = func(string, string) (string, time.Duration) { return "ok", time.Millisecond }
	return f
}

// serve puts the service and the document in force.
func (f *field) serve(document string, s *registry.Service) {
	snap := &registry.Snapshot{Services: map[string]*registry.Service{s.Name: s}}
	if document != "" {
		r := readRules(f.t, []byte(document))
		f.p.SetRules(r.Govern())
		snap = rules.NewApplier(nil, nil).Apply(snap, r)
	}
	f.setTable(snap)
}

// call plays one call of a workload to its end.
func (f *field) call(method, workload string) {
	d := f.callers[workload]
	if d == nil {
		d = f.caller(&listener{ListenerConfig: ListenerConfig{Name: "test"}}, Identity{Source: workload, Workload: workload})
		f.callers[workload] = d
	}
	began := f.now
	f.seq++
	d.bring(frame("Echo:"+method, 1, f.seq, 1, "x"))
	for rounds := 0; len(d.out) == 0; rounds++ {
		if rounds > 20 {
			f.t.Fatalf("call %d comes to no end", f.seq)
		}
		f.dial(workload)
		for addr, up := range f.ups {
			if len(up.out) > 0 {
				f.answer(method, addr, workload, up)
			}
		}
	}
	d.taken()
	f.longest = append(f.longest, time.Duration(f.now-began))
}

// dial ends the connects under way.
func (f *field) dial(workload string) {
	for len(f.dials) > 0 {
		u := f.dials[0]
		addr := u.endpoint.Addr
		if fate, _ := f.behave(addr, workload); fate == "refuse" {
			f.connected(u, errRefused)
			continue
		}
		f.ups[addr] = f.connected(u, nil)
	}
}

func (f *field) answer(method, addr, workload string, up *fakeConn) {
	fate, took := f.behave(addr, workload)
	f.got[addr]++
	f.fates[fate]++
	f.pass(took)
	seq := lastSeq(up)
	switch fate {
	case "refuse": // it has died meanwhile
		delete(f.ups, addr)
		up.drop()
	case "fail":
		up.bring(frame(method, thrift.EXCEPTION, seq, 1, "no"))
	case "declared":
		up.bring(frame(method, thrift.REPLY, seq, 1, "business"))
	default:
		up.bring(frame(method, thrift.REPLY, seq, 0, "x"))
	}
}

// reset forgets what was counted.
func (f *field) reset() {
	f.got, f.fates, f.longest = map[string]int{}, map[string]int{}, nil
}

func (f *field) quantile(q float64) time.Duration {
	slices.Sort(f.longest)
	return f.longest[int(q*float64(len(f.longest)-1))]
}

func echo(balancer string, n int) *registry.Service {
	s := &registry.Service{Name: "Echo", Balancer: balancer, Timeout: time.Second, Mode: "exclusive"}
	for i := range n {
		s.Endpoints = append(s.Endpoints, registry.Endpoint{Addr: fmt.Sprintf("e%d:1", i)})
	}
	return s
}

func (f *field) health(addr string) EndpointHealth {
	c := f.p.Table().Lookup([]byte("Echo"))
	return f.p.healthOf(c.Health(c.Find(addr), f.now))
}

// TestBadEndpoints: of five endpoints one is slow by 20×, one returns INTERNAL_ERROR, one is dead, and declared exceptions come
// from everywhere. After the ejections the callers' p99 is that of healthy endpoints, hardly a call fails, and no declared
// exception has ejected anything.
func TestBadEndpoints(t *testing.T) {
	for _, balancer := range []string{"least-active", "round-robin", "random", "p2c"} {
		f := newField(t, "", echo(balancer, 5))
		kind := 0
		well := func(string, string) (string, time.Duration) {
			if kind++; kind%3 == 0 {
				return "declared", time.Millisecond
			}
			return "ok", time.Millisecond
		}
		f.behave = well
		for i := range 2000 {
			f.call("say", []string{"a", "b"}[i%2])
		}
		if f.fates["declared"] < 500 || len(f.p.Breakers()) != 0 {
			t.Fatalf("%s: all are well, and %+v", balancer, f.p.Breakers())
		}
		healthy := f.quantile(0.99)
		f.behave = func(addr, workload string) (string, time.Duration) {
			switch addr {
			case "e0:1":
				return "ok", 20 * time.Millisecond
			case "e1:1":
				return "fail", time.Millisecond
			case "e2:1":
				return "refuse", 0
			}
			return well(addr, workload)
		}
		for i := range 1000 {
			f.call("say", []string{"a", "b"}[i%2])
		}
		for addr, want := range map[string]string{"e0:1": "slow", "e1:1": "errors", "e3:1": "", "e4:1": ""} {
			h := f.health(addr)
			if balancer == "p2c" && want == "slow" { // it may have seen to that itself
				continue
			}
			if h.Reason != want || want != "" && h.Why == "" {
				t.Errorf("%s: %s: %+v, want it ejected for %q", balancer, addr, h, want)
			}
		}
		f.reset()
		for i := range 4000 {
			f.call("say", []string{"a", "b"}[i%2])
		}
		if p99 := f.quantile(0.99); p99 > healthy*3/2 || f.fates["fail"] > 20 || f.got["e2:1"] > 0 {
			t.Errorf("%s: p99 is %v, healthy it was %v; %d of 4000 failed, %v", balancer, p99, healthy, f.fates["fail"], f.got)
		}
		if st := f.w.stats.ejections; st[cluster.ReasonErrors] == 0 {
			t.Errorf("%s: the ejections are not counted: %v", balancer, st)
		}
	}
}

// TestPoisonedWorkload: a workload of two replicas with one bug sends only bad calls, and they are answered with
// INTERNAL_ERROR wherever they go: no endpoint is ejected for the others.
func TestPoisonedWorkload(t *testing.T) {
	for _, n := range []int{1, 2, 5} {
		f := newField(t, "", echo("", n))
		f.behave = func(_, workload string) (string, time.Duration) {
			if workload == "bad" {
				return "fail", time.Millisecond
			}
			return "ok", time.Millisecond
		}
		for i := range 6000 {
			f.call("say", []string{"bad", "good", "bad", "bad", "other"}[i%5])
		}
		if b := f.p.Breakers(); len(b) != 0 {
			t.Errorf("of %d endpoints: %+v", n, b)
		}
	}
}

// TestOneEndpointForOneWorkload: the same when the rules send that workload to one endpoint alone.
func TestOneEndpointForOneWorkload(t *testing.T) {
	s := echo("round-robin", 3)
	s.Endpoints[1].Version = "v2"
	f := newField(t, `
version: 1
rules:
  - {name: pinned, match: {workload: bad}, subset: {version: v2, strict: true}}
`, s)
	f.behave = func(_, workload string) (string, time.Duration) {
		if workload == "bad" {
			return "fail", time.Millisecond
		}
		return "ok", time.Millisecond
	}
	for i := range 6000 {
		f.call("say", []string{"bad", "good"}[i%2])
	}
	if b := f.p.Breakers(); len(b) != 0 || f.got["e1:1"] < 3900 {
		t.Errorf("%v: %+v", f.got, b)
	}
}

// TestCanary: of 100,000 calls 5 % go to the canary, to within half a percent, and so with three parts.
func TestCanary(t *testing.T) {
	s := echo("", 10)
	for i := range s.Endpoints {
		s.Endpoints[i].Version = []string{"v1", "v2", "v3"}[max(0, i-7)]
	}
	f := newField(t, `
version: 1
rules:
  - name: three
    match: {method: other}
    split: {parts: [{weight: 70, version: v1}, {weight: 20, version: v2}, {weight: 10, version: v3}]}
  - name: canary
    match: {service: Echo}
    split: {parts: [{weight: 95, version: v1}, {weight: 5, version: v2, strict: true}]}
`, s)
	f.behave = func(string, string) (string, time.Duration) { return "ok", 0 }
	for _, c := range []struct {
		method string
		want   [3]float64
	}{{"say", [3]float64{95, 5, 0}}, {"other", [3]float64{70, 20, 10}}} {
		f.reset()
		const calls = 100_000
		for range calls {
			f.call(c.method, "a")
		}
		got := [3]float64{0, float64(f.got["e8:1"]), float64(f.got["e9:1"])}
		got[0] = calls - got[1] - got[2]
		for i, want := range c.want {
			if share := got[i] * 100 / calls; share < want-0.01 || share > want+0.01 {
				t.Errorf("%s: version %d has %.3f %% of the calls, want %v", c.method, i+1, share, want)
			}
		}
	}
}

// TestSticky: of many users each stays on one part, the parts have their share of users, and another rule splits the users
// in another way.
func TestSticky(t *testing.T) {
	w := newRig(t, nil, &registry.Snapshot{}).w
	split := &govern.Split{Parts: []govern.Part{{Weight: 50, Key: "a"}, {Weight: 50, Key: "b"}}, Total: 100, Sticky: "user"}
	part := func(rule, user string) *govern.Part {
		c := &call{w: w, policy: &govern.Policy{Split: split, By: [govern.NumActions]string{govern.ActSplit: rule}}}
		w.toPart(c, &protocol.Message{Info: []protocol.KV{{Key: []byte("user"), Value: []byte(user)}}})
		return c.part
	}
	const users = 100_000
	first, both := 0, 0
	for i := range users {
		user := fmt.Sprint("u", i)
		a, b := part("one", user), part("two", user)
		if part("one", user) != a {
			t.Fatal("a user is on two parts")
		}
		if a == &split.Parts[0] {
			first++
			if b == &split.Parts[0] {
				both++
			}
		}
	}
	if first < users*495/1000 || first > users*505/1000 || both < first*48/100 || both > first*52/100 {
		t.Errorf("%d of %d users are on the first part, and of them %d by another rule", first, users, both)
	}
	n := 0
	for range 1000 { // without the key calls are drawn
		c := &call{w: w, policy: &govern.Policy{Split: split}}
		w.toPart(c, &protocol.Message{})
		if c.part == &split.Parts[0] {
			n++
		}
	}
	if n < 499 || n > 501 {
		t.Errorf("without the key the first part has %d of 1000 calls", n)
	}
}

// TestTurnsBound: splits that are gone leave nothing behind for good.
func TestTurnsBound(t *testing.T) {
	w := newRig(t, nil, &registry.Snapshot{}).w
	for range 5 * maxTurns {
		w.turn(&govern.Split{Total: 1, Parts: make([]govern.Part, 2)})
	}
	if len(w.turns) > maxTurns {
		t.Errorf("%d splits are remembered", len(w.turns))
	}
}

// TestSetBreakerErrors: what can't be done is said, with what to do.
func TestSetBreakerErrors(t *testing.T) {
	f := newField(t, "", echo("", 2))
	for _, c := range []struct{ service, target, state, want string }{
		{"Nobody", "say", "open", "not known here"},
		{"Echo", "e9:1", "open", "no endpoint e9:1"},
		{"Echo", "say", "ajar", "use open or close"},
		{"Echo", "", "open", "name a service"},
		{"Echo", "never", "close", ""},
		{"Echo", "say", "open", ""},
		{"Echo", "e1:1", "open", ""},
	} {
		err := f.p.SetBreaker(c.service, c.target, c.state, 0)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if b := f.p.Breakers(); len(b) != 2 || b[0].Endpoint != "e1:1" || b[1].Method != "say" || b[0].State != "open" || !b[1].Until.IsZero() {
		t.Errorf("%+v", b)
	}
}

// TestBreakersBound: so many methods have a breaker; those of which nothing is known make room, and workers look again then,
// but not at each call where there is none to be made.
func TestBreakersBound(t *testing.T) {
	var b breakers
	for i := range 2 * maxBreakers {
		if b.find(methodKey{"s", fmt.Sprint(i)}, true, 1) == nil {
			t.Fatal("idle ones did not make room")
		}
	}
	round, swept := b.round.Load(), b.swept
	for _, br := range b.by {
		br.Set(true, cluster.Forever)
	}
	for i := range maxBreakers {
		if br := b.find(methodKey{"t", fmt.Sprint(i)}, true, 2); br != nil {
			br.Set(true, cluster.Forever)
		}
	}
	if len(b.by) > maxBreakers {
		t.Errorf("there are %d", len(b.by))
	}
	if b.round.Load() != round || b.swept != swept {
		t.Error("workers have to look again though there was no room")
	}
	for k := range b.by {
		b.by[k] = &cluster.Breaker{}
	}
	if b.find(methodKey{"u", "late"}, true, swept+sweepEvery) == nil || b.round.Load() == round {
		t.Error("no room was made a second later")
	}
}
