package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/pressure"
	"github.com/bellhop-mesh/bellhop/registry"
	"github.com/bellhop-mesh/bellhop/remote"
)

// echoSnapshot has one service at e1, multiplexed, and a remote proxy at r1.
func echoSnapshot() *registry.Snapshot {
	return &registry.Snapshot{
		Services: map[string]*registry.Service{
			"Echo": {Name: "Echo", Mode: "multiplexed", Depth: 1000, Timeout: time.Minute, Endpoints: []registry.Endpoint{{Addr: "e1:1"}}},
			"Own":  {Name: "Own", Mode: "multiplexed", Depth: 1000, Timeout: time.Minute, Endpoints: []registry.Endpoint{{Addr: "e1:1"}}},
		},
		Remotes: []registry.Remote{{Addr: "r1:1"}},
	}
}

// pressed is a local proxy whose guard a test plays.
type pressed struct {
	*rig
	e1, r1 *fakeConn
}

func newPressed(t *testing.T, grant int32, change func(*Config)) *pressed {
	p := &pressed{rig: newRig(t, func(c *Config) {
		c.HandOff = &remote.Client{Host: "h", Instance: "i", Token: "0123456789abcdef"}
		c.Protection.Own = "Own"
		if change != nil {
			change(c)
		}
	}, echoSnapshot())}
	p.at(pressure.None)
	a := p.open("opener")
	a.bring(frame("Echo:say", 1, 1, 1, "x")) // opens the connection to e1
	p.e1 = p.connected(p.dials[0], nil)
	p.echo(p.e1)
	p.p.DrainToRemote(time.Second)
	a.bring(frame("Echo:say", 1, 2, 1, "x")) // and to r1
	p.p.DrainToRemote(0)
	p.r1 = p.connected(p.dials[0], nil)
	hello := p.decoded(p.r1.taken(), protocol.THeader)
	s := &remote.Server{Grant: remote.Grant{Calls: grant}}
	p.reply(p.r1, protocol.THeader, hello, s.AppendGranted(nil), nil)
	p.echo(p.r1)
	a.taken()
	return p
}

// at sets what the guard would say.
func (p *pressed) at(l pressure.Level) {
	p.p.guard.level.Store(uint32(l))
	p.p.guard.active.Store(l >= pressure.HandOver)
}

func (p *pressed) excess(source string, share float64) {
	p.p.sources.byKey[source].excess.Store(uint32(share * spillOne))
}

// reply answers a call that was read from a connection.
func (r *rig) reply(c *fakeConn, f protocol.Framing, call *protocol.Message, body []byte, extra []protocol.KV) {
	to := protocol.ReplyTo{}
	to.SetFrom(call)
	out, err := r.p.codecs[f].AppendReply(nil, &protocol.Message{
		Wire: protocol.Wire{Payload: protocol.Binary}, Type: protocol.MessageReply, Method: to.Method, Body: body, Extra: extra,
	}, &to, &protocol.Scratch{})
	if err != nil {
		r.t.Fatal(err)
	}
	c.bring(out)
}

// calls takes apart what was written to an endpoint or a remote proxy.
func (r *rig) calls(c *fakeConn) (out []*protocol.Message) {
	b, codec := c.taken(), r.p.codecs[c.ctx.(*upstream).endpoint.Wire.Framing]
	for len(b) > 0 {
		var sc protocol.Scan
		n, err := codec.Split(&sc, b, 1<<20)
		m := &protocol.Message{}
		if err == nil && n > 0 {
			err = codec.Decode(b[:n], m, &protocol.Scratch{})
		}
		if err != nil || n == 0 {
			r.t.Fatalf("was sent %x: %v", b, err)
		}
		out, b = append(out, m), b[n:]
	}
	return out
}

// echo answers all calls that were written to a connection, and says how many there were.
func (r *rig) echo(c *fakeConn) int {
	list := r.calls(c)
	for _, m := range list {
		r.reply(c, m.Framing, m, stringStruct(0, "re"), nil)
	}
	return len(list)
}

// TestSpill: of a source's excess exactly its share is handed over, evenly spread; of the others nothing, and of nobody while
// nothing presses.
func TestSpill(t *testing.T) {
	p := newPressed(t, 1000, nil)
	heavy, light := p.open("heavy"), p.open("light")
	p.excess("heavy", 0.25)
	send := func(c *fakeConn, n int) (here, away int) {
		for i := range n {
			c.bring(frame("Echo:say", 1, int32(i), 1, "x"))
			here += p.echo(p.e1)
			away += p.echo(p.r1)
		}
		return here, away
	}
	if here, away := send(heavy, 100); here != 100 || away != 0 {
		t.Errorf("without pressure %d were served here, %d handed over", here, away)
	}
	p.at(pressure.HandOver)
	for range 10 {
		if here, away := send(heavy, 4); here != 3 || away != 1 {
			t.Errorf("of four calls %d were served here, %d handed over", here, away)
		}
	}
	if here, away := send(light, 100); here != 100 || away != 0 {
		t.Errorf("of the light one %d were served here, %d handed over", here, away)
	}
	if n := p.w.stats.measures[measureHandedOver]; n != 10 {
		t.Errorf("%d counted", n)
	}
	p.at(pressure.QueueHeaviest)
	if here, away := send(heavy, 100); here != 100 || away != 0 {
		t.Errorf("below the level %d were served here, %d handed over", here, away)
	}
}

// TestSpillWithinGrant: what the grant has no room for is served here, and nothing is refused before the last level.
func TestSpillWithinGrant(t *testing.T) {
	p := newPressed(t, 3, nil)
	heavy := p.open("heavy")
	p.excess("heavy", 1)
	p.at(pressure.AskToMove)
	for i := range 10 {
		heavy.bring(frame("Echo:say", 1, int32(i), 1, "x"))
	}
	away, here := p.calls(p.r1), p.calls(p.e1)
	if len(away) != 3 || len(here) != 7 || len(heavy.out) > 0 {
		t.Fatalf("%d handed over, %d served here, %d bytes answered", len(away), len(here), len(heavy.out))
	}
	p.at(pressure.Refuse) // now what the grant has no room for is refused at once
	heavy2 := p.open("heavy")
	heavy2.bring(frame("Echo:say", 1, 11, 1, "x"))
	if m := p.decoded(heavy2.taken(), protocol.FramedBinary); m.Type != protocol.MessageException || !strings.Contains(string(m.Body), "not executed: ") {
		t.Errorf("got %v %q", m.Type, m.Body)
	}
	p.reply(p.r1, protocol.THeader, away[0], stringStruct(0, "re"), nil)
	heavy2.bring(frame("Echo:say", 1, 12, 1, "x"))
	if n := len(p.calls(p.r1)); n != 1 || len(heavy2.out) > 0 {
		t.Errorf("the grant has room: %d handed over", n)
	}
	if w := &p.w.stats; w.measures[measureRefused] != 1 || w.measures[measureServed] != 7 {
		t.Errorf("counted %v", w.measures)
	}
}

// TestSpillRefused: the remote tier does not run an excess call: its caller is told so at once.
func TestSpillRefused(t *testing.T) {
	p := newPressed(t, 8, nil)
	heavy := p.open("heavy")
	p.excess("heavy", 1)
	p.at(pressure.HandOver)
	heavy.bring(frame("Echo:say", 1, 7, 1, "x"))
	m := p.calls(p.r1)[0]
	to := protocol.ReplyTo{}
	to.SetFrom(m)
	p.r1.bring(p.p.codecs[protocol.THeader].AppendFault(nil, protocol.Fault{Code: protocol.CodeOverload, Message: "full"}, &to))
	got := p.decoded(heavy.taken(), protocol.FramedBinary)
	if got.Type != protocol.MessageException || !strings.Contains(string(got.Body), "not executed: remote proxy: ") {
		t.Errorf("got %v %q", got.Type, got.Body)
	}
	if n := len(p.calls(p.e1)); n != 0 {
		t.Errorf("%d calls came back here", n)
	}
	if n := p.p.guard.granted.Load(); n != 8 {
		t.Errorf("%d calls granted", n)
	}
	p.r1.drop()
	if n := p.p.guard.granted.Load(); n != 0 || p.p.guard.grants.Load() != 0 {
		t.Errorf("a connection that is gone still grants %d calls", n)
	}
}

// TestDrainToRemote: every call goes to the remote tier within the grant, the proxy's own stay, and it ends by itself.
func TestDrainToRemote(t *testing.T) {
	p := newPressed(t, 2, nil)
	a := p.open("a")
	p.p.DrainToRemote(time.Minute)
	if s := p.p.Pressure(); s.ToRemoteS < 59 || s.ToRemoteS > 60 {
		t.Errorf("for %v s more", s.ToRemoteS)
	}
	for i := range 3 {
		a.bring(frame("Echo:say", 1, int32(i), 1, "x"))
	}
	a.bring(frame("Own:say", 1, 9, 1, "x"))
	if away, here := p.echo(p.r1), p.echo(p.e1); away != 2 || here != 1 || len(p.dials) != 1 || p.dials[0].endpoint.Addr != "e1:1" {
		t.Errorf("%d handed over, %d served here, %d connects; want 2, 1, and 1 for the proxy's own", away, here, len(p.dials))
	}
	p.now += int64(time.Minute)
	a.bring(frame("Echo:say", 1, 10, 1, "x"))
	if away, here := p.echo(p.r1), p.echo(p.e1); away != 0 || here != 1 {
		t.Errorf("after its end %d handed over, %d served here", away, here)
	}
	p.p.guard.step()
	p.now += int64(senseTime)
	p.p.guard.step()
	if s := p.p.Pressure(); s.ToRemoteS != 0 || p.p.guard.active.Load() {
		t.Errorf("still: %+v", s)
	}
	p.p.DrainByRule(true)
	p.p.DrainByRule(false)
	if p.p.guard.until.Load() != 0 {
		t.Error("the rule's end does not end it")
	}
	p.p.DrainToRemote(time.Minute)
	p.p.DrainByRule(false)
	if p.p.guard.until.Load() == 0 {
		t.Error("a rule has ended what a person began")
	}
}

// TestComesBack: a call that the host is drained of, and that the remote proxy does not run, is served here, and goes nowhere else.
func TestComesBack(t *testing.T) {
	p := newPressed(t, 8, nil)
	a := p.open("a")
	p.p.DrainToRemote(time.Minute)
	a.bring(frame("Echo:say", 1, 7, 1, "back"))
	m := p.calls(p.r1)[0]
	to := protocol.ReplyTo{}
	to.SetFrom(m)
	p.r1.bring(p.p.codecs[protocol.THeader].AppendFault(nil, protocol.Fault{Code: protocol.CodeOverload, Message: "full"}, &to))
	here := p.calls(p.e1)
	if len(here) != 1 || structString(here[0].Body, here[0].Payload) != "back" || len(p.calls(p.r1)) != 0 {
		t.Fatalf("%d calls are served here", len(here))
	}
	p.reply(p.e1, protocol.FramedBinary, here[0], stringStruct(0, "re"), nil)
	if got := p.decoded(a.taken(), protocol.FramedBinary); got.Type != protocol.MessageReply || got.Seq != 7 {
		t.Errorf("got %v with sequence %d", got.Type, got.Seq)
	}
}

// TestRulesBeforeShedding: what rules deny or limit is not handed over instead, and what comes back is not counted twice.
func TestRulesBeforeShedding(t *testing.T) {
	p := newPressed(t, 8, nil)
	p.p.SetRules(parseRules(t, []byte(`version: 1
rules:
  - {name: denied, match: {source: b}, access: deny}
  - {name: few, match: {source: a}, limit: {concurrency: 1}}
`)))
	a, b := p.open("a"), p.open("b")
	p.p.DrainToRemote(time.Minute)
	b.bring(frame("Echo:say", 1, 1, 1, "x"))
	if got := p.decoded(b.taken(), protocol.FramedBinary); got.Type != protocol.MessageException || len(p.calls(p.r1)) != 0 {
		t.Fatal("what a rule denies was handed over")
	}
	a.bring(frame("Echo:say", 1, 2, 1, "x"))
	away := p.calls(p.r1)
	a.bring(frame("Echo:say", 1, 3, 1, "x"))
	if got := len(p.calls(p.r1)); len(away) != 1 || got != 0 {
		t.Fatalf("%d calls were handed over within the limit, %d beyond it", len(away), got)
	}
	to := protocol.ReplyTo{}
	to.SetFrom(away[0])
	p.r1.bring(p.p.codecs[protocol.THeader].AppendFault(nil, protocol.Fault{Code: protocol.CodeOverload, Message: "full"}, &to))
	if n := p.echo(p.e1); n != 1 {
		t.Fatalf("%d calls came back", n)
	}
	a.bring(frame("Echo:say", 1, 4, 1, "x"))
	if n := p.echo(p.r1); n != 1 {
		t.Errorf("after the call's end the limit lets %d pass", n)
	}
}

// TestBoundsDoNotWait: calls beyond a bound of this proxy leave at once or are answered: waiting for the remote tier they would
// go on filling the bound, and nothing would be served here any more.
func TestBoundsDoNotWait(t *testing.T) {
	p := newPressed(t, 2, func(c *Config) { c.Limits.SourceCalls = 3 })
	for i := range 8 {
		p.open("a").bring(frame("Echo:say", 1, int32(i), 1, "x"))
	}
	if away, here := len(p.calls(p.r1)), len(p.calls(p.e1)); away != 2 || here != 3 || p.p.inFlight.Load() != 5 {
		t.Errorf("%d handed over, %d served here, %d in flight", away, here, p.p.inFlight.Load())
	}
}

// TestOrderedStays: calls of an ordered service are not handed over: they would overtake each other.
func TestOrderedStays(t *testing.T) {
	snap := echoSnapshot()
	snap.Services["Echo"].Ordered = true
	p := newPressed(t, 8, nil)
	p.setTable(snap)
	a := p.open("a")
	p.p.DrainToRemote(time.Minute)
	a.bring(frame("Echo:say", 1, 1, 1, "x"))
	if away := len(p.calls(p.r1)); away != 0 {
		t.Errorf("%d handed over", away)
	}
}

// TestGoingAway: replies and faults to a source that is asked to move carry the mark of its framing.
func TestGoingAway(t *testing.T) {
	p := newPressed(t, 8, nil)
	for _, f := range []protocol.Framing{protocol.TTHeader, protocol.OSP, protocol.Dapeng} {
		c := p.open(fmt.Sprint("s", f))
		m := &protocol.Message{Wire: protocol.Wire{Framing: protocol.FramedBinary, Payload: protocol.Binary}, Type: protocol.MessageCall, Service: []byte("Echo"), Method: []byte("say"), Body: stringStruct(1, "x")}
		call, err := p.p.codecs[f].AppendCall(nil, m, protocol.Wire{Framing: f, Payload: protocol.Binary}, 5, &protocol.Scratch{})
		if err != nil {
			t.Fatal(err)
		}
		for _, moved := range []bool{false, true} {
			p.p.sources.byKey[fmt.Sprint("s", f)].moved.Store(moved)
			c.bring(call)
			p.echo(p.e1)
			if got := p.decoded(c.taken(), f); got.GoingAway != moved || got.Type != protocol.MessageReply {
				t.Errorf("%s, moved %t: a reply of type %v, going away %t", f, moved, got.Type, got.GoingAway)
			}
		}
	}
}

// TestPressureCostsNothing: a call of a source without excess costs no allocation while the proxy is hard pressed, nor does
// refusing one.
func TestPressureCostsNothing(t *testing.T) {
	r := newRig(t, nil, echoSnapshot())
	a := r.open("a")
	r.p.guard.level.Store(uint32(pressure.Refuse))
	r.p.guard.active.Store(true)
	src := r.p.sources.byKey["a"]
	call := frame("Echo:say", 1, 7, 1, "x")
	src.excess.Store(spillOne)
	refused := func() {
		a.bring(call)
		if len(a.out) == 0 {
			t.Fatal("was not refused")
		}
		a.out = a.out[:0]
	}
	for range 3000 { // buffers and the call table grow once
		refused()
	}
	if n := testing.AllocsPerRun(1000, refused); n != 0 {
		t.Errorf("%v allocations for each refusal", n)
	}
	src.excess.Store(0)
	a.bring(call)
	e1 := r.connected(r.dials[0], nil)
	reply := make([]byte, 0, 4096)
	served := func() {
		reply = append(reply[:0], e1.out...)
		e1.out = e1.out[:0]
		reply[7] = 2 // CALL becomes REPLY; the argument's field id is not looked at
		e1.bring(reply)
		a.out = a.out[:0]
		a.bring(call)
	}
	for range 3000 {
		served()
	}
	if n := testing.AllocsPerRun(1000, served); n != 0 {
		t.Errorf("%v allocations for each call that is served", n)
	}
}
