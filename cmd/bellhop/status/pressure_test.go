package status

import (
	"strings"
	"testing"

	"github.com/bellhop-mesh/bellhop/cmd/bellhop/admin"
	"github.com/bellhop-mesh/bellhop/proxy"
)

// TestPressure: what presses, what is done about it, who is asked to move; not a word while nothing presses and nothing was done.
func TestPressure(t *testing.T) {
	var b strings.Builder
	s := &admin.Status{Measures: map[string]uint64{"refused": 0}}
	if pressed(&b, s); b.Len() > 0 {
		t.Errorf("said %q", b.String())
	}
	s.Pressure = proxy.Pressure{
		Level: "ask_to_move", Number: 4, Reason: "cpu", Pressure: 0.75, SinceS: 61, Measured: map[string]float64{"cpu": 0.95}, Next: "wait",
		Moved: map[string]float64{"a": 1, "b": 1, "c": 1, "d": 1, "e": 1, "f": 1, "g": 1}, ToRemoteS: 90,
	}
	s.Measures["handed_over"] = 7
	pressed(&b, s)
	for _, want := range []string{
		"DRAINED TO THE REMOTE TIER for 1m30s more; bellhop drain --cancel ends it\n",
		"UNDER PRESSURE: ask_to_move for 1m1s, because of cpu (0.95 measured, pressure 0.75); wait\n",
		"asked to use the remote tier: a, b, c, d, e and 2 more\n",
		"to protect itself since the start: calls (handed_over 7)\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("does not say %q:\n%s", want, b.String())
		}
	}
}
