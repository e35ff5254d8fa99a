package cluster

import (
	"fmt"
	"testing"

	"github.com/bellhop-mesh/bellhop/proxy/govern"
)

// TestCrowded: more is seen than the table has room for, so that what was seen of all endpoints makes room while streaks of
// single ones stay. What fails everywhere is held against none of them all the same.
func TestCrowded(t *testing.T) {
	w := newWorld(t, service("", make([]int, 40)...))
	w.ejected = map[Reason]int{}
	all := w.c.Endpoints()
	for i := range 400_000 {
		w.now += 1e5
		class := govern.ClassOK
		if i > 100_000 {
			class = govern.ClassFailed
		}
		w.end(all[i%3], "w", "m", class, 1e6)
		w.end(all[i%40], fmt.Sprint("w", i%23), fmt.Sprint("m", i%13), govern.ClassOK, 1e6)
	}
	if n := w.ejected[ReasonErrors] + w.ejected[ReasonSlow]; n != 0 {
		t.Errorf("%d ejections; every endpoint fails the same", n)
	}
}
