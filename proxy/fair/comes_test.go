package fair

import "testing"

// TestComingAndGoing: a source of which nothing waits now and then, within its turn or between two, gets no more than its share of what
// others want, however long it stays away and whatever its items cost.
func TestComingAndGoing(t *testing.T) {
	for cost := int64(1); cost <= 40; cost++ {
		for away := range 60 {
			k := newTeam(10, []int{0, 1, 2, 3}, ones(4), ones(4))
			for i := range 3 {
				k.push(i, 2)
			}
			left := 0
			for range 2000 {
				if k.sources[3].Queued() == 0 {
					if left--; left < 0 {
						k.push(3, cost)
						left = away
					}
				}
				if x := k.serve(); x.source != 3 {
					k.push(x.source, 2)
				}
			}
			if most := max(k.used[0], k.used[1], k.used[2]); k.used[3] > most+2*10+cost {
				t.Errorf("with items of %d, away for %d of the others', it got %d and they no more than %d", cost, away, k.used[3], most)
			}
		}
	}
}
