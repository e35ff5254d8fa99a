package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// phases cut a load into parts (--phases): each SIGUSR1 begins one. A call belongs to the part in which it was to start,
// so that one that an event held up counts where the event was.
type phases struct {
	signals chan os.Signal
	list    []phase
}

type phase struct {
	begin time.Duration // since the generator's base
	hist  *hdrhistogram.Histogram
	calls int64
}

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, int64(10*time.Minute/time.Microsecond), 3)
}

// begin listens for signals. The first part begins with the measuring.
func (p *phases) begin() {
	p.signals = make(chan os.Signal, 16)
	signal.Notify(p.signals, syscall.SIGUSR1)
}

func (p *phases) end() {
	if p.signals != nil {
		signal.Stop(p.signals)
	}
}

func (p *phases) next(now time.Duration) {
	p.list = append(p.list, phase{begin: now, hist: newHistogram()})
}

// tick takes the signals that have come. Nothing is cut before the measuring begins.
func (p *phases) tick(now time.Duration) {
	for {
		select {
		case <-p.signals:
			if len(p.list) > 0 {
				p.next(now)
			}
		default:
			return
		}
	}
}

// record counts a call that was to start at a moment and took so many microseconds.
func (p *phases) record(start time.Duration, us int64) {
	for i := len(p.list) - 1; i >= 0; i-- {
		if x := &p.list[i]; x.begin <= start || i == 0 {
			x.calls++
			_ = x.hist.RecordValue(min(us, x.hist.HighestTrackableValue())) // in range: it cannot fail
			return
		}
	}
}

// phaseReport is a part in the printed form.
type phaseReport struct {
	Seconds float64 `json:"seconds"`
	Calls   int64   `json:"calls"`
	Latency latency `json:"latency_us"`
}

// report needs the moment at which the last part ended.
func (p *phases) report(end time.Duration) (all []phaseReport) {
	for i := range p.list {
		until := end
		if i+1 < len(p.list) {
			until = p.list[i+1].begin
		}
		x := &p.list[i]
		all = append(all, phaseReport{(until - x.begin).Seconds(), x.calls, quantiles(x.hist)})
	}
	return all
}
