package pressure

import "testing"

// TestRoom: some refusals are no full tier, many are; it is forgotten when nothing is tried.
func TestRoom(t *testing.T) {
	var r Room
	look := func(n int, served, refused int64) (full bool) {
		for range n {
			full = r.Observe(served, refused)
		}
		return full
	}
	if look(50, 9, 1) {
		t.Error("full at a tenth refused")
	}
	if look(1, 0, 5) || !look(2, 0, 5) {
		t.Error("want it full after three looks at nothing but refusals")
	}
	if !look(1, 3, 2) || !look(20, 0, 0) {
		t.Error("it does not stay full for a moment")
	}
	if look(8, 1, 0) {
		t.Error("still full though all is served")
	}
	look(5, 0, 1)
	if look(roomForget, 0, 0) {
		t.Error("still full though nothing was tried for long")
	}
}
