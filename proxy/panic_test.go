package proxy

import (
	"testing"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/registry"
)

// faulty is a codec with a defect: it panics on one method.
type faulty struct{ protocol.Codec }

func (f faulty) Decode(frame []byte, m *protocol.Message, s *protocol.Scratch) error {
	err := f.Codec.Decode(frame, m, s)
	if string(m.Method) == "boom" {
		panic("a defect")
	}
	return err
}

// TestPanicCostsOneConnection: a defect in a codec closes the connection that brought it out and nothing else.
func TestPanicCostsOneConnection(t *testing.T) {
	r := newRig(t, nil, &registry.Snapshot{Services: map[string]*registry.Service{
		"Echo": {Name: "Echo", Mode: "multiplexed", Endpoints: []registry.Endpoint{{Addr: "e1:1"}}},
	}})
	f := protocol.FramedBinary
	r.p.codecs[f] = faulty{r.p.codecs[f]}
	l := &listener{ListenerConfig: ListenerConfig{Name: "test"}}
	good, bad := r.caller(l, Identity{Source: "good"}), r.caller(l, Identity{Source: "bad"})
	good.bring(frame("Echo:say", 1, 7, 1, "x"))
	up := r.connected(r.dials[0], nil)
	bad.bring(frame("Echo:boom", 1, 8, 1, "x"))
	if !bad.gone || good.gone || up.gone || r.w.stats.panics != 1 {
		t.Fatalf("closed: bad %v, good %v, endpoint %v; panics %d", bad.gone, good.gone, up.gone, r.w.stats.panics)
	}
	reply := up.taken()
	reply[7] = byte(protocol.MessageReply)
	up.bring(reply)
	if len(good.out) == 0 {
		t.Fatal("the other caller got no reply")
	}
}

// TestPanicCostsOneTimer: a defect in what a timer or a task does leaves the others of the same moment alone.
func TestPanicCostsOneTimer(t *testing.T) {
	r := newRig(t, nil, &registry.Snapshot{})
	ctl := &fakeConn{r: r, ctx: controlConn{}}
	timers := [3]panicky{{}, {panics: true}, {}}
	for i := range timers {
		timers[i].fire = &timers[i]
		r.w.wheel.arm(&timers[i].timer, r.now+tick)
	}
	ran := 0
	r.w.do(func() { ran++ })
	r.w.do(func() { panic("a defect") })
	r.w.do(func() { ran++ })
	for range 2 { // the alarm's wake-ups
		r.now += 2 * tick
		r.w.OnTraffic(ctl)
		if timers[2].fired == 0 && r.w.armedFor > r.now {
			t.Fatal("timers are due and nothing will wake the loop")
		}
	}
	if ran != 2 || timers[0].fired != 1 || timers[1].fired != 1 || timers[2].fired != 1 {
		t.Fatalf("%d tasks ran, timers fired %d, %d, %d times", ran, timers[0].fired, timers[1].fired, timers[2].fired)
	}
	if r.w.stats.panics != 2 || r.w.inBatch {
		t.Fatalf("%d panics counted, want 2; in a batch: %v", r.w.stats.panics, r.w.inBatch)
	}
}

type panicky struct {
	timer
	panics bool
	fired  int
}

func (p *panicky) expired(int64) {
	p.fired++
	if p.panics {
		panic("a defect")
	}
}
