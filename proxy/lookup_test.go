package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/registry"
	"github.com/bellhop-mesh/bellhop/remote"
)

// lookingUp is a rig that knows no service and looks every one up.
func lookingUp(t *testing.T, change func(*Config)) *rig {
	return newRig(t, func(c *Config) {
		c.Lookup = func(string) bool { return true }
		if change != nil {
			change(c)
		}
	}, &registry.Snapshot{})
}

func (r *rig) open(source string) *fakeConn {
	return r.caller(&listener{ListenerConfig: ListenerConfig{Name: "test"}}, Identity{Source: source})
}

// swap brings a table with one service.
func (r *rig) swap(s *registry.Service) {
	r.setTable(&registry.Snapshot{Services: map[string]*registry.Service{s.Name: s}})
	r.woken = true
	r.settle()
}

// TestLookupShare: when very many calls have waited for one service, a batch sends only so many on, and the loop comes
// round until all have gone.
func TestLookupShare(t *testing.T) {
	const n = 5*goOnShare + 1
	r := lookingUp(t, func(c *Config) { c.Limits.Depth, c.Limits.SourceCalls, c.Limits.SourceQueued = n, n, n })
	a := r.open("a")
	for i := range n {
		a.bring(frame("Echo:say", 1, int32(i), 1, "x"))
	}
	if r.w.stats.lookups != 1 {
		t.Fatalf("%d look-ups", r.w.stats.lookups)
	}
	r.setTable(&registry.Snapshot{Services: map[string]*registry.Service{
		"Echo": {Name: "Echo", MaxPending: n, Endpoints: []registry.Endpoint{{Addr: "e1:1"}}},
	}})
	waits := func() (n int) {
		for _, p := range r.w.pools {
			n += p.waiting()
		}
		return n
	}
	rounds := 0
	for r.woken = true; r.woken; rounds++ {
		before := waits()
		r.woken = false
		r.w.begin()
		r.w.round()
		r.w.end()
		if more := waits() - before; more > 2*goOnShare { // round has two batches
			t.Fatalf("round %d sent %d calls on; a batch is to send %d", rounds, more, goOnShare)
		}
	}
	if waits() != n || len(r.w.lookups.over) != 0 || rounds < 3 {
		t.Errorf("after %d rounds %d of %d calls have gone on", rounds, waits(), n)
	}
}

// TestLookupNames: what can't be a name is never looked up, and strange names are looked up as they are.
func TestLookupNames(t *testing.T) {
	var asked []string
	r := newRig(t, func(c *Config) {
		c.Lookup = func(name string) bool { asked = append(asked, name); return false }
	}, &registry.Snapshot{})
	longest, strange := strings.Repeat("n", maxLookupName), "../\x00\xff%s"
	for i, name := range []string{longest, longest + "n", strings.Repeat("n", 1<<20), strange} {
		a := r.open("a")
		a.bring(frame(name+":say", 1, int32(i), 1, "x"))
		if out := a.taken(); len(out) < 8 || out[7] != 3 {
			t.Errorf("%.20q was not answered by a fault, but by %.99x", name, out)
		}
	}
	if len(asked) != 2 || asked[0] != longest || asked[1] != strange {
		t.Errorf("was asked for %.40q", asked)
	}
	if l := &r.w.lookups; len(l.byName)+len(l.over) != 0 || r.p.lookups.Load() != 0 || r.w.calls.used != 0 {
		t.Error("something is left of them")
	}
}

// TestLookupOrphans: oneways whose callers have gone are bounded in number and in bytes.
func TestLookupOrphans(t *testing.T) {
	r := lookingUp(t, func(c *Config) { c.Limits.Depth, c.Limits.SourceCalls = maxOrphans, maxOrphans })
	for i := range 3 {
		a := r.open("a")
		for range maxOrphans / 2 {
			a.bring(frame("Echo:note", 4, 1, 1, "x"))
		}
		a.bring(frame("Echo:note", 4, 1, 1, strings.Repeat("x", smallFrame)))
		if got, want := r.w.calls.used, min(i, 2)*maxOrphans/2+maxOrphans/2+1; got != want {
			t.Fatalf("%d calls wait, want %d", got, want)
		}
		a.drop()
	}
	if r.w.lookups.orphans != maxOrphans || r.w.calls.used != maxOrphans || r.p.bytes.Load() != 0 {
		t.Errorf("%d orphans of %d calls wait, %d bytes", r.w.lookups.orphans, r.w.calls.used, r.p.bytes.Load())
	}
	r.pass(time.Second)
	if r.w.lookups.orphans != 0 || r.w.calls.used != 0 {
		t.Errorf("%d orphans of %d calls are left", r.w.lookups.orphans, r.w.calls.used)
	}
}

// headerCall is a THeader call of Echo:say.
func (r *rig) headerCall(seq int32, timeout time.Duration, info ...protocol.KV) []byte {
	wire := protocol.Wire{Framing: protocol.THeader, Payload: protocol.Binary}
	m := &protocol.Message{
		Wire: wire, Type: protocol.MessageCall, Service: []byte("Echo"), Method: []byte("say"), Body: stringStruct(1, "x"),
		Timeout: timeout, Info: info,
	}
	m.Framing = protocol.FramedBinary // no header of its own to copy
	out, err := r.p.codecs[protocol.THeader].AppendCall(nil, m, wire, seq, &protocol.Scratch{})
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

func (r *rig) decoded(b []byte, f protocol.Framing) *protocol.Message {
	m := &protocol.Message{}
	if err := r.p.codecs[f].Decode(b, m, &protocol.Scratch{}); err != nil {
		r.t.Fatalf("%x: %v", b, err)
	}
	return m
}

// TestLookupHeader: a deadline that the caller brought stands, whatever the service says once it is known, and what is
// left of it travels on, as do its entries.
func TestLookupHeader(t *testing.T) {
	r := lookingUp(t, nil)
	a := r.open("a")
	entry := protocol.KV{Key: []byte("trace"), Value: []byte("7")}
	a.bring(r.headerCall(1, 300*time.Millisecond, entry))
	r.pass(100 * time.Millisecond)
	r.swap(&registry.Service{Name: "Echo", Framing: "ttheader-binary", Timeout: time.Minute, Endpoints: []registry.Endpoint{{Addr: "e1:1"}}})
	e := r.connected(r.dials[0], nil)
	m := r.decoded(e.taken(), protocol.TTHeader)
	if m.Timeout != 200*time.Millisecond {
		t.Errorf("the endpoint was given %s, want 200ms", m.Timeout)
	}
	if v, _ := m.Find("trace"); string(v) != "7" {
		t.Errorf("an entry was lost: %q", v)
	}
	r.pass(190 * time.Millisecond)
	if out := a.taken(); len(out) > 0 {
		t.Fatalf("was answered %x before its deadline", out)
	}
	r.pass(20 * time.Millisecond)
	if m := r.decoded(a.taken(), protocol.THeader); m.Type != protocol.MessageException {
		t.Errorf("got %v at the deadline", m.Type)
	}
}

// TestLookupThenHandOver: what was not found here, or may not be looked up, goes to the remote tier with what is left of
// its deadline.
func TestLookupThenHandOver(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Lookup = func(string) bool { return true }
		c.HandOff = &remote.Client{Host: "h", Token: "0123456789abcdef"}
		c.Limits.SourceLookups = 1
	}, &registry.Snapshot{Remotes: []registry.Remote{{Addr: "r1:1"}}})
	a := r.open("a")
	a.bring(frame("Gone:say", 1, 1, 1, "one"))
	if len(r.dials) != 0 {
		t.Fatal("was handed over before it was looked up")
	}
	r.pass(100 * time.Millisecond)
	r.p.NotFound("Gone")
	r.settle()
	if len(r.dials) != 1 || r.dials[0].endpoint.Addr != "r1:1" {
		t.Fatalf("%d connects are under way, want one to r1", len(r.dials))
	}
	up := r.connected(r.dials[0], nil)
	hello := r.decoded(up.taken(), protocol.THeader)
	server := &remote.Server{Grant: remote.Grant{Calls: 8}}
	to := protocol.ReplyTo{}
	to.SetFrom(hello)
	granted, err := r.p.codecs[protocol.THeader].AppendReply(nil, &protocol.Message{
		Wire: protocol.Wire{Payload: protocol.Binary}, Type: protocol.MessageReply, Method: hello.Method, Body: server.AppendGranted(nil),
	}, &to, &protocol.Scratch{})
	if err != nil {
		t.Fatal(err)
	}
	up.bring(granted)
	if m := r.decoded(up.taken(), protocol.THeader); string(m.Service) != "Gone" || structString(m.Body, m.Payload) != "one" {
		t.Errorf("%s was handed over with %q", m.Service, m.Body)
	} else if v, _ := m.Find(remote.KeyDeadline); string(v) != "900" {
		t.Errorf("with %q ms left, want 900", v)
	}
	a.bring(frame("More:say", 1, 2, 1, "two"))
	a.bring(frame("Most:say", 1, 3, 1, "three"))
	if m := r.decoded(up.taken(), protocol.THeader); string(m.Service) != "Most" {
		t.Errorf("%s was handed over", m.Service)
	}
	for code, want := range map[protocol.Code]uint64{protocol.CodeNoService: 1, protocol.CodeSourceLookups: 1} {
		if got := r.w.stats.handedOver[code]; got != want {
			t.Errorf("%d calls were handed over for %s, want %d", got, code, want)
		}
	}
}

// TestLookupKeepsNothing: a source that asks for ever new names and goes away at once has only so many looked up.
func TestLookupKeepsNothing(t *testing.T) {
	asked := 0
	r := newRig(t, func(c *Config) {
		c.Lookup = func(string) bool { asked++; return true }
		c.Limits.SourceLookups = 8
	}, &registry.Snapshot{})
	for i := range 1000 {
		a := r.open("greedy")
		a.bring(frame(fmt.Sprintf("S%d:say", i), 1, 1, 1, "x"))
		a.drop()
	}
	if asked != 8 || len(r.w.lookups.byName) != 8 {
		t.Errorf("%d services were asked for, %d are waited for; want 8", asked, len(r.w.lookups.byName))
	}
	b := r.open("modest")
	b.bring(frame("Echo:say", 1, 1, 1, "x"))
	if asked != 9 {
		t.Error("another source has to wait for it")
	}
	r.pass(time.Second)
	if n := len(r.w.lookups.byName); n != 0 || r.p.lookups.Load() != 0 || r.w.stats.lookupTimeouts != 9 {
		t.Errorf("%d look-ups are left, %d were given up", n, r.w.stats.lookupTimeouts)
	}
}
