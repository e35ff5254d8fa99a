package pressure

import (
	"cmp"
	"slices"
)

// User is one source and the work that it makes: a rate, in any unit.
type User struct {
	Key        string
	Workload   string
	Work       float64
	Calls      int64 // in flight
	Privileged bool  // is left alone until nothing else helps
	// Weight is its part among the users of its workload, WorkloadWeight that of the workload; 1 where it is less.
	Weight, WorkloadWeight int64
}

// Excess tells for each user the share of its work that is beyond its fair share, if the work of all must shrink by shed (0…1).
// What is left is shared as the queues share it: by weights, workloads first, their sources then, so that fifty sources of one workload do
// not keep fifty shares; what one does not use the others have (max-min fairness). Privileged users keep theirs while there is
// anything else to take.
func Excess(users []User, shed float64) []float64 {
	out := make([]float64, len(users))
	total, reserved := 0.0, 0.0
	byLoad := map[string]*load{}
	for i := range users {
		u := &users[i]
		total += u.Work
		if u.Privileged {
			reserved += u.Work
			continue
		}
		w := byLoad[u.Workload]
		if w == nil {
			w = &load{}
			byLoad[u.Workload] = w
		}
		w.weight = max(w.weight, weight(u.WorkloadWeight))
		w.work += u.Work
		w.users = append(w.users, i)
	}
	room := max(0, total*(1-min(max(shed, 0), 1))-reserved)
	wants := make([]want, 0, len(byLoad))
	for _, w := range byLoad {
		wants = append(wants, want{w.work, w.weight})
	}
	level := fill(wants, room)
	for _, w := range byLoad {
		share := level * w.weight
		if w.work <= share {
			continue
		}
		wants = wants[:0]
		for _, i := range w.users {
			wants = append(wants, want{users[i].Work, weight(users[i].Weight)})
		}
		each := fill(wants, share)
		for _, i := range w.users {
			if work, mine := users[i].Work, each*weight(users[i].Weight); work > mine {
				out[i] = 1 - mine/work
			}
		}
	}
	return out
}

func weight(w int64) float64 { return float64(max(w, 1)) }

type load struct {
	work, weight float64
	users        []int
}

// want is what somebody wants, and its part when there is not enough.
type want struct{ work, weight float64 }

// fill returns the level up to which each is served, times its weight, so that room is used up: max-min fairness by filling up
// from the least. It orders the wants anew.
func fill(wants []want, room float64) (level float64) {
	slices.SortFunc(wants, func(a, b want) int { return cmp.Compare(a.work*b.weight, b.work*a.weight) })
	weights := 0.0
	for _, w := range wants {
		weights += w.weight
	}
	for _, w := range wants {
		if level = room / weights; w.work > level*w.weight {
			return level
		}
		level = w.work / w.weight // if it was the last: all of them fit
		room -= w.work
		weights -= w.weight
	}
	return level
}
