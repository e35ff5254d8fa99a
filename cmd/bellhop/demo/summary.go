package demo

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// summary is what is left of a demo. Its JSON form is what --json prints.
type summary struct {
	Seconds     float64   `json:"seconds"`
	Calls       int64     `json:"calls"` // failed ones included
	Failed      int64     `json:"failed"`
	Local       route     `json:"local"`  // without the calls that were handed over
	Remote      route     `json:"remote"` // the same
	LongestGap  float64   `json:"longest_gap_ms"`
	KilledAt    float64   `json:"killed_at_s"`    // since the start; 0: it did not come to that
	RestartedAt float64   `json:"restarted_at_s"` // when it served again; 0: it did not come to that
	Callers     []outcome `json:"callers"`
	HandOff     handOff   `json:"hand_off"`
	Skipped     []string  `json:"skipped"` // what this machine could not show
	Interrupted bool      `json:"interrupted"`
}

// route is what went through one proxy.
type route struct {
	Calls int64   `json:"calls"`
	P50   float64 `json:"p50_ms"`
	P99   float64 `json:"p99_ms"`
}

// outcome is one caller's.
type outcome struct {
	Caller     string   `json:"caller"`
	Service    string   `json:"service"`
	Calls      int64    `json:"calls"`
	Failed     int64    `json:"failed"`
	Local      route    `json:"local"`
	Remote     route    `json:"remote"`
	LongestGap float64  `json:"longest_gap_ms"` // between two answers
	GapAt      float64  `json:"longest_gap_at_s"`
	BackAfter  float64  `json:"back_after_s"` // since the local proxy served again; 0: not seen
	Errors     []string `json:"errors"`
}

// handOff is about the service that only the remote proxy knows.
type handOff struct {
	Service  string  `json:"service"`
	Handed   int64   `json:"handed_over"` // by the local proxy
	Straight int64   `json:"straight"`    // by the caller, while there was no local proxy
	Failed   int64   `json:"failed"`
	P50      float64 `json:"p50_ms"` // of those handed over
	P99      float64 `json:"p99_ms"`
}

// events are the moments of a demo; the zero time: it did not come to that.
type events struct{ start, kill, back, end time.Time }

func (e events) since(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return round(t.Sub(e.start).Seconds())
}

func round(f float64) float64 { return float64(int64(f*1000+0.5)) / 1000 }

// summarize adds the records up. far is the record of the service that is handed over.
func summarize(records []*record, far *record, e events) *summary {
	s := &summary{Seconds: e.since(e.end), KilledAt: e.since(e.kill), RestartedAt: e.since(e.back), Skipped: []string{}}
	var all [vias]*hdrhistogram.Histogram
	for v := range vias {
		all[v] = newHistogram()
	}
	for _, r := range records {
		o := r.outcome(e)
		s.Callers = append(s.Callers, o)
		s.Calls += o.Calls
		s.Failed += o.Failed
		if r == far { // called now and then: its pauses are no gaps
			s.HandOff = handOff{far.service, o.Local.Calls, o.Remote.Calls, o.Failed, o.Local.P50, o.Local.P99}
			continue
		}
		s.LongestGap = max(s.LongestGap, o.LongestGap)
		r.mu.Lock()
		for v := range vias {
			all[v].Merge(r.total[v])
		}
		r.mu.Unlock()
	}
	s.Local, s.Remote = newRoute(all[local]), newRoute(all[remote])
	return s
}

func newRoute(h *hdrhistogram.Histogram) route {
	p50, p99 := quantiles(h)
	return route{h.TotalCount(), inMS(p50), inMS(p99)}
}

func (r *record) outcome(e events) outcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := outcome{
		Caller: r.caller, Service: r.service, Failed: r.failed, Local: newRoute(r.total[local]), Remote: newRoute(r.total[remote]),
		LongestGap: round(inMS(r.gap)), GapAt: e.since(r.gapAt), Errors: append([]string{}, r.errors...),
	}
	if !r.backAt.IsZero() && !e.back.IsZero() {
		o.BackAfter = round(r.backAt.Sub(e.back).Seconds())
	}
	o.Calls = o.Local.Calls + o.Remote.Calls + o.Failed
	return o
}

// verdict is nil when the demo showed what it is there to show.
func (s *summary) verdict() error {
	var errs []error
	if s.Interrupted {
		errs = append(errs, fmt.Errorf("interrupted after %.1f s", s.Seconds))
	}
	if s.Failed > 0 {
		errs = append(errs, fmt.Errorf("%d of %d calls failed, and none should have", s.Failed, s.Calls))
	}
	if s.Interrupted {
		return errors.Join(errs...)
	}
	for _, o := range s.Callers {
		if o.Local.Calls == 0 || o.Remote.Calls == 0 {
			errs = append(errs, fmt.Errorf("%s → %s: %d calls through the local proxy and %d through the remote one: both should have been used",
				o.Caller, o.Service, o.Local.Calls, o.Remote.Calls))
		}
	}
	return errors.Join(errs...)
}

// String is the summary for a person.
func (s *summary) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nsummary after %.1f s\n", s.Seconds)
	fmt.Fprintf(&b, "  %-23s %6s %6s  %-24s  %-24s  %-19s %7s\n", "", "", "", "through the local proxy", "through the remote proxy", "longest gap", "back on")
	fmt.Fprintf(&b, "  %-23s %6s %6s  %6s %7s %9s  %6s %7s %9s  %-19s %7s\n", "caller → service", "calls", "failed",
		"calls", "p50", "p99 ms", "calls", "p50", "p99 ms", "ms", "local")
	for _, o := range s.Callers {
		back := "-"
		if o.BackAfter > 0 {
			back = fmt.Sprintf("+%.1f s", o.BackAfter)
		}
		gap := fmt.Sprintf("%.0f at %.1f s", o.LongestGap, o.GapAt)
		fmt.Fprintf(&b, "  %-23s %6d %6d  %s  %s  %-19s %7s\n", o.Caller+" → "+o.Service, o.Calls, o.Failed, o.Local, o.Remote, gap, back)
	}
	fmt.Fprintf(&b, "  %-23s %6d %6d  %s  %s  %.0f\n", "all*", s.Calls, s.Failed, s.Local, s.Remote, s.LongestGap)
	h := s.HandOff
	fmt.Fprintf(&b, "  * proxies' columns without %s, which only the remote proxy knows: the local proxy handed %d calls over (p50 %.2f ms),\n"+
		"    %d went straight to the remote one while there was no local one, %d failed\n", h.Service, h.Handed, h.P50, h.Straight, h.Failed)
	for _, o := range s.Callers {
		for _, e := range o.Errors {
			fmt.Fprintf(&b, "  failed: %s → %s: %s\n", o.Caller, o.Service, e)
		}
	}
	for _, why := range s.Skipped {
		fmt.Fprintf(&b, "  %s\n", why)
	}
	return b.String()
}

// String is the route's columns.
func (r route) String() string { return fmt.Sprintf("%6d %7.2f %9.2f", r.Calls, r.P50, r.P99) }
