package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
	"github.com/bellhop-mesh/bellhop/scripts/prove/governed"
)

// The budget that a retry may spend by default: limits.retry_share of the calls, and limits.retry_min a second.
const (
	retryShare = 0.2
	retryMin   = 10.0
	stormRate  = 3000
)

// storm: every endpoint fails half its calls, and a rule would send each again twice. The servers count.
func storm(ctx context.Context, s *governed.Stage) error {
	var servers []*governed.Server
	var addrs []string
	for range 3 {
		v, err := s.Serve("--framing", framing, "--fail", "internal-error:0.5")
		if err != nil {
			return err
		}
		servers, addrs = append(servers, v), append(addrs, fmt.Sprintf("%q", v.Addr))
	}
	var extra []float64
	var runs []*governed.Run
	for i := range s.Pairs {
		run, err := s.Valid(ctx, "every endpoint fails half its calls", i, func(ctx context.Context) (*governed.Run, error) {
			return stormRun(ctx, s, addrs, servers)
		})
		if err != nil {
			return err
		}
		extra, runs = append(extra, run.Figures["extra calls"]/run.Figures["budget"]), append(runs, run)
	}
	span := governed.SpanOf(extra)
	s.Table.Add("every endpoint fails half its calls: extra calls, to the budget (20 % and 10 a second)", "≤ 1", span.String(), span.High <= 1)
	var share, saved []float64
	for _, r := range runs {
		share = append(share, 100*r.Figures["extra calls"]/r.Figures["calls"])
		saved = append(saved, 100*r.Figures["failed"]/(r.Figures["failed"]+float64(r.Sources[0].Calls)))
	}
	s.Table.Note("… extra calls, % of the calls; calls that failed for their callers, %", governed.SpanOf(share).Format("%.1f", 1)+"; "+governed.SpanOf(saved).Format("%.1f", 1))
	s.Table.Note("… CPU, cores", governed.CPU(runs))
	return nil
}

// stormRun counts at the servers before and after: all that they had, against all that was called. The proxy is a fresh one,
// with nothing saved up.
func stormRun(ctx context.Context, s *governed.Stage, addrs []string, servers []*governed.Server) (*governed.Run, error) {
	b, err := s.Start(ctx, "local", &prove.Bellhop{
		Config:   "workers: 1\nlisteners:\n  - {net: unix, addr: call.sock}\n",
		Services: fmt.Sprintf("services:\n  bench: {framing: %s, idempotent: [echo], endpoints: [%s]}\n", framing, strings.Join(addrs, ", ")),
		Rules:    "version: 1\nrules:\n  - {name: again, match: {service: bench}, retry: {on: [lost, busy, failed], attempts: 2, backoff: 1ms, max_backoff: 5ms, idempotent: true}}\n",
	}, 0)
	if err != nil {
		return nil, err
	}
	defer s.Stop(b.Process)
	before, err := had(servers)
	if err != nil {
		return nil, err
	}
	const warm = 500 * time.Millisecond
	socket := "unix:" + strings.TrimSuffix(b.AddressFile(), "address") + "call.sock"
	run, err := s.Load(ctx, governed.Measure{Warmup: warm, Duration: s.Duration}, []governed.Source{{
		Unit: "caller.service", Rate: stormRate,
		Args: []string{"--target", socket, "--service", "bench", "--framing", framing, "--connections", "16", "--depth", "4"},
	}})
	if err != nil {
		return nil, err
	}
	after, err := had(servers)
	if err != nil {
		return nil, err
	}
	x := run.Sources[0]
	failed, _ := failures(run.Sources)
	seconds := (warm + s.Duration).Seconds()
	calls := float64(x.Begun)
	run.Figures["calls"], run.Figures["failed"] = calls, failed
	run.Figures["extra calls"] = after - before - calls
	run.Figures["budget"] = retryShare*calls + retryMin*(seconds+1) // a second's part may be spent at once
	return run, nil
}

// had is how many calls the servers have had.
func had(servers []*governed.Server) (sum float64, err error) {
	for _, v := range servers {
		calls, _, err := v.Counts()
		if err != nil {
			return 0, err
		}
		sum += float64(calls)
	}
	return sum, nil
}
