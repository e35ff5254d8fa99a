package demo

import (
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// via is the proxy that a call was answered through.
type via int

const (
	local via = iota
	remote
	vias // how many there are
)

func (v via) String() string { return [...]string{"local", "remote"}[v] }

// maxErrors is how many different errors of a caller are kept.
const maxErrors = 5

// record is what is known of one caller's calls. Safe for concurrent use.
type record struct {
	caller, service string

	mu     sync.Mutex
	total  [vias]*hdrhistogram.Histogram // microseconds, of calls that were answered
	window [vias]*hdrhistogram.Histogram // the same, since the last cut
	failed int64
	errors []string
	lastOK time.Time
	last   via
	gap    time.Duration // the longest time between two answers
	gapAt  time.Time     // when it ended
	backAt time.Time     // when an answer first came through the local proxy again
}

func newRecord(caller, service string) *record {
	r := &record{caller: caller, service: service}
	for v := range vias {
		r.total[v], r.window[v] = newHistogram(), newHistogram()
	}
	return r
}

// newHistogram holds 1 µs to 1 minute with three digits.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, int64(time.Minute/time.Microsecond), 3)
}

// answered notes a call that took d and was answered at the time at.
func (r *record) answered(v via, d time.Duration, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.since(at)
	r.lastOK = at
	r.note(v, d, at)
}

// since notes the time since the last answer.
func (r *record) since(at time.Time) {
	if !r.lastOK.IsZero() {
		r.silent(at.Sub(r.lastOK), at)
	}
}

func (r *record) silent(d time.Duration, at time.Time) {
	if d > r.gap {
		r.gap, r.gapAt = d, at
	}
}

func (r *record) note(v via, d time.Duration, at time.Time) {
	us := min(max(d.Microseconds(), 1), r.total[v].HighestTrackableValue())
	_, _ = r.total[v].RecordValue(us), r.window[v].RecordValue(us) // within their bounds
	if v == local && r.last == remote {
		r.backAt = at
	}
	r.last = v
}

// batch notes calls that another process has counted: microseconds by proxy, and the longest gap it saw.
func (r *record) batch(b batch, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, us := range b.Remote {
		r.note(remote, time.Duration(us)*time.Microsecond, at)
	}
	for _, us := range b.Local { // a batch with both is rare; whichever order, the next one says where calls go
		r.note(local, time.Duration(us)*time.Microsecond, at)
	}
	r.silent(time.Duration(b.Gap)*time.Microsecond, at)
	for _, e := range b.Failed {
		r.fail(e)
	}
}

// lost notes a call that failed.
func (r *record) lost(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail(err.Error())
}

func (r *record) fail(text string) {
	r.failed++
	if len(r.errors) < maxErrors && !slices.Contains(r.errors, text) {
		r.errors = append(r.errors, text)
	}
}

// finished closes the last gap: calls that never came back are a gap too.
func (r *record) finished(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.since(at)
}

// row is a caller in the table, over the last second.
type row struct {
	caller, service string
	rate            float64
	via             string
	failed          int64
	p50, p99        time.Duration
}

// cut ends a window of length d and returns what was in it. failed counts from the start: a failure does not scroll away.
func (r *record) cut(d time.Duration) row {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := row{caller: r.caller, service: r.service, failed: r.failed, via: "-"}
	l, m := r.window[local].TotalCount(), r.window[remote].TotalCount()
	switch {
	case l > 0 && m > 0:
		out.via = "both"
	case l > 0:
		out.via = local.String()
	case m > 0:
		out.via = remote.String()
	}
	r.window[local].Merge(r.window[remote])
	out.rate = float64(l+m) / d.Seconds()
	out.p50, out.p99 = quantiles(r.window[local])
	for _, h := range r.window {
		h.Reset()
	}
	return out
}

func quantiles(h *hdrhistogram.Histogram) (p50, p99 time.Duration) {
	return time.Duration(h.ValueAtQuantile(50)) * time.Microsecond, time.Duration(h.ValueAtQuantile(99)) * time.Microsecond
}
