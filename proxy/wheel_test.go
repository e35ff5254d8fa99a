package proxy

import (
	"math/rand/v2"
	"testing"
)

type firing struct {
	timer
	fired int64
	times int
}

func (f *firing) expired(now int64) { f.fired = now; f.times++ }

// TestWheelAgainstModel arms, moves and disarms timers at random, at every distance the wheel knows, and checks that
// each fires once, never early and at most one tick after the first advance past its time.
func TestWheelAgainstModel(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	spans := []int64{tick, 10 * tick, coarse - tick, coarse, coarse + tick, 3 * coarse, coarse * slots, 3 * coarse * slots}
	for range 50 {
		w := newWheel()
		timers := make([]*firing, 300)
		now := int64(0)
		for i := range timers {
			timers[i] = &firing{}
			timers[i].fire = timers[i]
			w.arm(&timers[i].timer, rnd.Int64N(spans[rnd.IntN(len(spans))]))
		}
		moved, gone := timers[7], timers[8]
		w.arm(&moved.timer, 5*coarse)
		w.disarm(&gone.timer)
		for w.next() != noTimer {
			prev := now
			now = max(now+rnd.Int64N(3*tick), w.next()+rnd.Int64N(tick))
			w.advance(now)
			for _, f := range timers {
				if f.times > 0 && f.fired == now && f.due > now {
					t.Fatalf("fired at %d, %d before its time", now, f.due-now)
				}
				if f.times == 0 && f != gone && f.due+2*tick < prev {
					t.Fatalf("due %d not fired at %d", f.due, prev)
				}
			}
		}
		for i, f := range timers {
			if want := 1; f != gone && f.times != want {
				t.Fatalf("timer %d (due %d) fired %d times", i, f.due, f.times)
			}
		}
		if gone.times != 0 {
			t.Fatal("a disarmed timer fired")
		}
	}
}

// TestWheelRearmWhileFiring arms a timer from its own expiry exactly one turn of the fine level away.
func TestWheelRearmWhileFiring(t *testing.T) {
	w := newWheel()
	f := &rearming{w: w}
	f.fire = f
	w.arm(&f.timer, tick)
	w.advance(tick)
	if f.times != 1 {
		t.Fatalf("fired %d times, want 1", f.times)
	}
	w.advance(tick + coarse)
	if f.times != 2 {
		t.Fatalf("fired %d times after a turn, want 2", f.times)
	}
}

type rearming struct {
	timer
	w     *wheel
	times int
}

func (f *rearming) expired(now int64) {
	f.times++
	f.w.arm(&f.timer, now+coarse)
}
