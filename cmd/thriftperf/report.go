package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// results are what a load counts while it is measured.
type results struct {
	calls      int64
	begun      int64                   // calls written
	by         [2]int64                // calls by tier
	again      int64                   // calls that one tier did not execute and the other was asked
	after      *hdrhistogram.Histogram // how long failed replies took
	local      *hdrhistogram.Histogram // latency of what the local tier answered
	early      map[string]int64        // failed in the warm-up, by kind
	failed     map[string]int64        // by kind
	first      map[string]string
	reconnects int64
	notStarted int64
	elapsed    time.Duration
	self       time.Duration   // CPU
	procs      []time.Duration // CPU of --cpu-of
	err        error
}

// fail counts n failed calls of a kind and remembers what the first of the kind was.
func (r *results) fail(kind string, err error, n int64) {
	if r.first == nil {
		r.first = map[string]string{}
	}
	if _, ok := r.first[kind]; !ok {
		r.first[kind] = err.Error()
	}
	r.failed[kind] += n
}

// report is the printed form; units are in the names.
type report struct {
	Target         string            `json:"target"`
	Framing        string            `json:"framing"`
	Connections    int               `json:"connections"`
	Depth          int               `json:"depth"`
	Size           int               `json:"size_bytes"`
	PerCall        bool              `json:"connection_per_call,omitempty"`
	Rate           float64           `json:"rate_per_second,omitempty"`
	Seconds        float64           `json:"seconds"`
	Calls          int64             `json:"calls"`
	CallsPerSecond float64           `json:"calls_per_second"`
	Failed         map[string]int64  `json:"failed"`
	FirstError     map[string]string `json:"first_error,omitempty"`
	Reconnects     int64             `json:"reconnects"`
	Begun          int64             `json:"begun"`                 // calls written, those of the warm-up too
	NotStarted     int64             `json:"not_started,omitempty"` // open loop: due, and no slot was free until the end
	Latency        latency           `json:"latency_us"`
	Histogram      string            `json:"histogram"`                  // of the latency in µs, as HdrHistogram encodes it (V2, compressed, base64)
	LocalHistogram string            `json:"local_histogram,omitempty"`  // with --address-file: of the calls that the local tier answered
	FailHistogram  string            `json:"failed_histogram,omitempty"` // of replies that were exceptions
	Early          map[string]int64  `json:"failed_in_warmup,omitempty"`
	FailedLatency  *latency          `json:"failed_latency_us,omitempty"` // of replies that were exceptions
	Remote         int64             `json:"remote_calls,omitempty"`      // of the calls, those that the remote tier answered
	Again          int64             `json:"sent_again,omitempty"`        // not executed by one tier, sent once more to the other
	Phases         []phaseReport     `json:"phases,omitempty"`
	CPU            usage             `json:"cpu"`
	Processes      []usage           `json:"processes,omitempty"`
}

type latency struct {
	Mean float64 `json:"mean"`
	P50  int64   `json:"p50"`
	P90  int64   `json:"p90"`
	P99  int64   `json:"p99"`
	P999 int64   `json:"p999"`
	Max  int64   `json:"max"`
}

// usage is the CPU time of a process in the measured time.
type usage struct {
	PID       int     `json:"pid"`
	PerCallUS float64 `json:"us_per_call"`
	Cores     float64 `json:"cores"`
}

func runLoad(ctx context.Context, o loadOptions, out, progress io.Writer) error {
	g, err := newGenerator(o)
	if err != nil {
		return err
	}
	onTick := func() {}
	if f, ok := progress.(*os.File); ok && !o.json && term.IsTerminal(int(f.Fd())) {
		onTick = g.progress(f)
	}
	if err := g.run(ctx, onTick); err != nil {
		return err
	}
	r := g.report()
	if o.json {
		err = json.NewEncoder(out).Encode(r)
	} else {
		r.print(out)
	}
	if len(r.Failed) > 0 {
		err = errors.Join(err, fmt.Errorf("calls failed: %v", r.Failed))
	}
	return err
}

// progress returns a function that keeps one line of a terminal up to date.
func (g *generator) progress(w io.Writer) func() {
	last, before := g.now(), int64(0)
	return func() {
		now := g.now()
		if now-last < time.Second || !g.measured {
			return
		}
		_, _ = fmt.Fprintf(w, "\r\033[K%3.0f s  %9.0f calls/s  p99 %6d µs  in flight %d  failed %v",
			(now - g.begin).Seconds(), float64(g.res.calls-before)/(now-last).Seconds(), g.hist.ValueAtQuantile(99), g.inFlight, g.res.failed)
		last, before = now, g.res.calls
		if g.stopped {
			_, _ = fmt.Fprintln(w)
		}
	}
}

func (g *generator) startMeasuring(now time.Duration) {
	g.measured = true
	if g.o.phases {
		g.phases.next(now)
	}
	g.res.elapsed = -now
	g.res.self = -selfCPU()
	for _, pid := range g.o.cpuOf {
		d, err := processCPU(pid)
		g.res.err = errors.Join(g.res.err, err)
		g.res.procs = append(g.res.procs, -d)
	}
}

func (g *generator) stopMeasuring(now time.Duration) {
	g.pace() // what is due by now begins
	g.stopped = true
	if !g.measured { // ended while it warmed up
		g.res.err = errors.New("ended before anything was measured")
		return
	}
	g.res.elapsed += now
	g.ended = now
	if g.o.rate != 0 {
		g.res.notStarted = g.arrive.missed(now - g.begin)
	}
	g.res.self += selfCPU()
	for i, pid := range g.o.cpuOf {
		d, err := processCPU(pid)
		g.res.err = errors.Join(g.res.err, err)
		g.res.procs[i] += d
	}
}

func selfCPU() time.Duration {
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		return 0
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// processCPU reads the CPU clock of a process, all its threads, ended ones too: in nanoseconds, where /proc/PID/stat has
// ticks of 10 ms. The clock's number is what clock_getcpuclockid(3) makes of a pid.
func processCPU(pid int) (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|cpuclockSched), &ts); err != nil {
		return 0, fmt.Errorf("CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// cpuclockSched is the kernel's CPUCLOCK_SCHED: what the scheduler has counted.
const cpuclockSched = 2

func (g *generator) report() *report {
	o, seconds := g.o, g.res.elapsed.Seconds()
	r := &report{
		Target: g.target.String(), Framing: o.framing, Connections: o.connections, Depth: o.depth, Size: o.size, PerCall: o.perCall, Rate: o.rate,
		Seconds: seconds, Calls: g.res.calls, CallsPerSecond: float64(g.res.calls) / seconds,
		Failed: g.res.failed, FirstError: g.res.first, Reconnects: g.res.reconnects, NotStarted: g.res.notStarted, Latency: quantiles(g.hist),
	}
	r.Begun = g.res.begun
	r.Remote, r.Again = g.res.by[remoteTier], g.res.again
	if g.res.after.TotalCount() > 0 {
		q := quantiles(g.res.after)
		r.FailedLatency, r.FailHistogram = &q, encoded(g.res.after)
	}
	r.Histogram, r.Early = encoded(g.hist), g.res.early
	if g.tier != nil {
		r.LocalHistogram = encoded(g.res.local)
	}
	r.Phases = g.phases.report(g.ended)
	of := func(pid int, d time.Duration) usage {
		return usage{PID: pid, PerCallUS: float64(d.Microseconds()) / float64(max(1, g.res.calls)), Cores: d.Seconds() / seconds}
	}
	r.CPU = of(os.Getpid(), g.res.self)
	for i, d := range g.res.procs {
		r.Processes = append(r.Processes, of(o.cpuOf[i], d))
	}
	return r
}

// encoded is a histogram as text; "" when it can't be written.
func encoded(h *hdrhistogram.Histogram) string {
	b, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return ""
	}
	return string(b)
}

func quantiles(h *hdrhistogram.Histogram) latency {
	return latency{
		Mean: h.Mean(), P50: h.ValueAtQuantile(50), P90: h.ValueAtQuantile(90), P99: h.ValueAtQuantile(99),
		P999: h.ValueAtQuantile(99.9), Max: h.Max(),
	}
}

func (r *report) print(w io.Writer) {
	loop := "closed loop"
	if r.Rate > 0 {
		loop = fmt.Sprintf("open loop, %.0f calls/s asked for", r.Rate)
	}
	if r.PerCall {
		loop += ", a connection for every call"
	}
	_, _ = fmt.Fprintf(w, "%s  %s  %d connections × %d  %d bytes  %s\n", r.Target, r.Framing, r.Connections, r.Depth, r.Size, loop)
	_, _ = fmt.Fprintf(w, "%d calls in %.1f s: %.0f calls/s\n", r.Calls, r.Seconds, r.CallsPerSecond)
	_, _ = fmt.Fprintf(w, "latency µs: mean %.0f  p50 %d  p90 %d  p99 %d  p99.9 %d  max %d\n",
		r.Latency.Mean, r.Latency.P50, r.Latency.P90, r.Latency.P99, r.Latency.P999, r.Latency.Max)
	for i, p := range r.Phases {
		_, _ = fmt.Fprintf(w, "phase %d: %d calls in %.1f s, latency µs: p50 %d  p99 %d  p99.9 %d  max %d\n",
			i+1, p.Calls, p.Seconds, p.Latency.P50, p.Latency.P99, p.Latency.P999, p.Latency.Max)
	}
	_, _ = fmt.Fprintf(w, "CPU of the generator: %.2f µs a call, %.2f cores\n", r.CPU.PerCallUS, r.CPU.Cores)
	for _, p := range r.Processes {
		_, _ = fmt.Fprintf(w, "CPU of process %d: %.2f µs a call, %.2f cores\n", p.PID, p.PerCallUS, p.Cores)
	}
	if r.NotStarted > 0 {
		_, _ = fmt.Fprintf(w, "%d calls were due and never started: more connections or depth, or a lower rate\n", r.NotStarted)
	}
	if l := r.FailedLatency; l != nil {
		_, _ = fmt.Fprintf(w, "latency of failed replies µs: p50 %d  p99 %d  max %d\n", l.P50, l.P99, l.Max)
	}
	if r.Remote > 0 || r.Again > 0 {
		_, _ = fmt.Fprintf(w, "%d calls answered by the remote tier, %d of all sent to the other tier after one did not execute them\n", r.Remote, r.Again)
	}
	for kind, n := range r.Failed {
		_, _ = fmt.Fprintf(w, "failed, %s: %d, the first: %s\n", kind, n, r.FirstError[kind])
	}
}
