package demo

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/client"
)

// A caller that goes away and comes back, told in seconds since the start.
func TestRecordAndSummary(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	e := events{start: start, kill: at(5), back: at(6), end: at(10)}

	near := newRecord("Go", greeterService)
	near.answered(local, time.Millisecond, at(4.9))
	near.answered(remote, 3*time.Millisecond, at(5.2))
	if got := near.cut(time.Second); got.via != "both" || got.rate != 2 || got.p50 != time.Millisecond || got.p99.Round(100*time.Microsecond) != 3*time.Millisecond {
		t.Errorf("the first window is %+v", got)
	}
	near.answered(remote, 3*time.Millisecond, at(6.5))
	near.answered(local, time.Millisecond, at(7.5))
	near.finished(at(8))
	if got := near.cut(500 * time.Millisecond); got.via != "both" || got.rate != 4 {
		t.Errorf("the second window is %+v", got)
	}
	if got := near.cut(time.Second); got.via != "-" || got.rate != 0 || got.p99 != 0 {
		t.Errorf("the third window is %+v", got)
	}

	far := newRecord("Go", farawayService)
	far.batch(batch{Local: []int64{9000, 9000}, Remote: []int64{100}, Gap: 5_000_000}, at(9))

	s := summarize([]*record{near, far}, far, e)
	if s.Calls != 7 || s.Failed != 0 || s.Local.Calls != 2 || s.Local.P50 != 1 || s.Remote.Calls != 2 || s.LongestGap != 1300 ||
		s.KilledAt != 5 || s.RestartedAt != 6 || s.Seconds != 10 {
		t.Errorf("the summary is %+v", s)
	}
	if o := s.Callers[0]; o.LongestGap != 1300 || o.GapAt != 6.5 || o.BackAfter != 1.5 {
		t.Errorf("the caller is %+v", o)
	}
	if h := s.HandOff; h.Handed != 2 || h.Straight != 1 || h.P50 < 8.9 || h.P50 > 9.1 {
		t.Errorf("the hand-off is %+v", h)
	}
	if err := s.verdict(); err != nil {
		t.Error(err)
	}
}

func TestVerdict(t *testing.T) {
	good := outcome{Caller: "Go", Service: greeterService, Local: route{Calls: 1}, Remote: route{Calls: 1}}
	for want, s := range map[string]*summary{
		"2 of 9 calls failed":      {Calls: 9, Failed: 2, Callers: []outcome{good}},
		"interrupted after 3.0 s":  {Seconds: 3, Interrupted: true, Callers: []outcome{{}}},
		"1 calls through the loca": {Callers: []outcome{good, {Local: route{Calls: 1}}}},
	} {
		if err := s.verdict(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// Failures are all counted and kept once each, up to a bound.
func TestRecordFailures(t *testing.T) {
	r := newRecord("Go", greeterService)
	for i := range 3 * maxErrors {
		r.lost(errors.New(strings.Repeat("x", i/2)))
	}
	r.batch(batch{Failed: []string{"x", "y"}}, time.Now())
	if o := r.outcome(events{}); o.Failed != 3*maxErrors+2 || o.Calls != o.Failed || len(o.Errors) != maxErrors {
		t.Errorf("%+v", o)
	}
}

func TestTaken(t *testing.T) {
	for _, c := range []struct {
		l, r int64
		away bool
		want via
	}{
		{1, 0, false, local},
		{1, 0, true, local},
		{0, 1, true, remote},
		{0, 1, false, remote},
		{1, 1, true, remote}, // lost on the way through the local one, sent again
		{1, 1, false, local}, // the remote one refused, and the local one is back
	} {
		before := client.Stats{Local: 7, Remote: 9}
		if got := taken(before, client.Stats{Local: 7 + c.l, Remote: 9 + c.r, Away: c.away}); got != c.want {
			t.Errorf("%+v: got %v", c, got)
		}
	}
}
