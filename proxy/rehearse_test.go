package proxy

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/govern"
	"github.com/bellhop-mesh/bellhop/proxy/pressure"
	"github.com/bellhop-mesh/bellhop/registry"
	"github.com/bellhop-mesh/bellhop/remote"
)

// guess is a rig in which random things happen, and every call is rehearsed before it is made.
type guess struct {
	*rig
	rnd     *rand.Rand
	callers []*fakeConn
	ups     []*fakeConn // connections to endpoints
	seen    map[Outcome]int
	codes   map[string]int
}

func newGuess(t *testing.T, seed uint64) *guess {
	g := &guess{rnd: rand.New(rand.NewPCG(seed, 1)), seen: map[Outcome]int{}, codes: map[string]int{}}
	snap := &registry.Snapshot{Services: map[string]*registry.Service{}, Remotes: []registry.Remote{{Addr: "r1:1"}, {Addr: "r2:1"}}}
	for i, balancer := range []string{"", "round-robin", "random", "p2c"} {
		s := &registry.Service{
			Name: fmt.Sprint("S", i), Balancer: balancer, MaxConns: 1 + g.rnd.IntN(2), MaxPending: 1 + g.rnd.IntN(3), Remote: g.rnd.IntN(2) == 0,
		}
		if s.Ordered = g.rnd.IntN(6) == 0; i%2 == 1 {
			s.Mode, s.Depth = "multiplexed", 2
		}
		for e := range g.rnd.IntN(5) {
			s.Endpoints = append(s.Endpoints, registry.Endpoint{Addr: fmt.Sprintf("e%d-%d:1", i, e), Weight: 1 + g.rnd.IntN(100), Version: fmt.Sprint("v", g.rnd.IntN(2))})
		}
		snap.Services[s.Name] = s
	}
	g.rig = newRig(t, func(c *Config) {
		c.Limits.SourceCalls, c.Limits.TotalCalls = 6, 14
		if g.rnd.IntN(4) == 0 { // fewer than there are sources
			c.Limits.TotalCalls = 3
		}
		c.Timeouts.MaxCall = time.Minute
		if g.rnd.IntN(2) == 0 {
			c.HandOff = &remote.Client{Host: "here", Instance: "i"}
		}
		if g.rnd.IntN(3) == 0 {
			c.Lookup = func(string) bool { return true }
		}
	}, snap)
	if g.rnd.IntN(3) > 0 {
		g.p.SetRules(g.rules())
	}
	for i := range 5 {
		g.callers = append(g.callers, g.caller(&listener{ListenerConfig: ListenerConfig{Name: "test"}}, Identity{Source: fmt.Sprint("pod-", i)}))
	}
	return g
}

// rules are some of every kind that decides where a call goes.
func (g *guess) rules() *govern.Rules {
	service := func(name string) govern.Condition {
		p, err := govern.ParsePattern(name)
		if err != nil {
			g.t.Fatal(err)
		}
		return govern.Condition{Service: govern.Patterns{p}}
	}
	pod := service("S*")
	pod.Source = service("pod-2").Service
	yes := true
	excess := func() govern.Excess { return govern.Excess(g.rnd.IntN(3)) }
	return govern.New([]govern.Rule{
		{Name: "deny", Match: govern.Match{Condition: pod, Not: []govern.Condition{service("S1")}}, Access: govern.AccessDeny},
		{Name: "rate", Match: govern.Match{Condition: service("S1")}, Limit: &govern.Limit{
			Rate: 50, Burst: 2, By: []govern.By{govern.BySource}, Excess: excess(), QueueFor: 50 * time.Millisecond, QueueMost: 2,
		}},
		{Name: "flying", Match: govern.Match{Condition: service("S2")}, Deadline: 300 * time.Millisecond, Limit: &govern.Limit{
			Concurrency: 2, Excess: excess(), QueueFor: 50 * time.Millisecond, QueueMost: 1,
		}},
		{Name: "away", Match: govern.Match{Condition: service("S3")}, Remote: &yes},
		{Name: "canary", Match: govern.Match{Condition: service("S0")}, Split: &govern.Split{Total: 100, Parts: []govern.Part{
			{Weight: 70, Version: "v0", Key: "v0", Strict: g.rnd.IntN(2) == 0}, {Weight: 30, Version: "v1", Key: "v1", Strict: g.rnd.IntN(2) == 0},
		}}},
		{Name: "trips", Match: govern.Match{Condition: service("S3")}, Breaker: &govern.Breaker{
			Scope: govern.Scope(g.rnd.IntN(2)), Window: time.Second, MinCalls: 2, ErrorRate: 0.3, OpenFor: 300 * time.Millisecond, MaxOpen: time.Second,
			Probes: 1 + g.rnd.IntN(2), MaxShare: 0.6,
		}},
		{Name: "second", Match: govern.Match{Condition: service("S*")}, Limit: &govern.Limit{
			Rate: 300, Burst: 5, By: []govern.By{govern.ByService}, Excess: excess(), QueueFor: 50 * time.Millisecond, QueueMost: 3,
		}},
	}, nil)
}

// happen does one random thing that is no call.
func (g *guess) happen() {
	switch g.rnd.IntN(5) {
	case 4:
		switch g.rnd.IntN(12) {
		case 0, 1, 2:
			g.byHand()
		case 3:
			g.press()
		}
	case 0:
		g.pass(time.Duration(g.rnd.IntN(400)) * time.Millisecond)
	case 1, 2:
		if len(g.dials) == 0 {
			return
		}
		u := g.dials[g.rnd.IntN(len(g.dials))]
		if g.rnd.IntN(3) == 0 {
			g.connected(u, errRefused)
			return
		}
		c := g.connected(u, nil)
		g.ups = append(g.ups, c)
		if u.endpoint.Remote {
			hello := g.decoded(c.taken(), protocol.THeader)
			s := &remote.Server{Grant: remote.Grant{Calls: int32(1 + g.rnd.IntN(4))}}
			g.reply(c, protocol.THeader, hello, s.AppendGranted(nil), nil)
		}
	case 3:
		for _, c := range g.ups {
			u := c.ctx.(*upstream)
			switch {
			case c.gone || g.rnd.IntN(2) == 0 || u.endpoint.Remote && g.rnd.IntN(5) > 0:
				continue
			case u.endpoint.Remote:
				c.drop()
			case u.nCalls > 0 && g.rnd.IntN(3) == 0:
				c.bring(frame("say", 3, u.calls.id, 1, "broken"))
			case u.nCalls > 0:
				c.bring(frame("say", 2, u.calls.id, 0, "x"))
			default:
				c.drop()
			}
			return
		}
	}
}

// byHand has somebody open or close a breaker.
func (g *guess) byHand() {
	name := fmt.Sprint("S", g.rnd.IntN(4))
	target := "say"
	if all := g.p.Table().Lookup([]byte(name)).Endpoints(); len(all) > 0 && g.rnd.IntN(2) == 0 {
		target = all[g.rnd.IntN(len(all))].String()
	}
	if err := g.p.SetBreaker(name, target, [...]string{"open", "close"}[g.rnd.IntN(2)], time.Duration(1+g.rnd.IntN(300))*time.Millisecond); err != nil {
		g.t.Fatal(err)
	}
}

// press has the proxy hard pressed, drained, or in peace.
func (g *guess) press() {
	d := &g.p.guard
	level := pressure.Level(g.rnd.IntN(pressure.NumLevels))
	d.level.Store(uint32(level))
	d.until.Store(0)
	if g.rnd.IntN(4) == 0 {
		d.until.Store(g.now + int64(g.rnd.IntN(300))*int64(time.Millisecond))
	}
	d.active.Store(level >= pressure.HandOver || d.until.Load() > 0)
	for _, c := range g.callers {
		c.ctx.(*downstream).src.excess.Store(uint32(g.rnd.IntN(spillOne + 1)))
	}
}

// TestRehearsalAgrees: what a rehearsal says is what then happens, whatever the state of the proxy, and to rehearse changes
// nothing: it says the same twice.
func TestRehearsalAgrees(t *testing.T) {
	seen, codes := map[Outcome]int{}, map[string]int{}
	for seed := range uint64(250) {
		g := newGuess(t, seed)
		for range 60 {
			for range g.rnd.IntN(3) {
				g.happen()
			}
			g.try(seed)
		}
		for o, n := range g.seen {
			seen[o] += n
		}
		for c, n := range g.codes {
			codes[c] += n
		}
		if t.Failed() {
			return
		}
	}
	for _, o := range []Outcome{OutcomeSent, OutcomeHanded, OutcomeRefused, OutcomeLookup, OutcomeQueued} {
		if seen[o] < 10 {
			t.Errorf("%d calls came out as %s: the test has not tried it", seen[o], o)
		}
	}
	for _, c := range []protocol.Code{
		protocol.CodeNoService, protocol.CodeNoEndpoint, protocol.CodeSourceCalls, protocol.CodeTotalCalls, protocol.CodeQueueFull,
		protocol.CodeConnect, protocol.CodeLimit, protocol.CodeDenied, protocol.CodeOverload, protocol.CodeBreaker, protocol.CodeSubset,
	} {
		if codes[c.String()] < 5 {
			t.Errorf("%d calls were refused as %s: the test has not tried it", codes[c.String()], c)
		}
	}
	t.Log(seen, codes)
}

// try rehearses a call, makes it and compares.
func (g *guess) try(seed uint64) {
	d := g.callers[g.rnd.IntN(len(g.callers))]
	down := d.ctx.(*downstream)
	q := Query{Service: fmt.Sprint("S", g.rnd.IntN(5)), Method: "say", Source: down.src.Source}
	if cl := g.p.Table().Lookup([]byte(q.Service)); cl != nil && cl.Ordered && down.inFlight > 0 {
		return // it would wait in its caller's connection
	}
	var first, second Verdict
	g.w.do(func() { first, second = g.w.rehearse(&q, down.src), g.w.rehearse(&q, down.src) })
	g.settle()
	if first != second {
		g.t.Errorf("seed %d: rehearsed twice: %+v, then %+v", seed, first, second)
	}
	before := down.calls
	d.bring(frame(q.Service+":say", 1, 7, 1, "x"))
	d.out = nil
	got, ep := OutcomeRefused, ""
	code, rule := "ok", ""
	if c := down.calls; c != nil && c != before {
		switch {
		case c.limited():
			got = OutcomeQueued
		case c.queue != nil:
			got = OutcomeLookup
		case c.up != nil:
			got, ep = OutcomeSent, c.endpoint.String()
		case c.pool != nil:
			got, ep = OutcomeSent, c.pool.endpoint.String()
		}
		if c.handed {
			got = OutcomeHanded
		}
	} else if f := g.w.failed(q.Service, q.Method); len(f) > 0 {
		code, rule = f[0].Code, f[0].Rule
	}
	if got != first.Outcome || ep != first.Endpoint || got == OutcomeRefused && (code != first.Code || rule != first.Rule) {
		g.t.Errorf("seed %d, %s of %s: rehearsed %+v; then %s %s %s %s", seed, q.Service, q.Source, first, got, ep, code, rule)
	}
	g.seen[got]++
	g.codes[code]++
	g.now += int64(time.Microsecond)
}

// TestRehearsalQuarantine: a source that is kept out is told so, and what it has is told with it.
func TestRehearsalQuarantine(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Quarantine = Quarantine{Strikes: 1, Window: time.Second, First: time.Second, Most: time.Second}
	}, &registry.Snapshot{
		Services: map[string]*registry.Service{"Echo": {Name: "Echo", Endpoints: []registry.Endpoint{{Addr: "e1:1"}}}},
	})
	d := r.caller(&listener{ListenerConfig: ListenerConfig{Name: "test"}}, Identity{Source: "pod-a", Workload: "shop"}).ctx.(*downstream)
	rehearsed := func() (v Verdict) {
		r.w.do(func() { v = r.w.rehearse(&Query{Service: "Echo", Method: "say", Source: "pod-a"}, d.src) })
		r.settle()
		return v
	}
	if v := rehearsed(); v.Outcome != OutcomeSent || v.Endpoint != "e1:1" {
		t.Errorf("%+v", v)
	}
	r.p.strike(d.src, r.now, reasonMalformed)
	if v := rehearsed(); v.Outcome != OutcomeRefused || v.Code != "quarantined" {
		t.Errorf("%+v", v)
	}
	if s := r.p.sourceState(d.src, true); s.Quarantined != time.Second || s.Workload != "shop" || s.Share != 1024 {
		t.Errorf("%+v", s)
	}
	r.pass(time.Second)
	if v := rehearsed(); v.Outcome != OutcomeSent {
		t.Errorf("%+v", v)
	}
	if len(r.dials) != 0 || r.w.calls.used != 0 || r.p.inFlight.Load() != 0 {
		t.Error("a rehearsal has done something")
	}
}
