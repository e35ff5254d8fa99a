package pressure

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// TestExcess: nothing without need; else exactly what is needed, of those above their share only.
func TestExcess(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		users := make([]User, 1+r.IntN(20))
		total, privileged := 0.0, 0.0
		for i := range users {
			users[i] = User{Key: string(rune('a' + i)), Workload: string(rune('A' + r.IntN(4))), Work: r.ExpFloat64(), Privileged: r.IntN(8) == 0, Weight: r.Int64N(5), WorkloadWeight: r.Int64N(5)}
			total += users[i].Work
			if users[i].Privileged {
				privileged += users[i].Work
			}
		}
		shed := r.Float64()
		out, left := Excess(users, shed), 0.0
		for i, x := range out {
			if x < 0 || x > 1 || users[i].Privileged && x != 0 {
				t.Fatalf("seed %d: %v gets %v", seed, users[i], x)
			}
			left += users[i].Work * (1 - x)
		}
		if want := max(total*(1-shed), privileged); math.Abs(left-want) > 1e-9*total {
			t.Fatalf("seed %d: %.4f of %.4f is left, want %.4f", seed, left, total, want)
		}
		for _, x := range Excess(users, 0) {
			if x > 1e-9 {
				t.Fatalf("seed %d: excess %v without need", seed, x)
			}
		}
	}
}

// TestExcessOfWorkloads: fifty sources of one workload do not keep fifty shares.
func TestExcessOfWorkloads(t *testing.T) {
	users := []User{{Key: "one", Workload: "B", Work: 10}}
	for range 50 {
		users = append(users, User{Key: "many", Workload: "A", Work: 2})
	}
	out := Excess(users, 0.5)
	if out[0] != 0 {
		t.Errorf("the one loses %.2f of its work", out[0])
	}
	if want := 1 - 45.0/100; math.Abs(out[1]-want) > 1e-9 {
		t.Errorf("each of the fifty loses %.3f, want %.3f", out[1], want)
	}
}

// TestExcessByWeights: what is left is shared by weights; who wants less than its part keeps all.
func TestExcessByWeights(t *testing.T) {
	users := []User{
		{Key: "light", Workload: "A", Work: 40},
		{Key: "middle", Workload: "B", Work: 30, WorkloadWeight: 2},
		{Key: "heavy", Workload: "C", Work: 35, WorkloadWeight: 4},
		{Key: "modest", Workload: "D", Work: 5},
		{Key: "small", Workload: "E", Work: 20, WorkloadWeight: 2},
		{Key: "big", Workload: "E", Work: 20, Weight: 3, WorkloadWeight: 2},
	}
	out := Excess(users, 0.5) // 75 of 150 are left: 5 for the modest, 70 in nine parts
	for i, want := range []float64{70. / 9, 140. / 9, 280. / 9, 5, 35. / 9, 105. / 9} {
		if left := users[i].Work * (1 - out[i]); math.Abs(left-want) > 1e-9 {
			t.Errorf("%s keeps %.3f, want %.3f", users[i].Key, left, want)
		}
	}
}

// TestCapacity: it settles where there is no congestion, stays within its bounds and comes back when nothing is asked.
func TestCapacity(t *testing.T) {
	c := NewCapacity(16, 10000)
	now := time.Duration(0)
	inFlight := 900
	for range 600 { // more than 200 in flight is congestion
		now += 100 * time.Millisecond
		cap := c.Observe(now, inFlight > 200, int64(inFlight))
		if cap < 16 || cap > 10000 {
			t.Fatalf("%d", cap)
		}
		inFlight = min(900, cap)
	}
	if !c.Limited() || inFlight < 150 || inFlight > 240 {
		t.Errorf("settled at %d", inFlight)
	}
	for range 1200 {
		now += 100 * time.Millisecond
		c.Observe(now, false, 0)
	}
	if c.Limited() {
		t.Error("still limited after two calm minutes")
	}
}

// TestCapacityComesBack: a moment of congestion costs a moment: what was carried before it is carried again within a second.
func TestCapacityComesBack(t *testing.T) {
	c, now := NewCapacity(16, 16384), time.Duration(0)
	look := func(congested bool, inFlight int64) (n int) {
		now += lookEvery
		return c.Observe(now, congested, inFlight)
	}
	for range 20 {
		look(false, 400)
	}
	for range 10 { // callers that are refused go away: what is in flight says less and less
		look(true, 40)
	}
	if n := look(true, 10); n > 400 || n < 100 {
		t.Fatalf("after a second of congestion it takes %d", n)
	}
	for range 9 {
		look(false, 40)
	}
	if n := look(false, 40); n < 200 {
		t.Errorf("a second later it takes %d, and carried 400", n)
	}
}
