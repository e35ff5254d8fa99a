package pressure

import "slices"

// User is one source and the work that it makes: a rate, in any unit.
type User struct {
	Key        string
	Workload   string
	Work       float64
	Calls      int64 // in flight
	Privileged bool  // is left alone until nothing else helps
}

// Excess tells for each user the share of its work that is beyond its fair share, if the work of all must shrink by shed (0…1).
// What is left is shared as the queues share it: workloads first, their sources then, so that fifty sources of one workload do
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
		w.work += u.Work
		w.users = append(w.users, i)
	}
	room := max(0, total*(1-min(max(shed, 0), 1))-reserved)
	works := make([]float64, 0, len(byLoad))
	for _, w := range byLoad {
		works = append(works, w.work)
	}
	share := fill(works, room)
	for _, w := range byLoad {
		if w.work <= share {
			continue
		}
		works = works[:0]
		for _, i := range w.users {
			works = append(works, users[i].Work)
		}
		each := fill(works, share)
		for _, i := range w.users {
			if work := users[i].Work; work > each {
				out[i] = 1 - each/work
			}
		}
	}
	return out
}

type load struct {
	work  float64
	users []int
}

// fill returns the level up to which each of works is served so that room is used up: max-min fairness by filling up from the
// least. It orders works anew.
func fill(works []float64, room float64) float64 {
	slices.Sort(works)
	for i, w := range works {
		if level := room / float64(len(works)-i); w > level {
			return level
		}
		room -= w
	}
	if len(works) == 0 {
		return 0
	}
	return works[len(works)-1] // all of them fit
}
