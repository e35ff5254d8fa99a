package proxy

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/cluster"
	"github.com/bellhop-mesh/bellhop/proxy/govern"
	"github.com/bellhop-mesh/bellhop/registry"
)

// TestRandomly plays random conversations: several callers, endpoints in every mode, replies in any order, drops,
// refusals, peers that stop reading, time, tables that change. Every call must be answered once, in its own framing, with
// its own sequence and its own text, or its caller must have been closed; at the end nothing may be left.
func TestRandomly(t *testing.T) {
	const least = 400 // show something on any machine
	seeds, end := uint64(3000), time.Now().Add(4*time.Second)
	if testing.Short() {
		seeds = least
	}
	replies, lookups, deferred := 0, 0, 0
	waited, handed := uint64(0), uint64(0)
	var again [govern.NumClasses]uint64
	for seed := uint64(1); seed <= seeds && !t.Failed() && (seed <= least || time.Now().Before(end)); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			c := randomly(t, seed)
			replies += c.replies
			lookups += int(c.w.stats.lookups)
			c.tally(&again)
			for _, n := range c.w.ruleCounts {
				waited += n.Outcomes[govern.Queued]
			}
			deferred += int(c.w.stats.deferred)
			for _, n := range c.w.stats.handedOver {
				handed += n
			}
		})
	}
	if replies < 1000 || lookups < 500 || deferred < 1000 {
		t.Errorf("only %d calls were replied to, %d services looked up, and %d times a caller waited for its turn: this shows nothing", replies, lookups, deferred)
	}
	if waited < 50 || handed < 500 {
		t.Errorf("only %d calls waited for limits, and %d were handed over: this shows nothing", waited, handed)
	}
	for _, class := range []govern.Class{govern.ClassBusy, govern.ClassFailed, govern.ClassLost, govern.ClassDeadline} {
		if again[class] < 20 {
			t.Errorf("only %d attempts were made again after one was %s: this shows nothing", again[class], class)
		}
	}
}

// chance is one random conversation.
type chance struct {
	*talk
	t       *testing.T
	seed    uint64
	rnd     *rand.Rand
	callers []*player
	peers   []*peer
	all     map[*cluster.Endpoint]bool // that were ever in a table
	texts   int
	replies int
	asked   []string // services being looked up, some of them no more
	ruled   []*govern.Rules
	tier    bool // there are remote proxies
}

// player is a caller: what it expects, by place for those that get replies in order, by sequence for the others.
type player struct {
	c      *fakeConn
	wire   protocol.Wire
	expect []want
	rest   []byte
	seq    int32
	broken bool   // sent something malformed
	later  []byte // has not been sent yet
}

type want struct {
	seq  int32
	text string
	ack  bool // of a method that is declared oneway: an empty reply for OSP and dapeng callers, none for the others
}

// peer is an endpoint's end of a connection.
type peer struct {
	u     *upstream
	c     *fakeConn
	rest  []byte
	calls []asked
}

type asked struct {
	to     protocol.ReplyTo
	text   string
	oneway bool
	hello  bool
}

var (
	playerWires   = []string{"framed-binary", "framed-binary", "binary", "theader-binary", "ttheader-binary", "osp-binary", "dapeng-binary"}
	randomService = []registry.Service{
		{Name: "Ex"},
		{Name: "Twice", Idempotent: []string{"say"}},
		{Name: "Mux", Mode: "multiplexed", Depth: 3},
		{Name: "PerCall", Mode: "per-call"},
		{Name: "Pos", SeqID: "positional"},
		{Name: "Ord", Mode: "multiplexed", Ordered: true},
		{Name: "One", Oneway: []string{"say"}},
		{Name: "Osp", Framing: "osp-binary"},
		{Name: "Head", Framing: "theader-compact", Mode: "multiplexed"},
	}
)

func randomly(t *testing.T, seed uint64) *chance {
	c := &chance{
		t: t, seed: seed, rnd: rand.New(rand.NewPCG(seed, 7)), all: map[*cluster.Endpoint]bool{},
		talk: &talk{conns: map[string]*fakeConn{}, seen: map[string][]message{}, rest: map[string][]byte{}},
	}
	defer func() {
		if r := recover(); r != nil {
			t.Errorf("seed %d: panic: %v", seed, r)
			panic(r)
		}
	}()
	c.rig = newRig(t, func(cfg *Config) {
		cfg.Limits.Depth, cfg.Limits.SourceCalls, cfg.Limits.ConnectsOpen = 6, 12, 2
		cfg.Limits.IdlePerPool = 2
		if c.rnd.IntN(2) == 0 { // services are then unknown more often
			cfg.Lookup = c.lookup
			cfg.Limits.SourceLookups, cfg.Limits.TotalLookups = 2, 4
			cfg.Timeouts.Lookup = time.Duration(1+c.rnd.IntN(100)) * time.Millisecond
		}
		if c.rnd.IntN(2) == 0 {
			c.withTier(cfg)
		}
		if c.rnd.IntN(2) == 0 { // large frames are then common
			cfg.Limits.Window = 1<<10 + c.rnd.IntN(4<<10)
		}
	}, &registry.Snapshot{})
	c.setTable(c.snapshot())
	c.noteEndpoints()
	c.govern()
	for range 4 {
		c.callers = append(c.callers, &player{})
	}
	if c.rnd.IntN(2) == 0 { // whoever has had one call taken waits for its turn
		c.w.shares.turns.Init(1)
	}
	for range 60 + c.rnd.IntN(120) {
		c.step()
		c.settle()
		c.look()
	}
	c.finish()
	return c
}

// snapshot is a table with a random subset of each service's endpoints.
func (c *chance) snapshot() *registry.Snapshot {
	s := &registry.Snapshot{Services: map[string]*registry.Service{}}
	for i := range randomService {
		if c.rnd.IntN(12) == 0 || c.rig != nil && c.p.cfg.Lookup != nil && c.rnd.IntN(3) == 0 {
			continue
		}
		svc := randomService[i]
		svc.MaxConns, svc.MaxPending = 1+c.rnd.IntN(3), 4
		if svc.Name == "Ex" && c.rnd.IntN(4) == 0 {
			svc.Mode = "multiplexed"
		}
		for e := range 3 {
			if c.rnd.IntN(3) > 0 {
				svc.Endpoints = append(svc.Endpoints, registry.Endpoint{Addr: fmt.Sprintf("%s%d:1", svc.Name, e)})
			}
		}
		s.Services[svc.Name] = &svc
	}
	if c.tier {
		c.addTier(s)
	}
	return s
}

// lookup is Config.Lookup.
func (c *chance) lookup(service string) bool {
	found := c.rnd.IntN(4) > 0
	if found {
		c.asked = append(c.asked, service)
	}
	return found
}

func (c *chance) noteEndpoints() {
	table := c.p.Table()
	for _, n := range table.Names() {
		for _, e := range table.Lookup([]byte(n)).Endpoints() {
			c.all[e] = true
		}
	}
	for _, e := range table.Remotes.Endpoints() {
		c.all[e] = true
	}
}

func (c *chance) step() {
	switch n := c.rnd.IntN(100); {
	case n < 22:
		c.call(c.callers[c.rnd.IntN(len(c.callers))])
	case n < 45:
		for len(c.dials) > 0 && c.rnd.IntN(4) > 0 {
			c.dialled(c.dials[c.rnd.IntN(len(c.dials))], c.rnd.IntN(8) > 0)
		}
	case n < 82:
		for range 1 + c.rnd.IntN(4) {
			c.onPeer((*chance).answer)
		}
	case n < 85:
		c.onPeer(func(c *chance, p *peer) { p.c.drop() })
	case n < 87:
		c.onPeer(func(c *chance, p *peer) { p.c.stuck = true })
	case n < 89:
		c.onPeer(func(c *chance, p *peer) { p.c.stuck, p.c.backlog = false, 0 })
	case n < 91:
		p := c.callers[c.rnd.IntN(len(c.callers))]
		if p.c != nil && !p.c.gone {
			if p.c.stuck = !p.c.stuck; !p.c.stuck {
				p.c.backlog = 0
			}
		}
	case n < 92:
		if p := c.callers[c.rnd.IntN(len(c.callers))]; p.c != nil && !p.c.gone {
			p.c.drop()
		}
	case n < 94 && len(c.asked) > 0 && c.rnd.IntN(2) == 0:
		c.p.NotFound(c.asked[0])
		c.asked = c.asked[1:]
		c.settle()
	case n < 98:
		d := time.Duration(c.rnd.IntN(40)) * time.Millisecond
		if c.rnd.IntN(5) == 0 {
			d = time.Duration(c.rnd.IntN(4000)) * time.Millisecond
		}
		c.pass(d)
	case n < 99:
		c.govern()
		c.drain()
	default:
		c.setTable(c.snapshot())
		c.noteEndpoints()
		c.changeRules()
		c.woken = true
		c.settle()
	}
}

func (c *chance) onPeer(f func(*chance, *peer)) {
	if len(c.peers) == 0 {
		return
	}
	if p := c.peers[c.rnd.IntN(len(c.peers))]; !p.c.gone {
		f(c, p)
	}
}

func (c *chance) dialled(u *upstream, ok bool) {
	if !ok {
		c.connected(u, errRefused)
		return
	}
	c.peers = append(c.peers, &peer{u: u, c: c.connected(u, nil)})
}

// call sends one to three frames in one or two reads.
func (c *chance) call(p *player) {
	if p.c == nil || p.c.gone {
		wire, err := protocol.ParseWire(playerWires[c.rnd.IntN(len(playerWires))])
		if err != nil {
			c.t.Fatal(err)
		}
		*p = player{wire: wire}
		l := &listener{ListenerConfig: ListenerConfig{Name: "test", Ordered: c.rnd.IntN(6) == 0}}
		p.c = c.caller(l, Identity{Source: fmt.Sprint("s", c.rnd.IntN(3))})
	}
	b := p.later
	p.later = nil
	for range 1 + c.rnd.IntN(3)*c.rnd.IntN(2) {
		b = c.appendCall(b, p)
	}
	if c.rnd.IntN(60) == 0 {
		b, p.broken = append(b, "\x00\x00\x00\x05\x80\x01\x00\x01\xff garbage that is longer than the frame"...), true
	}
	if c.rnd.IntN(40) == 0 {
		b, p.broken = c.appendBroken(b, p), true
	}
	if c.rnd.IntN(5) == 0 {
		cut := c.rnd.IntN(len(b))
		b, p.later = b[:cut], bytes.Clone(b[cut:])
	}
	c.bringCut(p.c, b)
}

// appendBroken appends a call whose body is not a struct to its end.
func (c *chance) appendBroken(b []byte, p *player) []byte {
	whole := c.appendCall(nil, p)
	if last := len(p.expect) - 1; last >= 0 && p.expect[last].seq == p.seq {
		p.expect = p.expect[:last]
	}
	if n := len(whole) - 1 - p.wire.Framing.Tail(); n >= 0 {
		whole[n] = 11 // a string field begins where the stop byte should be
	}
	return append(b, whole...)
}

// bringCut brings bytes in one to four reads.
func (c *chance) bringCut(f *fakeConn, b []byte) {
	for range c.rnd.IntN(4) * c.rnd.IntN(2) {
		cut := c.rnd.IntN(len(b) + 1)
		c.bring(f, b[:cut])
		b = b[cut:]
	}
	c.bring(f, b)
}

func (c *chance) appendCall(b []byte, p *player) []byte {
	c.texts++
	p.seq++
	service := randomService[c.rnd.IntN(len(randomService))].Name
	text := fmt.Sprintf("%d/%s/", c.texts, service) + strings.Repeat("y", c.rnd.IntN(60)*c.rnd.IntN(2)*c.rnd.IntN(200))
	m := &protocol.Message{
		Wire: protocol.Wire{Payload: protocol.Binary}, Type: protocol.MessageCall,
		Service: []byte(service), Method: []byte("say"), Body: stringStruct(1, text), KeepPrefix: true,
	}
	if c.rnd.IntN(8) == 0 && !p.wire.Framing.Multiplexed() {
		m.Type = protocol.MessageOneway
	}
	if c.rnd.IntN(4) == 0 {
		m.Timeout = time.Duration(1+c.rnd.IntN(300)) * time.Millisecond
	}
	out, err := c.p.codecs[p.wire.Framing].AppendCall(b, m, p.wire, p.seq, &protocol.Scratch{})
	if err != nil {
		c.t.Fatal(err)
	}
	if m.Type == protocol.MessageCall {
		p.expect = append(p.expect, want{seq: p.seq, text: text, ack: service == "One"})
	}
	return out
}

// bring hands bytes over in a buffer that is overwritten as soon as they were read, as gnet does with its own.
func (c *chance) bring(f *fakeConn, b []byte) {
	if len(b) == 0 || f.gone {
		return
	}
	b = bytes.Clone(b)
	f.arrive(b)
	for i := range b {
		b[i] = 0xEE
	}
	if c.rnd.IntN(4) > 0 { // else the same poll round brings more
		c.settle()
	}
}

// finish lets every peer read, time pass beyond every deadline, and checks that nothing is owed or left.
func (c *chance) finish() {
	for _, p := range c.callers {
		if p.c != nil {
			p.c.stuck, p.c.backlog = false, 0
			c.bring(p.c, p.later)
		}
	}
	for _, p := range c.peers {
		p.c.stuck, p.c.backlog = false, 0
	}
	for range 40 { // the longest deadline is a second; calls that wait for one another have theirs in turn
		c.pass(2 * time.Second)
		c.look()
	}
	for i, p := range c.callers {
		for len(p.expect) > 0 && p.expect[0].ack && !p.wire.Framing.Multiplexed() {
			p.expect = p.expect[1:]
		}
		if len(p.expect) > 0 {
			c.t.Errorf("caller %d (%s) still waits for %d answers, the first with sequence %d", i, p.wire.Framing, len(p.expect), p.expect[0].seq)
		}
	}
	c.atEnd(c.t)
	c.look()
	for e := range c.all {
		if e.Conns.Load() != 0 || e.States[0].Active != 0 {
			c.t.Errorf("endpoint %s: left %d connections, %d active calls", e, e.Conns.Load(), e.States[0].Active)
		}
	}
	seen := map[*byte]bool{}
	for _, b := range slices.Concat(c.w.bufs.free, c.w.bufs.big) {
		if seen[&b[:1][0]] {
			c.t.Error("a buffer is free twice")
		}
		seen[&b[:1][0]] = true
	}
	free := map[int32]bool{}
	for _, s := range c.w.calls.free {
		if free[s] {
			c.t.Errorf("call slot %d is free twice", s)
		}
		free[s] = true
	}
}
