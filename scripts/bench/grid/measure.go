package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/bench/targets"
)

// sample is one measurement. Rate 0 is saturation (closed loop); otherwise calls start at that rate (open loop).
type sample struct {
	Peer           string   `json:"peer"`
	Point          point    `json:"point"`
	Round          int      `json:"round"`
	Rate           float64  `json:"rate_per_second"`
	CallsPerSecond float64  `json:"calls_per_second"`
	ProxyUS        float64  `json:"proxy_cpu_us_per_call"`
	ProxyCores     float64  `json:"proxy_cores"`
	ServerCores    float64  `json:"server_cores"`
	LoadCores      float64  `json:"generator_cores"`
	Latency        quantile `json:"latency_us"`
	NotStarted     int64    `json:"not_started"`
	PeakRSS        int64    `json:"peak_rss_bytes"` // of the proxy, from its start until after this measurement
	Err            string   `json:"error,omitempty"`
}

type quantile struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
}

// told is what is used of thriftperf's JSON.
type told struct {
	Calls          int64
	CallsPerSecond float64  `json:"calls_per_second"`
	Latency        quantile `json:"latency_us"`
	NotStarted     int64    `json:"not_started"`
	CPU            struct{ Cores float64 }
	Processes      []struct {
		US    float64 `json:"us_per_call"`
		Cores float64
	}
}

const warmup = 200 * time.Millisecond

// measure makes one load. What goes wrong in it is in the sample: one peer that fails calls must not end the comparison.
func (r *rig) measure(ctx context.Context, x *runner, p point, rate float64, duration time.Duration) sample {
	s := sample{Peer: x.name, Point: p, Rate: rate}
	if p.Size >= 1<<20 { // 64 MB are in flight: a call takes long, and few end in a second
		duration = max(duration, 1500*time.Millisecond)
	}
	pids := []string{strconv.Itoa(r.server.PID())}
	for _, pid := range x.pids() {
		pids = append(pids, strconv.Itoa(pid))
	}
	args := []string{
		"load", "--json", "--target", x.target, "--framing", p.Framing, "--connections", strconv.Itoa(p.Callers),
		"--size", strconv.Itoa(p.Size), "--warmup", warmup.String(), "--duration", duration.String(),
		"--timeout", "10s",
		"--rate", strconv.FormatFloat(rate, 'f', 0, 64), "--cpu-of", strings.Join(pids, ","),
	}
	if p.PerCall {
		args = append(args, "--per-call")
	}
	ctx, cancel := context.WithTimeout(ctx, duration+10*time.Second)
	defer cancel()
	var said strings.Builder
	cmd := exec.CommandContext(ctx, "bin/thriftperf", args...)
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		s.Err = strings.TrimSpace(strings.TrimPrefix(said.String(), "thriftperf:") + " " + err.Error())
	}
	var t told
	if jsonErr := json.Unmarshal(out, &t); jsonErr != nil || t.Calls == 0 || len(t.Processes) != len(pids) {
		s.Err = strings.TrimSpace(s.Err + " nothing was measured")
		return s
	}
	s.CallsPerSecond, s.Latency, s.NotStarted = t.CallsPerSecond, t.Latency, t.NotStarted
	s.LoadCores, s.ServerCores, s.PeakRSS = t.CPU.Cores, t.Processes[0].Cores, x.peakRSS()
	for _, proxy := range t.Processes[1:] {
		s.ProxyUS += proxy.US
		s.ProxyCores += proxy.Cores
	}
	return s
}

// measurePoint runs all peers at a point in turn, rounds times: first at saturation, then at half of what HAProxy
// reached there.
func measurePoint(ctx context.Context, p point, o options, note func(string)) ([]sample, map[string]string, error) {
	r, err := newRig(ctx, p)
	defer r.stop()
	if err != nil {
		return nil, nil, err
	}
	var all []sample
	n := roundsAt(p, o.rounds)
	rounds := func(rate float64, what string) error {
		for round := range n {
			for _, x := range r.runners {
				if err := ctx.Err(); err != nil {
					return err
				}
				note(fmt.Sprintf("%s, %s, round %d of %d: %s", p, what, round+1, n, x.name))
				s := r.measure(ctx, x, p, rate, o.duration)
				s.Round = round + 1
				all = append(all, s)
			}
		}
		return nil
	}
	if err := rounds(0, "saturation"); err != nil {
		return nil, nil, err
	}
	half := spread(of(all, "haproxy", p, false), func(s sample) float64 { return s.CallsPerSecond }).Mid / 2
	if half >= 1 {
		err = rounds(half, "half of HAProxy's rate")
	}
	return all, r.out, err
}

// of picks the good samples of a peer at a point, of the open or of the closed loop.
func of(all []sample, peer string, p point, open bool) (picked []sample) {
	for _, s := range all {
		if s.Peer == peer && s.Point == p && (s.Rate > 0) == open && s.Err == "" {
			picked = append(picked, s)
		}
	}
	return picked
}

func spread(samples []sample, figure func(sample) float64) targets.Span {
	v := make([]float64, 0, len(samples))
	for _, s := range samples {
		v = append(v, figure(s))
	}
	return targets.Of(v)
}

// against returns figure(peer) op figure(other) within each round, over the rounds in which both were measured.
func against(a, b []sample, f func(a, b sample) float64) targets.Span {
	return targets.Of(ratios(a, b, f))
}

// ratios are f's values by round.
func ratios(a, b []sample, f func(a, b sample) float64) (v []float64) {
	for _, x := range a {
		for _, y := range b {
			if x.Round == y.Round {
				v = append(v, f(x, y))
			}
		}
	}
	return v
}
