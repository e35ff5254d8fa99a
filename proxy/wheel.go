package proxy

import "math/bits"

// A wheel holds a worker's timers: two levels of 1,024 slots, of 2 ms and of about 2 s, so that arming and disarming
// are O(1) and cost no allocation. Later timers are parked in the last slot and put in anew when it comes round.
// Nothing ticks while nothing is due: the worker asks next() when it has to be woken. Loop only.
//
// Source: G. Varghese, T. Lauck, "Hashed and Hierarchical Timing Wheels", 1987.
const (
	tick      = int64(2e6) // ns
	slots     = 1024
	coarse    = tick * slots
	noTimer   = int64(1<<63 - 1)
	slotWords = slots / 64
)

// timer is embedded in what it belongs to; fire says what to do. The zero value is disarmed.
type timer struct {
	next, prev *timer
	slot       int32 // index in wheel.heads + 1; 0: disarmed
	due        int64 // worker clock, ns
	fire       expirer
}

type expirer interface{ expired(now int64) }

type wheel struct {
	heads [2 * slots]timer // heads of circular lists
	used  [2][slotWords]uint64
	at    int64 // everything before this time has fired, a multiple of tick
	due   timer // head of what is firing: should one expiry panic, the others are still here
}

func newWheel() *wheel {
	w := &wheel{}
	for i := range w.heads {
		w.heads[i].next, w.heads[i].prev = &w.heads[i], &w.heads[i]
	}
	w.due.next, w.due.prev = &w.due, &w.due
	return w
}

// arm sets t to fire at due or up to one tick later. An armed timer is moved.
func (w *wheel) arm(t *timer, due int64) {
	w.disarm(t)
	t.due = due
	d := max(due, w.at+1)
	i := int((d + tick - 1) / tick % slots)
	if d-w.at >= coarse {
		i = slots + int(min(d, w.at+coarse*(slots-1))/coarse%slots)
	}
	h := &w.heads[i]
	t.slot, t.next, t.prev = int32(i)+1, h, h.prev
	h.prev.next, h.prev = t, t
	w.used[i/slots][i%slots/64] |= 1 << (i % 64)
}

// disarm takes t out; a disarmed timer is left alone.
func (w *wheel) disarm(t *timer) {
	if t.slot == 0 {
		return
	}
	i := int(t.slot) - 1
	t.prev.next, t.next.prev = t.next, t.prev
	t.next, t.prev, t.slot = nil, nil, 0
	if h := &w.heads[i]; h.next == h {
		w.used[i/slots][i%slots/64] &^= 1 << (i % 64)
	}
}

// advance fires everything that is due at now.
func (w *wheel) advance(now int64) {
	w.fire(now)
	target := now / tick * tick
	for w.at < target {
		n := w.next()
		if n > target {
			w.at = target
			return
		}
		w.at = n
		if w.take(int(w.at/tick%slots), &w.due) {
			w.fire(now)
		}
		if w.at%coarse == 0 { // after fire: what lies exactly one turn ahead shares the slot that has just fired
			w.cascade(int(w.at / coarse % slots))
		}
	}
}

// fire ends the timers of a fine slot. They were taken off it first: what is armed meanwhile for the same slot is one
// turn away.
func (w *wheel) fire(now int64) {
	for w.due.next != &w.due {
		t := w.due.next
		w.disarm(t)
		t.fire.expired(now)
	}
}

// cascade spreads one coarse slot over the fine ones.
func (w *wheel) cascade(i int) {
	var l timer
	if !w.take(slots+i, &l) {
		return
	}
	for l.next != &l {
		w.arm(l.next, l.next.due)
	}
}

// take moves a slot's list to l; false when it is empty.
func (w *wheel) take(i int, l *timer) bool {
	h := &w.heads[i]
	if h.next == h {
		return false
	}
	l.next, l.prev = h.next, h.prev
	l.next.prev, l.prev.next = l, l
	h.next, h.prev = h, h
	w.used[i/slots][i%slots/64] &^= 1 << (i % 64)
	return true
}

// next returns when advance has something to do, or noTimer.
func (w *wheel) next() int64 {
	if w.due.next != &w.due { // an expiry has panicked
		return w.at
	}
	n := noTimer
	if i, ok := firstFrom(&w.used[0], int((w.at/tick+1)%slots)); ok {
		n = w.at + int64(i+1)*tick
	}
	if i, ok := firstFrom(&w.used[1], int((w.at/coarse+1)%slots)); ok {
		n = min(n, (w.at/coarse+1+int64(i))*coarse)
	}
	return n
}

// firstFrom returns how many slots after from the first used one lies, going round.
func firstFrom(used *[slotWords]uint64, from int) (int, bool) {
	for k := 0; k <= slotWords; k++ {
		wi := (from/64 + k) % slotWords
		word := used[wi]
		if k == 0 {
			word &= ^uint64(0) << (from % 64)
		} else if k == slotWords {
			word &= 1<<(from%64) - 1
		}
		if word != 0 {
			i := wi*64 + bits.TrailingZeros64(word)
			return (i - from + slots) % slots, true
		}
	}
	return 0, false
}
