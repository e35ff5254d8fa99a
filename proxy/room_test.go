package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/pressure"
	"github.com/bellhop-mesh/bellhop/registry"
	"github.com/bellhop-mesh/bellhop/remote"
)

// TestOneGrant: what moved callers of a host have in flight and what its proxy hands over spend one grant; the proxy is told
// what is left for it.
func TestOneGrant(t *testing.T) {
	r := newTier(t, remote.Grant{Calls: 10})
	moved := r.movedCaller("pod", "h1")
	over, say := r.handoff("h1")
	for i := range int32(6) {
		moved.bring(frame("Echo:say", 1, i, 1, "x"))
	}
	for i := range int32(4) {
		say(i + 10)
	}
	if len(over.out) > 0 || r.p.inFlight.Load() != 10 {
		t.Fatalf("%d calls are in flight", r.p.inFlight.Load())
	}
	say(20)
	m := r.decoded(over.taken(), protocol.THeader)
	if text, _, _ := protocol.AppException(m.Body, m.Payload); m.Type != protocol.MessageException || !strings.Contains(string(text), "grant is spent") {
		t.Errorf("handed over beyond the grant: type %d, %q", m.Type, text)
	}
	more := r.movedCaller("pod2", "h1")
	more.bring(frame("Echo:say", 1, 1, 1, "x"))
	if text := r.fault(more); !strings.HasPrefix(text, "not executed: go home") {
		t.Errorf("moved beyond the grant: %q", text)
	}
	other := r.movedCaller("pod3", "h2")
	other.bring(frame("Echo:say", 1, 1, 1, "x"))
	if text := r.fault(other); text != "" {
		t.Errorf("another host's: %q", text)
	}
	list := r.calls(r.e1)
	r.now += int64(time.Second)
	for _, c := range list[6:7] { // the first that was handed over
		r.reply(r.e1, c.Framing, c, stringStruct(0, "re"), nil)
	}
	if v, ok := r.decoded(over.taken(), protocol.THeader).Find(remote.KeyGrant); !ok || !strings.HasPrefix(string(v), "4,") {
		t.Errorf("told %q, want 4 calls", v)
	}
	over.drop()
	moved.drop()
	more.drop()
	other.drop()
	if n := len(r.p.guard.hosts); n != 0 {
		t.Errorf("%d hosts are kept without a connection", n)
	}
}

// TestTurnAway: of the callers that were asked to come, and that a remote proxy has no room for, one at a time is sent home for
// good, not all at once: all would be back at a host that asked them to leave.
func TestTurnAway(t *testing.T) {
	r := newTier(t, remote.Grant{Calls: 1000})
	r.capacity(10) // moved ones up to 8
	moved := r.movedCaller("moved", "i1")
	for i := range int32(8) {
		moved.bring(frame("Echo:say", 1, i, 1, "x"))
	}
	home := func(n int) (home, refused int) {
		for i := range n {
			c := r.movedCaller("pod", "i1")
			c.bring(frame("Echo:say", 1, int32(i), 1, "x"))
			switch text := r.fault(c); {
			case strings.HasPrefix(text, "not executed: go home"):
				home++
			case strings.HasPrefix(text, "not executed: the remote proxy is full"):
				refused++
			}
		}
		return home, refused
	}
	if h, n := home(20); h != 1 || n != 19 {
		t.Errorf("of 20 callers %d were sent home, %d refused", h, n)
	}
	r.now += homeEvery
	if h, n := home(2); h != 1 || n != 1 {
		t.Errorf("after half a second %d were sent home, %d refused", h, n)
	}
	if w := &r.w.stats; w.measures[measureGoHome] != 2 || w.measures[measureMoved] != 20 {
		t.Errorf("counted %v", w.measures)
	}
}

// TestProbe: a hard-pressed local proxy hands a call over now and then to see whether there is room; where there is none the
// call is served here, and nobody learns of it.
func TestProbe(t *testing.T) {
	p := newPressed(t, 8, nil)
	a := p.open("a")
	p.at(pressure.AskToMove)
	p.p.guard.probing.Store(true)
	a.bring(frame("Echo:say", 1, 7, 1, "back"))
	m := p.calls(p.r1)[0]
	to := protocol.ReplyTo{}
	to.SetFrom(m)
	p.r1.bring(p.p.codecs[protocol.THeader].AppendFault(nil, protocol.Fault{Code: protocol.CodeOverload, Message: "full"}, &to))
	here := p.calls(p.e1)
	if len(here) != 1 || structString(here[0].Body, here[0].Payload) != "back" {
		t.Fatalf("%d calls are served here", len(here))
	}
	p.reply(p.e1, protocol.FramedBinary, here[0], stringStruct(0, "re"), nil)
	if got := p.decoded(a.taken(), protocol.FramedBinary); got.Type != protocol.MessageReply || got.Seq != 7 {
		t.Errorf("got %v with sequence %d", got.Type, got.Seq)
	}
	if g := &p.p.guard; g.refused.Load() != 1 || g.taken.Load() != 0 {
		t.Errorf("%d refused, %d served", g.refused.Load(), g.taken.Load())
	}
	send := func() (away int) {
		a.bring(frame("Echo:say", 1, 8, 1, "x"))
		away = p.echo(p.r1)
		p.echo(p.e1)
		a.taken()
		return away
	}
	if send() != 0 {
		t.Error("the next call was handed over at once")
	}
	p.now += probeEvery
	if send() != 1 || p.p.guard.taken.Load() != 1 {
		t.Errorf("%d served there", p.p.guard.taken.Load())
	}
}

// TestFinal: while the remote tier has no room, what is refused does not say that it may be sent there.
func TestFinal(t *testing.T) {
	p := newPressed(t, 8, nil)
	a := p.open("a")
	p.excess("a", 1)
	p.at(pressure.Refuse)
	p.p.guard.drop.Store(spillOne / 2)
	a.bring(frame("Echo:say", 1, 7, 1, "x"))
	if text := p.fault(a); !strings.HasPrefix(text, "not executed: ") {
		t.Errorf("got %q", text)
	}
	p.p.guard.full.Store(true)
	a.bring(frame("Echo:say", 1, 8, 1, "x"))
	if text := p.fault(a); !strings.HasPrefix(text, "the proxy of this host and the remote tier") {
		t.Errorf("got %q", text)
	}
	if n := len(p.calls(p.r1)); n != 0 {
		t.Errorf("%d were handed over", n)
	}
}

// TestLookedUpIsAsked: a call that waited until its service was known is no way round the proxy's protection.
func TestLookedUpIsAsked(t *testing.T) {
	r := lookingUp(t, nil)
	a := r.open("a")
	a.bring(frame("Echo:say", 1, 1, 1, "x"))
	r.p.sources.byKey["a"].excess.Store(spillOne)
	r.p.guard.level.Store(uint32(pressure.Refuse))
	r.p.guard.active.Store(true)
	r.swap(&registry.Service{Name: "Echo", Endpoints: []registry.Endpoint{{Addr: "e1:1"}}})
	if text := r.fault(a); !strings.Contains(text, "more calls than it can carry") || len(r.dials) != 0 {
		t.Errorf("got %q, %d connects", text, len(r.dials))
	}
}
