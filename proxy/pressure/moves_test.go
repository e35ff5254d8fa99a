package pressure

import (
	"fmt"
	"testing"
	"time"
)

// host plays sources that obey (or not), and how loaded that makes their proxy.
type host struct {
	t     *testing.T
	m     *Moves
	now   time.Duration
	work  map[string]float64 // what each would make here
	deaf  map[string]bool
	list  []Moved
	take  int64 // calls in flight that the remote tier takes, 10 of a source; 0: not known
	in    MoveInput
	adds  int
	quota bool // no more work than can be done is seen
	full  bool // the remote tier sends home who comes
}

func newHost(t *testing.T, work map[string]float64) *host {
	return &host{t: t, work: work, deaf: map[string]bool{}, m: NewMoves(MoveConfig{TTL: 30 * time.Second, Settle: 2 * time.Second, Most: 100}), in: MoveInput{Budget: -1}}
}

// run lets time go by: 100 units of work are what can be carried.
func (h *host) run(d time.Duration) {
	for end := h.now + d; h.now < end; h.now += every {
		users, total := []User{}, 0.0
		if h.take > 0 {
			h.in.Budget = h.take
		}
		for key, w := range h.work {
			if !h.m.Asked(key) || h.deaf[key] || h.full && h.now-h.m.list[key].since > time.Second {
				users = append(users, User{Key: key, Workload: key, Work: w, Calls: 10})
				total += w
			} else if h.take > 0 {
				h.in.Budget -= 10
			}
		}
		h.in.Load, h.in.Users, h.in.Now, h.in.End = total/100, users, total > 100, h.quota && total >= 100
		switch {
		case h.quota && total >= 100: // more than all of it can't be seen
			for i := range users {
				users[i].Work *= 100 / total
			}
			h.in.Load, h.in.Now, h.in.State = 1, true, State{Level: AskToMove, Shed: 0.25}
		case total > 110:
			h.in.State = State{Level: AskToMove, Shed: min(0.75, 1-100/total)}
		case total > 100:
			h.in.State = State{Level: QueueHeaviest}
		default:
			h.in.State = State{}
		}
		was := len(h.list)
		var changed bool
		h.list, changed = h.m.Step(h.now, &h.in)
		if len(h.list) > was {
			h.adds++
		}
		if len(h.list) != was && !changed {
			h.t.Error("the list changed and nobody is told")
		}
		for _, e := range h.list {
			if e.Until <= h.now {
				h.t.Errorf("%s has run out at %v", e.Key, h.now)
			}
		}
	}
}

func (h *host) moved() string {
	s := ""
	for _, e := range h.list {
		s += e.Key + " "
	}
	return s
}

// TestHeaviestFirst: as many as are needed, the heaviest first, and nobody while nothing presses.
func TestHeaviestFirst(t *testing.T) {
	h := newHost(t, map[string]float64{"a": 30, "b": 20})
	h.run(10 * time.Second)
	if h.moved() != "" {
		t.Fatalf("moved %s without need", h.moved())
	}
	h.work = map[string]float64{"a": 30, "b": 20, "c": 150}
	h.run(time.Second)
	if h.moved() != "c " {
		t.Errorf("moved %q", h.moved())
	}
}

// TestReturn: who was moved stays while it would be too much again, comes home at last, and does not come and go.
func TestReturn(t *testing.T) {
	h := newHost(t, map[string]float64{"a": 30, "b": 20, "c": 150})
	h.run(25 * time.Second)
	if h.moved() != "c " {
		t.Fatalf("moved %q", h.moved())
	}
	h.work["c"] = 10 // nobody here can know
	h.run(10 * time.Minute)
	if h.moved() != "" {
		t.Errorf("still moved: %q", h.moved())
	}
	h.work["c"] = 150
	h.adds = 0
	h.run(20 * time.Minute)
	if h.adds > 15 {
		t.Errorf("asked %d times in 20 minutes", h.adds)
	}
}

// TestDeaf: a source that does not go is not counted on: others are asked, and it is left alone for a while.
func TestDeaf(t *testing.T) {
	h := newHost(t, map[string]float64{"a": 60, "b": 60, "c": 80})
	h.deaf["c"] = true
	h.run(30 * time.Second)
	if h.moved() != "a " && h.moved() != "b " && h.moved() != "a b " {
		t.Errorf("moved %q", h.moved())
	}
}

// TestBudget: no more calls are moved than the remote tier would take.
func TestBudget(t *testing.T) {
	work := map[string]float64{}
	for i := range 20 {
		work[fmt.Sprint(i)] = 20
	}
	h := newHost(t, work)
	h.take = 35
	h.run(20 * time.Second)
	if len(h.list) != 3 { // 10 calls each
		t.Errorf("moved %q", h.moved())
	}
}

// TestAll: a drain asks everybody, privileged or not, and lets all go at its end.
func TestAll(t *testing.T) {
	h := newHost(t, map[string]float64{"a": 1, "b": 2})
	h.in.All = true
	h.run(time.Minute)
	if h.moved() != "a b " {
		t.Errorf("moved %q", h.moved())
	}
	h.in.All = false
	h.run(5 * time.Second)
	if h.moved() != "" {
		t.Errorf("still moved: %q", h.moved())
	}
}

// TestGrows: of twenty equal sources that offer four times what can be carried as many as must are asked within three seconds,
// though no more than all of it can be seen to be used; and hardly more.
func TestGrows(t *testing.T) {
	work := map[string]float64{}
	for i := range 20 {
		work[fmt.Sprint(i)] = 20
	}
	h := newHost(t, work)
	h.m.cfg.Grow, h.quota = 400*time.Millisecond, true
	h.run(3 * time.Second)
	if n := len(h.list); n < 16 || n > 18 {
		t.Errorf("%d are asked", n)
	}
	if h.m.Stuck() {
		t.Error("is stuck")
	}
}

// TestStuck: while the remote tier is full nobody else is asked, nobody is taken for deaf, and it is told; when there is room
// again others are asked.
func TestStuck(t *testing.T) {
	work := map[string]float64{}
	for i := range 10 {
		work[fmt.Sprint(i)] = 30
	}
	h := newHost(t, work)
	h.m.cfg.Grow, h.quota, h.full = 400*time.Millisecond, true, true
	h.run(time.Second)
	if len(h.list) == 0 || h.m.Stuck() {
		t.Fatalf("stuck: %t with %d asked", h.m.Stuck(), len(h.list))
	}
	n := len(h.list)
	h.in.Full = true
	h.run(20 * time.Second)
	if !h.m.Stuck() || len(h.list) != n {
		t.Errorf("stuck: %t; %d are asked, before it was %d", h.m.Stuck(), len(h.list), n)
	}
	h.full, h.in.Full = false, false
	h.run(2 * time.Second)
	if h.m.Stuck() || len(h.list) < 7 {
		t.Errorf("stuck: %t with %d asked", h.m.Stuck(), len(h.list))
	}
}

// TestAgain: who was sent home by a full remote tier is asked again, soon after it has room.
func TestAgain(t *testing.T) {
	h := newHost(t, map[string]float64{"a": 60, "b": 60, "c": 10})
	h.m.cfg.Grow, h.quota = 400*time.Millisecond, true
	h.run(3 * time.Second)
	n := len(h.list)
	if n == 0 {
		t.Fatal("nobody is asked")
	}
	h.full, h.in.Full = true, true
	h.run(3 * time.Second)
	before := h.list[0].Until
	h.in.Full = false // and those who were sent home are still there
	h.run(5 * time.Second)
	if len(h.list) < n || h.list[0].Until <= before {
		t.Errorf("%v, before until %v", h.list, before)
	}
}
