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

// tier is a remote proxy whose guard a test plays, with the connection to its one endpoint.
type tier struct {
	*rig
	e1 *fakeConn
}

func newTier(t *testing.T, grant remote.Grant) *tier {
	snap := echoSnapshot()
	snap.Remotes = []registry.Remote{}
	r := &tier{rig: newRig(t, func(c *Config) {
		c.Accept = &remote.Server{Token: "0123456789abcdef", Grant: grant}
		c.Protection.Reserve = 0.4
	}, snap)}
	a := r.open("opener")
	a.bring(frame("Echo:say", 1, 1, 1, "x"))
	r.e1 = r.connected(r.dials[0], nil)
	r.echo(r.e1)
	return r
}

// capacity is what the guard would have found out.
func (r *tier) capacity(n int64) {
	r.p.guard.capacity.Store(n)
	r.p.guard.active.Store(true)
	r.p.guard.level.Store(uint32(pressure.Refuse))
}

// header makes a THeader call.
func (r *rig) header(typ protocol.MessageType, service, method string, seq int32, body []byte) []byte {
	m := &protocol.Message{Wire: protocol.Wire{Framing: protocol.FramedBinary, Payload: protocol.Binary}, Type: typ, Service: []byte(service), Method: []byte(method), Body: body}
	b, err := r.p.codecs[protocol.THeader].AppendCall(nil, m, protocol.Wire{Framing: protocol.THeader, Payload: protocol.Binary}, seq, &protocol.Scratch{})
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

// handoff opens an admitted hand-off connection, which calls with say.
func (r *tier) handoff(host string) (c *fakeConn, say func(seq int32)) {
	c = r.open(host)
	client := &remote.Client{Host: host, Instance: host, Token: "0123456789abcdef"}
	c.bring(r.header(protocol.MessageCall, remote.Service, remote.MethodHello, 1, client.AppendHello(nil)))
	if m := r.decoded(c.taken(), protocol.THeader); m.Type != protocol.MessageReply {
		r.t.Fatalf("the hello was answered %q", m.Body)
	}
	return c, func(seq int32) {
		c.bring(r.header(protocol.MessageCall, "Echo", "say", seq, stringStruct(1, "x")))
	}
}

// movedCaller opens a plain connection whose caller says that it was asked to move.
func (r *tier) movedCaller(source, instance string) *fakeConn {
	c := r.open(source)
	c.bring(frame("bellhop:moved", 4, 0, 1, instance))
	if len(c.out) > 0 {
		r.t.Errorf("the oneway was answered %x", c.taken())
	}
	return c
}

// fault is the text of the one fault that was written to a framed-binary caller; "" when nothing was.
func (r *rig) fault(c *fakeConn) string {
	b := c.taken()
	if len(b) == 0 {
		return ""
	}
	m := r.decoded(b, protocol.FramedBinary)
	if m.Type != protocol.MessageException {
		r.t.Errorf("got a message of type %d", m.Type)
	}
	text, _, _ := protocol.AppException(m.Body, m.Payload)
	return string(text)
}

// TestAdmission: what a full remote proxy has left is for callers whose local proxy is gone first, then for moved ones, then for
// what is handed over; each is refused at once, and told what its framing can tell. When calls end there is room again.
func TestAdmission(t *testing.T) {
	r := newTier(t, remote.Grant{Calls: 100})
	backup := r.open("backup")
	moved := r.movedCaller("moved", "i1")
	over, say := r.handoff("h1")
	r.capacity(10) // handed over up to 6, moved up to 8, all up to 10
	for i := range int32(6) {
		backup.bring(frame("Echo:say", 1, i, 1, "x"))
	}
	say(2)
	m := r.decoded(over.taken(), protocol.THeader)
	if v, _ := m.Find(remote.KeyNotExecuted); m.Type != protocol.MessageException || string(v) != "true" {
		t.Errorf("a call that was handed over got type %d, %q", m.Type, m.Body)
	}
	for i := range int32(2) {
		moved.bring(frame("Echo:say", 1, i, 1, "x"))
	}
	if text := r.fault(moved); text != "" {
		t.Errorf("moved: %s", text)
	}
	third := r.movedCaller("moved", "i1")
	third.bring(frame("Echo:say", 1, 9, 1, "x"))
	if text := r.fault(third); !strings.HasPrefix(text, "not executed: go home") {
		t.Errorf("moved, beyond its part: %q", text)
	}
	backup.bring(frame("Echo:say", 1, 10, 1, "x"))
	backup.bring(frame("Echo:say", 1, 11, 1, "x"))
	if text := r.fault(backup); text != "" {
		t.Errorf("backup: %s", text)
	}
	other := r.open("other")
	r.p.guard.level.Store(uint32(pressure.AskToMove))
	early := r.open("early")
	early.bring(frame("Echo:say", 1, 13, 1, "x"))
	if text := r.fault(early); text != "" {
		t.Errorf("backup, before the last level: %q", text)
	}
	r.p.guard.level.Store(uint32(pressure.Refuse))
	other.bring(frame("Echo:say", 1, 12, 1, "x"))
	if text := r.fault(other); !strings.HasPrefix(text, "not executed: the remote proxy has more calls") {
		t.Errorf("backup, beyond all: %q", text)
	}
	if w := &r.w.stats; w.measures[measureOverflow] != 1 || w.measures[measureGoHome] != 1 || w.measures[measureBackup] != 1 {
		t.Errorf("counted %v", w.measures)
	}
	if n := r.echo(r.e1); n != 11 {
		t.Errorf("%d calls reached the endpoint", n)
	}
	say(3)
	if n := r.echo(r.e1); n != 1 {
		t.Error("a call that is handed over when there is room does not get through")
	}
}

// TestGoHomeHeader: THeader callers are told by a key of the header.
func TestGoHomeHeader(t *testing.T) {
	r := newTier(t, remote.Grant{Calls: 1})
	c := r.open("pod")
	c.bring(r.header(protocol.MessageOneway, remote.Service, remote.MethodMoved, 1, stringStruct(1, "i1")))
	d := r.movedCaller("pod2", "i1")
	d.bring(frame("Echo:say", 1, 1, 1, "x"))
	c.bring(r.header(protocol.MessageCall, "Echo", "say", 2, stringStruct(1, "x")))
	m := r.decoded(c.taken(), protocol.THeader)
	home, _ := m.Find(remote.KeyGoHome)
	not, _ := m.Find(remote.KeyNotExecuted)
	if m.Type != protocol.MessageException || string(home) != "true" || string(not) != "true" {
		t.Errorf("type %d, go home %q, not executed %q", m.Type, home, not)
	}
}

// TestMovedSpendGrant: moved callers of one host have its grant between them; those of another host have their own.
func TestMovedSpendGrant(t *testing.T) {
	r := newTier(t, remote.Grant{Calls: 2})
	a, b, c, d := r.movedCaller("a", "i1"), r.movedCaller("b", "i1"), r.movedCaller("c", "i1"), r.movedCaller("d", "i2")
	for i, f := range []*fakeConn{a, b, c, d} {
		f.bring(frame("Echo:say", 1, 1, 1, "x"))
		if text := r.fault(f); (text != "") != (i == 2) || i == 2 && !strings.HasPrefix(text, "not executed: go home") {
			t.Errorf("caller %d: %q", i, text)
		}
	}
	r.echo(r.e1)
	a.taken()
	a.drop()
	c.bring(frame("Echo:say", 1, 2, 1, "x"))
	if text := r.fault(c); text != "" {
		t.Errorf("the grant has room: %q", text)
	}
	for _, f := range []*fakeConn{b, c, d} {
		f.drop()
	}
	if n := len(r.p.guard.hosts); n != 0 {
		t.Errorf("%d hosts are kept without a connection", n)
	}
}

// TestGrantShrinks: a hard-pressed remote proxy grants what is left in proportion to what each host uses, tells it with
// the next replies, and grants all again when it has recovered.
func TestGrantShrinks(t *testing.T) {
	r := newTier(t, remote.Grant{Calls: 256, Bytes: 1 << 20})
	big, sayBig := r.handoff("big")
	small, saySmall := r.handoff("small")
	for i := range int32(120) {
		sayBig(i + 10)
		if i%6 == 0 {
			saySmall(i + 10)
		}
	}
	if n := r.p.guard.overflow.Load(); n != 140 {
		t.Fatalf("%d calls of hand-off connections are counted", n)
	}
	r.p.guard.ratio.Store(ratioOne / 2)
	r.now += int64(time.Second)
	r.echo(r.e1)
	granted := func(c *fakeConn) (g remote.Grant) {
		for b := c.taken(); len(b) > 0; {
			var sc protocol.Scan
			n, err := r.p.codecs[protocol.THeader].Split(&sc, b, 1<<20)
			if err != nil || n == 0 {
				t.Fatalf("%x: %v", b, err)
			}
			if v, ok := r.decoded(b[:n], protocol.THeader).Find(remote.KeyGrant); ok {
				if g, err = remote.ParseGrant(v); err != nil {
					t.Error(err)
				}
			}
			b = b[n:]
		}
		return g
	}
	if g := granted(big); g.Calls < 55 || g.Calls > 60 || g.Bytes < 200<<10 || g.Bytes > 256<<10 {
		t.Errorf("the big one was granted %+v", g)
	}
	if g := granted(small); g.Calls < 8 || g.Calls > 10 {
		t.Errorf("the small one was granted %+v", g)
	}
	r.p.guard.ratio.Store(0)
	r.now += int64(time.Second)
	sayBig(1000)
	r.echo(r.e1)
	if g := granted(big); g.Calls != 256 || g.Bytes != 1<<20 {
		t.Errorf("afterwards it was granted %+v", g)
	}
	big.drop()
	small.drop()
	if n := r.p.guard.overflow.Load(); n != 0 {
		t.Errorf("%d calls of hand-off connections are left counted", n)
	}
}

// TestMovedIsNoCall: a caller of a proxy that admits no hand-offs, or that says nonsense, is served as any other.
func TestMovedIsNoCall(t *testing.T) {
	r := newTier(t, remote.Grant{Calls: 2})
	for _, b := range [][]byte{frame("bellhop:moved", 4, 0, 1, ""), frame("bellhop:moved", 4, 0, 1, strings.Repeat("x", 100)), frame("bellhop:moved", 4, 0, 2, "i")} {
		c := r.open("c")
		c.bring(b)
		c.bring(frame("Echo:say", 1, 5, 1, "x"))
		if n := r.echo(r.e1); n != 1 || len(r.p.guard.hosts) != 0 {
			t.Errorf("%d calls were served; %d hosts are known", n, len(r.p.guard.hosts))
		}
	}
}
