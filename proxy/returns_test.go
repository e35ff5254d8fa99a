package proxy

import (
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/proxy/pressure"
	"github.com/bellhop-mesh/bellhop/registry"
	"github.com/bellhop-mesh/bellhop/remote"
)

// TestSpilledToNobody: excess that can't reach a remote proxy is served here: it was to relieve this proxy, not to lose calls.
func TestSpilledToNobody(t *testing.T) {
	snap := echoOnly()
	snap.Remotes = []registry.Remote{{Addr: "r1:1"}}
	r := newRig(t, func(c *Config) { c.HandOff = &remote.Client{Host: "h", Instance: "i", Token: "t"} }, snap)
	r.p.guard.level.Store(uint32(pressure.HandOver))
	r.p.guard.active.Store(true)
	a := r.caller(&listener{ListenerConfig: ListenerConfig{Name: "test"}}, Identity{Source: "a"})
	r.p.sources.byKey["a"].excess.Store(spillOne)
	a.bring(frame("Echo:say", 1, 1, 1, "x"))
	if len(r.dials) != 1 || !r.dials[0].endpoint.Remote {
		t.Fatal("the call does not go to the remote tier")
	}
	r.connected(r.dials[0], errRefused)
	if b := a.taken(); len(b) > 0 || len(r.dials) != 1 || r.dials[0].endpoint.Remote {
		t.Fatalf("the caller was answered %q", b)
	}
}

// TestDrainedToNobody: the host is drained to the remote tier, of which nobody can be reached: its calls are served here, as the
// rules want it.
func TestDrainedToNobody(t *testing.T) {
	for _, spoils := range []func(r *rig){
		func(r *rig) { r.connected(r.dials[0], errRefused) },    // no connection
		func(r *rig) { r.connected(r.dials[0], nil).drop() },    // no answer to the hello
		func(r *rig) { r.setTable(echoOnly()); r.woken = true }, // the remote proxy leaves
	} {
		snap := echoOnly()
		snap.Remotes = []registry.Remote{{Addr: "r1:1"}}
		r := newRig(t, func(c *Config) { c.HandOff = &remote.Client{Host: "h", Instance: "i", Token: "t"} }, snap)
		r.p.SetRules(parseRules(t, []byte("version: 1\nrules: [{name: short, deadline: 20ms}]")))
		r.p.guard.until.Store(r.now + int64(time.Minute))
		r.p.guard.active.Store(true)
		a := r.caller(&listener{ListenerConfig: ListenerConfig{Name: "test"}}, Identity{Source: "a"})
		a.bring(frame("Echo:say", 1, 1, 1, "x"))
		if len(r.dials) != 1 || !r.dials[0].endpoint.Remote {
			t.Fatal("the call does not go to the remote tier")
		}
		spoils(r)
		r.settle()
		last := len(r.dials) - 1
		if b := a.taken(); len(b) > 0 || last < 0 || r.dials[last].endpoint.Remote {
			t.Fatalf("the caller was answered %q", b)
		}
		if c := r.connected(r.dials[last], nil).ctx.(*upstream).calls; c == nil || c.allowed() != 20*time.Millisecond {
			t.Error("the rule's deadline is not that of the call")
		}
	}
}

func echoOnly() *registry.Snapshot {
	return &registry.Snapshot{Services: map[string]*registry.Service{"Echo": {Name: "Echo", Endpoints: []registry.Endpoint{{Addr: "e1:1"}}}}}
}
