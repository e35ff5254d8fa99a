package client

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// table is a rule on a clock that the test moves, with the real times.
type table struct {
	t        *testing.T
	now      time.Duration
	r        *rule
	v        view
	switches []string
}

func newTable(t *testing.T, remotes int) *table {
	tb := &table{t: t, now: time.Hour}
	tb.v = view{known: true, local: []endpoint{{"unix", "L"}}}
	for i := range remotes {
		tb.v.remote = append(tb.v.remote, endpoint{"tcp", fmt.Sprint("R", i)})
	}
	tb.r = &rule{tune: standard, jitter: func() float64 { return 0.5 }, onSwitch: func(to tier, why string) {
		tb.switches = append(tb.switches, to.String()+": "+why)
	}}
	return tb
}

// plan is the order of targets: a ? for the heartbeat first.
func (tb *table) plan() string {
	var out []string
	for _, x := range tb.r.plan(tb.now, tb.v) {
		s := x.address
		if x.check {
			s += "?"
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func (tb *table) want(what, plan string) {
	tb.t.Helper()
	if got := tb.plan(); got != plan {
		tb.t.Errorf("%s: %s, want %s", what, got, plan)
	}
}

// home probes every 100 ms, healthy each time, and tells how long it took to be home.
func (tb *table) home() time.Duration {
	tb.t.Helper()
	for start := tb.now; ; tb.now += 100 * time.Millisecond {
		if tb.r.probed(tb.now, true) {
			return tb.now - start
		}
		if tb.now-start > time.Hour {
			tb.t.Fatal("never home")
		}
	}
}

func TestOrder(t *testing.T) {
	tb := newTable(t, 2)
	tb.want("at first", "L R0 R1 L?")
	tb.r.localDoubted()
	tb.want("doubted", "L? R0 R1 L?")
	tb.r.localEchoed()
	tb.want("echoed", "L R0 R1 L?")
	tb.r.localRefused(tb.now, "refused")
	tb.want("refused", "R0 R1 L?")
	tb.r.localEchoed()
	tb.want("an echo is not yet a return", "R0 R1 L?")
	tb.home()
	tb.want("home", "L R0 R1 L?")
}

func TestFileSaysLeave(t *testing.T) {
	for why, set := range map[string]func(*view){
		"draining":    func(v *view) { v.draining = true },
		"down":        func(v *view) { v.down = true },
		"moved":       func(v *view) { v.moved = true },
		"stale lease": func(v *view) { v.stale = true },
	} {
		tb := newTable(t, 1)
		set(&tb.v)
		tb.want(why, "R0 L?")
		tb.plan()
		if got := strings.Join(tb.switches, ", "); got != "remote: "+why {
			t.Errorf("switches: %s, want one, for %s", got, why)
		}
	}
}

func TestNoRemote(t *testing.T) {
	tb := newTable(t, 0)
	tb.want("no remote tier", "L L?")
	tb.v.stale = true
	tb.want("and a stale lease", "L?")
}

func TestFixedOnlyWithoutAFile(t *testing.T) {
	tb := newTable(t, 1)
	tb.v.fixed = []endpoint{{"tcp", "F"}}
	tb.want("with a file", "L R0 L?")
	tb.v.known = false
	tb.want("without", "F")
	tb.v.fixed = nil
	tb.want("nothing", "")
}

func TestStartOfTheRemotes(t *testing.T) {
	for start, want := range map[uint32]string{
		0: "L R0 R1 R2 R3 R4 R5 L?", 1: "L R1 R2 R3 R0 R4 R5 L?", 6: "L R2 R3 R0 R1 R4 R5 L?", 3: "L R3 R0 R1 R2 R4 R5 L?",
	} {
		tb := newTable(t, 6)
		tb.r.start = start
		tb.want(fmt.Sprint("hash ", start), want)
	}
	tb := newTable(t, 2)
	tb.r.start = 7
	tb.want("fewer than four", "L R1 R0 L?")
}

func TestBackoff(t *testing.T) {
	tb := newTable(t, 2)
	r0, r1 := tb.v.remote[0], tb.v.remote[1]
	tb.r.localRefused(tb.now, "refused")
	// With a jitter in the middle: 100 ms, 200, 400 … 5 s.
	for _, step := range []time.Duration{100, 200, 400, 800, 1600, 3200, 5000, 5000} {
		tb.r.remoteRefused(tb.now, r0)
		tb.now += step*time.Millisecond - 1
		tb.want("within the back-off", "R1 L?")
		tb.now++
		tb.want("after it", "R0 R1 L?")
	}
	tb.r.remoteRefused(tb.now, r0)
	tb.r.remoteRefused(tb.now, r1)
	tb.want("all of them: the first one to come out, as the last resort", "L? R1")
	tb.r.remoteTook(r1)
	tb.want("taken", "R1 L?")
	tb.r.forget(tb.v.remote[1:])
	tb.want("forgotten with the list", "R0 R1 L?")
}

func TestBackoffIsJittered(t *testing.T) {
	tb := newTable(t, 1)
	for _, c := range []struct {
		jitter float64
		wait   time.Duration
	}{{0, 50 * time.Millisecond}, {0.999999, 149 * time.Millisecond}} {
		tb.r.backoff = nil
		tb.r.jitter = func() float64 { return c.jitter }
		tb.r.remoteRefused(tb.now, tb.v.remote[0])
		got := (tb.r.backoff[tb.v.remote[0]].until - tb.now).Truncate(time.Millisecond)
		if got != c.wait {
			t.Errorf("jitter %v: %v, want %v", c.jitter, got, c.wait)
		}
	}
}

func TestReturnTakesASecondOfHealthyProbes(t *testing.T) {
	tb := newTable(t, 1)
	tb.r.localRefused(tb.now, "refused")
	for range 100 { // down for long: that alone makes nobody wait longer
		tb.now += time.Second
		tb.r.probed(tb.now, false)
	}
	if got := tb.home(); got != time.Second {
		t.Errorf("home after %v, want 1s", got)
	}
	if got := strings.Join(tb.switches, ", "); got != "remote: refused, local: healthy again" {
		t.Errorf("switches: %s", got)
	}
}

func TestFlappingDoublesToAMinute(t *testing.T) {
	tb := newTable(t, 1)
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		tb.r.localRefused(tb.now, "refused")
		if got := tb.home(); got != want*time.Second {
			t.Errorf("return %d: after %v, want %v", i+1, got, want*time.Second)
		}
		tb.now += 10 * time.Second // and it fails again soon
	}
	tb.now += time.Minute
	tb.r.localRefused(tb.now, "refused")
	if got := tb.home(); got != time.Second {
		t.Errorf("after a steady minute: %v, want 1s", got)
	}
}

func TestBrokenStreakDoubles(t *testing.T) {
	tb := newTable(t, 1)
	tb.r.localRefused(tb.now, "refused")
	tb.r.probed(tb.now, true)
	tb.now += 900 * time.Millisecond
	tb.r.probed(tb.now, true)
	tb.r.probed(tb.now, false)
	if got := tb.home(); got != 2*time.Second {
		t.Errorf("home after %v, want 2s", got)
	}
}

func TestOrderlyRestartsDoNotDouble(t *testing.T) {
	tb := newTable(t, 1)
	for range 3 {
		tb.v.draining = true
		tb.plan()
		tb.v.draining = false
		if got := tb.home(); got != time.Second {
			t.Errorf("home after %v, want 1s", got)
		}
	}
}

func TestProbesDoNotCountWhileTheFileForbids(t *testing.T) {
	tb := newTable(t, 1)
	tb.r.localRefused(tb.now, "refused")
	tb.r.probed(tb.now, true)
	tb.now += 900 * time.Millisecond
	tb.v.draining = true
	tb.plan()
	tb.v.draining = false
	if got := tb.home(); got != time.Second {
		t.Errorf("home after %v, want the second from its beginning", got)
	}
}
