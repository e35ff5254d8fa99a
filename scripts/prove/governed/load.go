package governed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Source is one load.
type Source struct {
	Unit string   // its systemd unit; "": it is no source of its own
	Args []string // of thriftperf load
	Rate float64  // calls a second; 0: closed loop
}

// Latency is in microseconds.
type Latency struct {
	Mean float64 `json:"mean"`
	P50  int64   `json:"p50"`
	P99  int64   `json:"p99"`
	P999 int64   `json:"p999"`
	Max  int64   `json:"max"`
}

// Result is what became of the calls of a source: thriftperf's own words.
type Result struct {
	Unit          string            `json:"unit,omitempty"`
	Rate          float64           `json:"rate_per_second,omitempty"`
	Seconds       float64           `json:"seconds"`
	Calls         int64             `json:"calls"`
	Begun         int64             `json:"begun"`
	Failed        map[string]int64  `json:"failed,omitempty"`
	FirstError    map[string]string `json:"first_error,omitempty"`
	NotStarted    int64             `json:"not_started,omitempty"`
	Latency       Latency           `json:"latency_us"`
	FailedLatency *Latency          `json:"failed_latency_us,omitempty"`
	Remote        int64             `json:"remote_calls,omitempty"`
	Again         int64             `json:"sent_again,omitempty"`
	Early         map[string]int64  `json:"failed_in_warmup,omitempty"`

	hist, local, failed *hdrhistogram.Histogram
}

// Merged is the latency of several sources taken together, at a quantile of 0 to 100, in microseconds.
func Merged(list []Result, quantile float64) float64 {
	return merged(list, quantile, func(r Result) *hdrhistogram.Histogram { return r.hist })
}

// MergedLocal is Merged of the calls that the local tier answered, of loads with an address file.
func MergedLocal(list []Result, quantile float64) float64 {
	return merged(list, quantile, func(r Result) *hdrhistogram.Histogram { return r.local })
}

// Refused is how long it took until calls had failed, at a quantile of 0 to 100, in microseconds. Those that got no answer, or
// never began, took for ever: a quantile that falls among them is infinite. 0: none failed.
func Refused(list []Result, quantile float64) float64 {
	var all, answered float64
	for _, r := range list {
		all += float64(r.Fails())
		if r.failed != nil {
			answered += float64(r.failed.TotalCount())
		}
	}
	if all == 0 {
		return 0
	}
	if q := quantile * all / max(answered, 1); q <= 100 {
		return merged(list, q, func(r Result) *hdrhistogram.Histogram { return r.failed })
	}
	return math.Inf(1)
}

func merged(list []Result, quantile float64, of func(Result) *hdrhistogram.Histogram) float64 {
	sum := hdrhistogram.New(1, 600e6, 3)
	for _, r := range list {
		if h := of(r); h != nil {
			sum.Merge(h)
		}
	}
	return float64(sum.ValueAtQuantile(quantile))
}

// Fails is how many calls failed, those too that were due and never began.
func (r *Result) Fails() (n int64) {
	for _, v := range r.Failed {
		n += v
	}
	return n + r.NotStarted
}

// Run is one measured load.
type Run struct {
	Row     string             `json:"row"`
	Side    string             `json:"side"`
	Pair    int                `json:"pair"`
	Invalid string             `json:"invalid,omitempty"` // why it does not count
	Note    string             `json:"note,omitempty"`
	Cores   map[string]float64 `json:"cores"` // CPU of each part in the measured time
	Idle    float64            `json:"idle_other_core"`
	Steal   float64            `json:"steal_other_core"` // of a virtual machine's core, taken by its host
	Waited  map[string]float64 `json:"throttled_share,omitempty"`
	Sources []Result           `json:"sources"`
	Figures map[string]float64 `json:"figures,omitempty"` // what the row makes of it
}

// Measure is how a load is made.
type Measure struct {
	Warmup, Duration time.Duration
	Timeout          time.Duration                   // of a call
	During           func(ctx context.Context) error // happens in the measured time, which ends with it, or after Duration at most
}

// Load runs all sources together and measures. Sources that failed calls are no error: that is the row's to judge.
func (s *Stage) Load(ctx context.Context, m Measure, sources []Source) (*Run, error) {
	if m.Timeout == 0 {
		m.Timeout = 2 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, m.Warmup+m.Duration+m.Timeout+20*time.Second)
	defer cancel()
	begin := time.Now().Add(700*time.Millisecond + time.Duration(len(sources))*25*time.Millisecond)
	outs := make([]bytes.Buffer, len(sources))
	errs := make([]bytes.Buffer, len(sources))
	var cmds []*exec.Cmd
	for i, src := range sources {
		s.seed++
		args := append([]string{
			"load", "--json", "--start-at", strconv.FormatInt(begin.UnixMilli(), 10), "--seed", strconv.FormatUint(s.seed, 10),
			"--warmup", m.Warmup.String(), "--duration", m.Duration.String(), "--timeout", m.Timeout.String(),
			"--rate", strconv.FormatFloat(src.Rate, 'f', 3, 64),
		}, src.Args...)
		if src.Rate > 0 {
			args = append(args, "--arrivals", "poisson")
		}
		if src.Unit != "" {
			args = append(args, "--unit", src.Unit)
			s.units[src.Unit] = true
		}
		argv := pinned(OtherCore, append([]string{"bin/thriftperf"}, args...)...)
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Stdout, cmd.Stderr = &outs[i], &errs[i]
		cmd.Env = append(os.Environ(), "GOGC=400", "BELLHOP_SOURCE="+src.Unit)
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		cmds = append(cmds, cmd)
	}
	var gone sync.WaitGroup
	for _, c := range cmds {
		gone.Go(func() { _ = c.Wait() })
	}
	run, err := s.watch(ctx, m, begin, cmds)
	gone.Wait()
	return run, errors.Join(err, run.read(sources, outs, errs))
}

// watch takes the CPU time of everything at the begin and at the end of the measured time.
func (s *Stage) watch(ctx context.Context, m Measure, begin time.Time, loads []*exec.Cmd) (*Run, error) {
	run := &Run{Cores: map[string]float64{}, Waited: map[string]float64{}, Figures: map[string]float64{}}
	late := time.Until(begin)
	pause(ctx, time.Until(begin.Add(m.Warmup)))
	before, err := s.read(loads)
	if err != nil {
		return run, err
	}
	var happened error
	if m.During == nil {
		pause(ctx, time.Until(begin.Add(m.Warmup+m.Duration)))
	} else {
		happened = m.During(ctx)
		for _, c := range loads {
			_ = c.Process.Signal(syscall.SIGTERM)
		}
	}
	after, err := s.read(loads)
	err = errors.Join(err, happened)
	seconds := after.at.Sub(before.at).Seconds()
	for part, d := range after.cpu {
		run.Cores[part] = (d - before.cpu[part]).Seconds() / seconds
	}
	for part, d := range after.waited {
		run.Waited[part] = (d - before.waited[part]).Seconds() / seconds
	}
	total := after.core.total - before.core.total
	run.Idle = (after.core.idle - before.core.idle) / max(total, 1)
	run.Steal = (after.core.steal - before.core.steal) / max(total, 1)
	switch {
	case late < 0:
		run.Invalid = fmt.Sprintf("the loads were started %v after they should have begun", -late)
	case run.Idle < Spare:
		run.Invalid = fmt.Sprintf("%.0f %% of the other core idle, less than %.0f %%", 100*run.Idle, 100*Spare)
	}
	return run, err
}

// moment is what was used until then.
type moment struct {
	at     time.Time
	cpu    map[string]time.Duration
	waited map[string]time.Duration
	core   coreTimes
}

func (s *Stage) read(loads []*exec.Cmd) (m moment, err error) {
	m.at, m.cpu, m.waited = time.Now(), map[string]time.Duration{}, map[string]time.Duration{}
	for _, c := range loads {
		m.cpu["load"] += clock(c.Process.Pid)
	}
	for _, p := range s.parts {
		m.cpu[p.name] += clock(p.process.PID())
		if p.quota != nil {
			m.waited[p.name] = p.quota.throttled()
		}
	}
	m.cpu["this program"] = clock(os.Getpid())
	m.core, err = readCore(OtherCore)
	return m, err
}

// read takes what the loads printed.
func (r *Run) read(sources []Source, outs, said []bytes.Buffer) error {
	var errs []error
	for i, src := range sources {
		var one struct {
			Result
			Histogram string `json:"histogram"`
			Local     string `json:"local_histogram"`
			Failures  string `json:"failed_histogram"`
		}
		err := json.Unmarshal(outs[i].Bytes(), &one)
		for _, h := range []struct {
			text string
			to   **hdrhistogram.Histogram
		}{{one.Histogram, &one.hist}, {one.Local, &one.local}, {one.Failures, &one.failed}} {
			if err == nil && h.text != "" {
				*h.to, err = hdrhistogram.Decode([]byte(h.text))
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("load %d (%s): %w: %s", i, src.Unit, err, bytes.TrimSpace(said[i].Bytes())))
			continue
		}
		one.Unit = src.Unit
		r.Sources = append(r.Sources, one.Result)
	}
	return errors.Join(errs...)
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
