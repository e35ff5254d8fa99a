package proxy

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/govern"
	"github.com/bellhop-mesh/bellhop/registry"
	"github.com/bellhop-mesh/bellhop/remote"
)

// ruled is a talk over the service Echo with rules.
func ruled(t *testing.T, text string) *talk {
	k := &talk{conns: map[string]*fakeConn{}, seen: map[string][]message{}, rest: map[string][]byte{}}
	k.rig = newRig(t, func(c *Config) { c.Accept = &remote.Server{Grant: remote.Grant{Calls: 8}} }, &registry.Snapshot{Services: map[string]*registry.Service{
		"Echo": {Name: "Echo", Mode: "multiplexed", Endpoints: []registry.Endpoint{{Addr: "e1:1"}}},
	}})
	k.p.SetRules(parseRules(t, []byte("version: 1\n"+text)))
	return k
}

// plays plays lines of a conversation.
func (k *talk) plays(t *testing.T, lines ...string) {
	t.Helper()
	for _, l := range lines {
		if err := k.step(strings.Fields(l)); err != nil {
			t.Fatalf("%s: %v", l, err)
		}
	}
}

// TestLimitOverWorkers: a call that waits for one in flight of another worker goes on soon after that has ended, though
// nobody tells; and a call of this worker does not overtake one that waits with another.
func TestLimitOverWorkers(t *testing.T) {
	k := ruled(t, "rules: [{name: one, limit: {concurrency: 1, over: queue, queue_for: 500ms}}]\n")
	there := k.p.Rules().Resolve("Echo", "say", &govern.Source{}, nil).For(&govern.Call{}).Bucket(0, nil, k.now) // another worker
	if there.Take(k.now) != 0 {
		t.Fatal("the limit is reached already")
	}
	k.plays(t, "open a", "a calls 1 Echo:say hi", "pass 100ms", "nobody")
	there.Release()
	k.plays(t, "pass 8ms", "connect e1", "e1 sees call say hi", "e1 replies ho", "a gets reply 1 say ho")
	if !there.Join(100) { // one waits with the other worker
		t.Fatal("it may not wait")
	}
	k.plays(t, "a calls 2 Echo:say hi", "e1 idle", "pass 8ms", "e1 sees call say hi", "e1 replies ho", "a gets reply 2 say ho")
	there.Leave()
	k.atEnd(t)
}

// TestHandedOverAreNotLimited: of a call that another proxy has handed over, that proxy has asked access, limits and remote.
func TestHandedOverAreNotLimited(t *testing.T) {
	k := ruled(t, `rules:
  - {name: closed, match: {method: say}, access: deny, remote: true, limit: {concurrency: 1}}
  - {name: short, deadline: 100ms}
`)
	k.plays(t, "open a", "a calls 1 Echo:say hi", "a gets fault 1 say INTERNAL_ERROR rule closed", "open b")
	d := k.conns["b"].ctx.(*downstream)
	d.handoff, d.outOfOrder, d.grant, d.told = true, true, k.p.cfg.Accept.Grant, k.p.cfg.Accept.Grant
	k.plays(t, "b calls 1 Echo:say hi", "connect e1", "e1 sees call say hi", "b calls 2 Echo:say hi", "e1 sees call say hi",
		"e1 replies ho", "b gets reply 1 say ho", "pass 104ms", "b gets fault 2 say TIMEOUT (rule short)")
	k.atEnd(t)
}

// TestOwnServices: rules that deny everything leave the proxy's own services alone.
func TestOwnServices(t *testing.T) {
	k := ruled(t, "rules: [{name: none, access: deny}]\n")
	k.setTable(&registry.Snapshot{Services: map[string]*registry.Service{
		"bellhop.selftest": {Name: "bellhop.selftest", Endpoints: []registry.Endpoint{{Addr: "e1:1"}}},
		"Echo":             {Name: "Echo", Endpoints: []registry.Endpoint{{Addr: "e2:1"}}},
	}})
	k.plays(t, "open a", "a calls 1 bellhop.selftest:ping hi", "connect e1", "e1 sees call ping hi", "e1 replies ho", "a gets reply 1 ping ho",
		"a calls 2 Echo:say hi", "a gets fault 2 say INTERNAL_ERROR rule none")
	k.atEnd(t)
}

// TestResolvedIsBounded: however many methods callers make up, a worker remembers so many and no more.
func TestResolvedIsBounded(t *testing.T) {
	k := ruled(t, "rules: [{name: closed, match: {method: m*}, access: deny}]\n")
	k.plays(t, "open a")
	for i := range 3 * maxResolved {
		k.conns["a"].bring(frame(fmt.Sprint("Echo:m", i), 1, int32(i), 1, ""))
		k.conns["a"].taken()
	}
	if n := len(k.w.resolved.now) + len(k.w.resolved.old); n > 2*maxResolved || n < maxResolved {
		t.Errorf("%d methods are remembered", n)
	}
	k.p.SetRules(nil)
	k.plays(t, "a calls 1 Echo:m hi", "connect e1", "e1 sees call m hi", "e1 replies ho", "a gets reply 1 m ho")
	if n := len(k.w.resolved.now) + len(k.w.resolved.old); n != 0 {
		t.Errorf("%d methods are remembered of rules that are gone", n)
	}
	k.atEnd(t)
}

// TestRuleCounters: what rules decided is counted, and what limits did; a rule that is gone takes its counters along.
func TestRuleCounters(t *testing.T) {
	k := ruled(t, `rules:
  - {name: queue, match: {method: wait}, limit: {rate: 1, burst: 1, over: queue, queue_for: 100ms, queue_most: 1}}
  - {name: reject, match: {method: say}, limit: {rate: 1, burst: 1, over: overflow}}
  - {name: closed, match: {method: never}, access: deny, deadline: 1s}
sources: [{match: {source: ops}, privileged: true}]
`)
	k.plays(t, "open a", "open o source=ops", "a calls 1 Echo:say hi", "a calls 2 Echo:say hi", "a calls 3 Echo:never hi", "a calls 4 Echo:wait hi",
		"a calls 5 Echo:wait hi", "a calls 6 Echo:wait hi", "o calls 1 Echo:say hi", "o calls 2 Echo:say hi", "pass 1s")
	is := func(rule string, want govern.Counts) {
		t.Helper()
		if got := k.w.counts(rule); *got != want {
			t.Errorf("%s: %+v, want %+v", rule, *got, want)
		}
	}
	is("queue", govern.Counts{Calls: [govern.NumActions]uint64{govern.ActLimit: 3}, Outcomes: [govern.NumOutcomes]uint64{govern.Queued: 1, govern.QueueFull: 1, govern.QueueLate: 1}})
	is("reject", govern.Counts{Calls: [govern.NumActions]uint64{govern.ActLimit: 4}, Outcomes: [govern.NumOutcomes]uint64{govern.Rejected: 1, govern.Privileged: 2}})
	is("closed", govern.Counts{Calls: [govern.NumActions]uint64{govern.ActAccess: 1, govern.ActDeadline: 1}})
	k.p.SetRules(parseRules(t, []byte("version: 1\nrules: [{name: closed, access: deny}]\n")))
	k.pass(time.Millisecond)
	is("closed", govern.Counts{Calls: [govern.NumActions]uint64{govern.ActAccess: 1, govern.ActDeadline: 1}})
	if len(k.w.ruleCounts) != 1 {
		t.Errorf("%d rules are counted", len(k.w.ruleCounts))
	}
	k.atEnd(t)
}

// TestHeaderOfEveryFraming: header keys and cookies are one view, and so are version and caller, whatever the framing.
func TestHeaderOfEveryFraming(t *testing.T) {
	for _, word := range []string{"theader-binary", "theader-compact", "ttheader-binary", "osp-binary", "osp-compact", "dapeng-binary"} {
		t.Run(word, func(t *testing.T) {
			wire, err := protocol.ParseWire(word)
			if err != nil {
				t.Fatal(err)
			}
			k := ruled(t, "rules: [{name: closed, match: {version: 1.*, caller: cart, header: {x-user: \"~.*7\"}}, access: deny}]\n")
			for i, m := range []protocol.Message{
				{Version: []byte("1.2.0"), Caller: []byte("cart"), Info: []protocol.KV{{Key: []byte("a"), Value: []byte("b")}, {Key: []byte("x-user"), Value: []byte("17")}}},
				{Version: []byte("1.2.0"), Caller: []byte("cart"), Info: []protocol.KV{{Key: []byte("x-user"), Value: []byte("18")}}},
				{Version: []byte("2.0.0"), Caller: []byte("cart"), Info: []protocol.KV{{Key: []byte("x-user"), Value: []byte("17")}}},
				{Version: []byte("1.2.0"), Caller: []byte("till"), Info: []protocol.KV{{Key: []byte("x-user"), Value: []byte("17")}}},
				{Version: []byte("1.2.0"), Caller: []byte("cart")},
			} {
				m.Wire, m.Type, m.Service, m.Method, m.Body = protocol.Wire{Payload: protocol.Binary}, protocol.MessageCall, []byte("Echo"), []byte("say"), stringStruct(1, "hi")
				b, err := k.p.codecs[wire.Framing].AppendCall(nil, &m, wire, 1, &protocol.Scratch{})
				if err != nil {
					t.Fatal(err)
				}
				c := k.caller(&listener{ListenerConfig: ListenerConfig{Name: "test"}}, Identity{Source: "a"})
				c.bring(b)
				if got := bytes.Contains(c.taken(), []byte("rule closed denies source a")); got != (i == 0) {
					t.Errorf("call %d: denied is %v", i, got)
				}
			}
			k.atEnd(t)
		})
	}
}
