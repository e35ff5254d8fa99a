package proxy

import (
	"fmt"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/registry"
)

// settings is a rules document that says this of Echo.
func settings(text string) string { return "version: 1\nservices: {Echo: {" + text + "}}\n" }

// TestEjectionByRules: what a document says of ejection is in force: of five endpoints e0 fails all calls, e1 is slow by 20 times.
func TestEjectionByRules(t *testing.T) {
	for _, c := range []struct {
		says           string
		errors, slow   string        // why e0, e1 are kept away from
		longest, short time.Duration // for how long e0 is, if it is
	}{
		{"panic: 30%", "errors", "slow", 5 * time.Minute, 5 * time.Second},
		{"ejection: off", "", "", 0, 0},
		{"ejection: {errors: off}", "", "slow", 0, 0},
		{"ejection: {slow: off, base: 1m, max: 1m}", "errors", "", time.Minute, time.Minute},
		{"ejection: {slow: 40, base: 1s, max: 2s}", "errors", "", 2 * time.Second, time.Second},
		{"ejection: {max_share: 1%}", "errors", "", 5 * time.Minute, 5 * time.Second}, // one may always be
	} {
		f := newField(t, settings(c.says), echo("round-robin", 5))
		for i := range 200 {
			f.call("say", []string{"a", "b"}[i%2])
		}
		f.behave = func(addr, _ string) (string, time.Duration) {
			switch addr {
			case "e0:1":
				return "fail", time.Millisecond
			case "e1:1":
				return "ok", 20 * time.Millisecond
			}
			return "ok", time.Millisecond
		}
		for i := range 600 {
			f.call("say", []string{"a", "b"}[i%2])
		}
		bad, slow := f.health("e0:1"), f.health("e1:1")
		if bad.Reason != c.errors || slow.Reason != c.slow {
			t.Errorf("%s: e0 %+v, e1 %+v", c.says, bad, slow)
		}
		if d := bad.Until.Sub(bad.Since); c.errors != "" && (d < c.short || d > c.longest) {
			t.Errorf("%s: kept away from for %v", c.says, d)
		}
	}
}

// TestSlowStartByRules: an endpoint that is new beside others begins with a tenth of its weight and has all of it when its time is
// over; without slow_start at once.
func TestSlowStartByRules(t *testing.T) {
	for _, balancer := range []string{"round-robin", "random", "least-active", "p2c"} {
		for says, atFirst := range map[string][2]int{"slow_start: 10s": {5, 115}, "slow_start: off": {130, 270}} {
			f := newField(t, settings(says), echo(balancer, 2))
			some := func() int {
				f.reset()
				for range 600 {
					f.call("say", "a")
				}
				return f.got["e2:1"]
			}
			some()
			s := echo(balancer, 3)
			f.serve(settings(says), &registry.Service{Name: s.Name, Balancer: s.Balancer, Timeout: s.Timeout, Mode: s.Mode, Endpoints: s.Endpoints})
			what := fmt.Sprintf("%s, %s", balancer, says)
			if n := some(); n < atFirst[0] || n > atFirst[1] {
				t.Errorf("%s: the new one has %d of the first 600 calls", what, n)
			}
			f.pass(10 * time.Second)
			if n := some(); n < 130 || n > 270 {
				t.Errorf("%s: the new one has %d of 600 calls at last", what, n)
			}
		}
	}
}
