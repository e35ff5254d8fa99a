package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
	"github.com/bellhop-mesh/bellhop/scripts/prove/governed"
)

const (
	small    = 128      // bytes of an ordinary call
	large    = 64 << 10 // of a big one
	busy     = 0.35     // of what the proxy carries, where it is to be busy and not late
	warmup   = 500 * time.Millisecond
	wireName = "framed-binary"
)

// rig is one server, and a fresh proxy for every run.
type rig struct {
	*governed.Stage
	server *governed.Server
	rules  string // of bellhop
}

func newRig(s *governed.Stage) (*rig, error) {
	server, err := s.Serve("--framing", wireName)
	return &rig{Stage: s, server: server}, err
}

// through makes a run through a fresh bellhop.
func (r *rig) through(ctx context.Context, sources func(target string) []governed.Source) (*governed.Run, error) {
	in := filepath.Join(r.Dir, "bench.sock")
	b := &prove.Bellhop{
		Config: "workers: 1\nlog: {level: warn}\ntimeouts: {call: 10s}\nlisteners:\n" +
			"  - {net: unix, addr: \"" + in + "\", service: bench}\n  - {net: unix, addr: call.sock}\n",
		Services: fmt.Sprintf("services:\n  bench: {framing: %s, max_connections: 1000, endpoints: [%q]}\n", wireName, r.server.Addr),
		Rules:    r.rules,
	}
	p, err := r.Start(ctx, "bellhop", b, r.Share)
	if err != nil {
		return nil, err
	}
	defer r.Stop(p.Process)
	run, err := r.Load(ctx, governed.Measure{Warmup: warmup, Duration: r.Duration}, sources("unix:"+in))
	if err != nil {
		return nil, err
	}
	return run, readDelays(ctx, p, run)
}

// throughHAProxy makes the same run through HAProxy.
func (r *rig) throughHAProxy(ctx context.Context, sources func(target string) []governed.Source) (*governed.Run, error) {
	socket, p, err := r.HAProxy(ctx, r.server.Addr, r.Share)
	if err != nil {
		return nil, err
	}
	defer r.Stop(p)
	return r.Load(ctx, governed.Measure{Warmup: warmup, Duration: r.Duration}, sources("unix:"+socket))
}

// delays is what /sources says of the time from reading a call to taking it.
type delays struct {
	Source string `json:"source"`
	Delay  struct {
		Samples uint64        `json:"samples"`
		Mean    time.Duration `json:"mean_ns"`
		P99     time.Duration `json:"p99_ns"`
		Max     time.Duration `json:"max_ns"`
		Buckets [][2]int64    `json:"buckets"` // the longest time in it, ns, and how many; shortest first
	} `json:"queue_delay"`
}

// readDelays adds each source's queue delay to the run's figures.
func readDelays(ctx context.Context, p *prove.Bellhop, run *governed.Run) error {
	b, err := prove.Get(ctx, p.Admin, "/sources")
	if err != nil {
		return err
	}
	var all struct{ Sources []delays }
	if err := json.Unmarshal(b, &all.Sources); err != nil {
		if err = json.Unmarshal(b, &all); err != nil {
			return fmt.Errorf("/sources: %w", err)
		}
	}
	nine := map[int64]int64{}
	for _, d := range all.Sources {
		if isPolite(d.Source) {
			for _, b := range d.Delay.Buckets {
				nine[b[0]] += b[1]
			}
		}
		if d.Delay.Samples > 0 && strings.HasSuffix(d.Source, ".service") {
			run.Figures["delay p99 µs "+d.Source] = float64(d.Delay.P99) / 1e3
			run.Figures["delay mean µs "+d.Source] = float64(d.Delay.Mean) / 1e3
		}
	}
	run.Figures["nine delay samples"], run.Figures["nine delay p99 µs"] = quantile(nine, 0.99)
	return nil
}

// quantile of a histogram by its buckets' upper bounds in ns; it is in µs, and interpolated within its bucket.
func quantile(buckets map[int64]int64, q float64) (samples, value float64) {
	for _, n := range buckets {
		samples += float64(n)
	}
	seen, from := 0.0, int64(0)
	for _, to := range slices.Sorted(maps.Keys(buckets)) {
		n := float64(buckets[to])
		if from = max(from, to-to/16); seen+n >= q*samples { // a bucket is a sixteenth of its octave wide, at most
			return samples, (float64(from) + (q*samples-seen)/n*float64(to-from)) / 1e3
		}
		seen, from = seen+n, to
	}
	return samples, 0
}

// one is a source. Its connections take depth calls each.
func one(unit, target string, rate float64, connections, depth, size int) governed.Source {
	return governed.Source{Unit: unit, Rate: rate, Args: []string{
		"--target", target, "--framing", wireName, "--connections", strconv.Itoa(connections), "--depth", strconv.Itoa(depth),
		"--size", strconv.Itoa(size),
	}}
}

func polite(i int) string { return fmt.Sprintf("polite-%d.service", i+1) }

const greedy = "greedy.service"

// isPolite reports whether a unit is one of the nine.
func isPolite(unit string) bool { return strings.HasPrefix(unit, "polite-") }

// carries is how many calls a second of a size go through bellhop in its part of a core when ten sources have eight in flight
// each, all the time.
func (r *rig) carries(ctx context.Context, size int) (float64, error) {
	short := *r.Stage
	short.Duration = min(r.Duration, 1500*time.Millisecond)
	with := rig{Stage: &short, server: r.server}
	run, err := r.Valid(ctx, fmt.Sprintf("what the proxy carries, %d bytes", size), 0, func(ctx context.Context) (*governed.Run, error) {
		return with.through(ctx, spread(func(t, unit string) []governed.Source { return list(one(unit, t, 0, 8, 1, size)) }))
	})
	if err != nil {
		return 0, err
	}
	var sum float64
	for _, x := range run.Sources {
		sum += float64(x.Calls) / x.Seconds
	}
	run.Figures["calls/s"] = sum
	return sum, nil
}
