package proxy

import (
	"fmt"
	"testing"
)

// TestLongRoundIsWrittenInParts: what the first events of a long poll round brought is written before the last have been handled;
// what few bring is written once.
func TestLongRoundIsWrittenInParts(t *testing.T) {
	k := newCrowd(t, nil)
	k.join(Identity{Source: "a"}, 3*flushEvery+3, 10)
	k.up.taken()
	writes := k.w.stats.writes
	var at []int // after how many events something was written; while no more than two calls are under way, after each
	for i, m := range k.callers {
		m.call()
		if n := k.w.stats.writes; n != writes {
			writes = n
			at = append(at, i+1)
		}
	}
	if fmt.Sprint(at) != fmt.Sprint([]int{1, 2, flushEvery + 3, 2*flushEvery + 3, 3*flushEvery + 3}) {
		t.Errorf("something was written after %v events", at)
	}
	k.settle()
	if n := frames(k.up.taken(), 1); n != len(k.callers) {
		t.Errorf("%d of %d calls were sent", n, len(k.callers))
	}
}
