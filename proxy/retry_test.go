package proxy

import (
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/registry"
)

// TestGivenUpPays: an attempt that is given up is paid for once, to the endpoint that had it; the next one owes nothing there.
func TestGivenUpPays(t *testing.T) {
	r := newRig(t, nil, &registry.Snapshot{Services: map[string]*registry.Service{"Echo": {
		Name: "Echo", Mode: "multiplexed", Balancer: "round-robin", MaxConns: 1, Depth: 1, Timeout: time.Minute,
		Endpoints: []registry.Endpoint{{Addr: "e1:1"}, {Addr: "e2:1"}},
	}}})
	r.p.SetRules(parseRules(t, []byte("version: 1\nrules: [{name: slow, retry: {on: [deadline], attempts: 1, per_try: 50ms, idempotent: true, backoff: 0ms}}]")))
	l := &listener{ListenerConfig: ListenerConfig{Name: "test"}}
	a, b := r.caller(l, Identity{Source: "a"}), r.caller(l, Identity{Source: "b"})
	a.bring(frame("Echo:say", 1, 1, 1, "x"))
	b.bring(frame("Echo:say", 1, 1, 1, "x"))
	e1, e2 := r.connected(r.dials[0], nil), r.connected(r.dials[0], nil)
	reply := e2.taken()
	reply[7] = 2
	e2.bring(reply) // e2 is free when a's first attempt is over
	first := e1.ctx.(*upstream).calls
	if first.flow == nil {
		t.Fatal("the first attempt did not wait")
	}
	r.pass(60 * time.Millisecond)
	second := e2.ctx.(*upstream).calls
	if second == nil || second.d == nil || first.d != nil {
		t.Fatal("there is no second attempt")
	}
	if second.flow != nil || first.flow == nil {
		t.Errorf("the second attempt owes %v, the first %v", second.flow, first.flow)
	}
}
