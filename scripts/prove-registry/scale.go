package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
	"github.com/bellhop-mesh/bellhop/scripts/prove/callers"
	"github.com/bellhop-mesh/bellhop/scripts/zkensemble"
)

// The size of a large host's registry, and what a proxy may take for it.
const (
	manyServices = 2000
	perService   = 10
	manyCalled   = 50 // of them; only these have servers
	loadedMax    = 5 * time.Second
	rssMax       = 80 << 20
	changeMax    = 200 * time.Millisecond
	roundMax     = 5 * time.Millisecond
	exchanges    = 5
	kept         = 10              // services that lose nothing in the mass change, so that its end can be counted
	quietFor     = 2 * time.Second // no new table: the change is in force
)

func many(i int) string { return fmt.Sprintf("many.S%04d", i) }

// fill registers all services, and returns the nodes of their endpoints and, last, of one that is not registered yet.
func (s *stage) fill() (nodes [][]string, err error) {
	var pairs []string
	for i := range manyCalled {
		for range perService + 1 {
			pairs = append(pairs, many(i), "127.0.0.1:0")
		}
	}
	served, err := s.ServeAll(pairs)
	if err != nil {
		return nil, err
	}
	if err := s.tree.Put(strings.TrimSuffix(root, "/")); err != nil {
		return nil, err
	}
	var ops []any
	for i := range manyServices {
		ops = append(ops, zkensemble.Create(root+many(i)))
		var own []string
		for j := range perService + 1 {
			addr := fmt.Sprintf("127.9.%d.%d:%d", i/250, i%250, 20000+j) // nobody listens there, and nobody calls
			if i < manyCalled {
				addr = served[i*(perService+1)+j]
			}
			own = append(own, root+many(i)+"/"+addr)
			if j < perService {
				ops = append(ops, zkensemble.Create(own[j]))
			}
		}
		nodes = append(nodes, own)
	}
	return nodes, s.tree.Apply(ops)
}

// scale is a registry of 20,000 endpoints that this host uses all: its first load, its memory, one change, many changes.
func scale(ctx context.Context, s *stage, t *prove.Table) error {
	nodes, err := s.fill()
	if err != nil {
		return err
	}
	var known []string
	for i := range manyServices {
		known = append(known, many(i))
	}
	begun := time.Now()
	if err := s.begin(ctx, known, known[:manyCalled]...); err != nil {
		return err
	}
	if err := s.Endpoints(ctx, manyServices*perService); err != nil {
		return err
	}
	callers.Seen(t, fmt.Sprintf("%d services with %d endpoints each: start to all in the table", manyServices, perService), time.Since(begun), loadedMax)
	begun = time.Now()
	n, err := s.Under(ctx, func() error {
		if err := callers.Wait(ctx, 5*time.Second); err != nil {
			return err
		}
		return s.Memory(t, rssMax)
	})
	callers.Calls(t, "50 services of 2000", n, time.Since(begun))
	if err == nil {
		err = s.OneByOne(ctx, t, many(0), "its registration", changeMax, func(int) (time.Duration, error) { return s.change(ctx, many(0)) })
	}
	if err == nil {
		err = s.mass(ctx, t, nodes)
	}
	return err
}

// mass replaces one endpoint of every service, again and again.
func (s *stage) mass(ctx context.Context, t *prove.Table, nodes [][]string) error {
	var each []string
	var longest time.Duration
	var first, last prove.Metrics
	waited, begun := queued(s.Proxy.Process.PID()), time.Now()
	n, err := s.Under(ctx, func() error {
		for k := range exchanges {
			before, quiet, _, err := s.calm(ctx, manyServices*perService+callers.Changes+float64(k*kept))
			if err != nil {
				return err
			}
			if k == 0 {
				first = before
			}
			from := time.Now()
			if err := s.tree.Apply(exchange(nodes, k)); err != nil {
				return err
			}
			after, round, at, err := s.calm(ctx, before["bellhop_registry_endpoints"]+kept)
			if err != nil {
				return err
			}
			last, longest = after, max(longest, round)
			each = append(each, fmt.Sprintf("%.1f (%.1f) ms in %.1f s", ms(round), ms(quiet), at.Sub(from).Seconds()))
		}
		return nil
	})
	callers.Calls(t, fmt.Sprintf("2000 services exchange a server, %d times", exchanges), n, time.Since(begun))
	if err != nil {
		return err
	}
	waited = queued(s.Proxy.Process.PID()) - waited
	t.Note("… the proxy's threads waited for a core", fmt.Sprintf("%.2f s in %.0f s", waited.Seconds(), time.Since(begun).Seconds()))
	t.Note("… p99.9 of the workers' rounds", "≤ "+quantile(first, last, "bellhop_worker_round_seconds", 0.999).String())
	t.Note("… the longest round of each (and of two seconds before it), first change to last table", strings.Join(each, ", "))
	t.Add("… the longest round of all", "≤ "+roundMax.String(), longest.Round(10*time.Microsecond).String(), longest <= roundMax)
	return nil
}

func ms(d time.Duration) float64 { return 1e3 * d.Seconds() }

// queued is how long the threads of a process have been ready to run without running.
func queued(pid int) (sum time.Duration) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid)) // the pattern is right
	for _, name := range files {
		var ran, waited int64
		if b, err := os.ReadFile(name); err == nil { // a thread that has ended is missing
			_, _ = fmt.Sscan(string(b), &ran, &waited)
			sum += time.Duration(waited)
		}
	}
	return sum
}

// exchange is the k-th time that every service gets an endpoint and loses one; the last few lose none.
func exchange(nodes [][]string, k int) (ops []any) {
	for i, own := range nodes {
		in, out := own[perService-k%2], own[perService-1+k%2]
		if i >= len(nodes)-kept {
			ops = append(ops, zkensemble.Create(fmt.Sprintf("%s%s/127.8.0.%d:%d", root, many(i), k, 20000)))
			continue
		}
		ops = append(ops, zkensemble.Create(in), zkensemble.Remove(out))
	}
	return ops
}

// calm waits until so many endpoints stand in a table that stays, and returns the last scrape, the longest round till then
// (every scrape begins it anew), and when the last table came.
func (s *stage) calm(ctx context.Context, endpoints float64) (m prove.Metrics, longest time.Duration, last time.Time, err error) {
	version, begun := -1.0, time.Now()
	for last = begun; time.Since(last) < quietFor || m["bellhop_registry_endpoints"] != endpoints; {
		if time.Since(begun) > callers.Patience {
			return nil, 0, last, fmt.Errorf("%.0f endpoints in the table; %.0f were expected", m["bellhop_registry_endpoints"], endpoints)
		}
		if err := callers.Wait(ctx, callers.Settle/4); err != nil {
			return nil, 0, last, err
		}
		if m, err = prove.Scrape(ctx, s.Proxy.Admin); err != nil {
			return nil, 0, last, err
		}
		for name, v := range m {
			if strings.HasPrefix(name, "bellhop_worker_round_max_seconds") {
				longest = max(longest, time.Duration(v*float64(time.Second)))
			}
		}
		if v := m["bellhop_table_version"]; v != version {
			version, last = v, time.Now()
		}
	}
	return m, longest, last, nil
}

// quantile is the upper bound of the bucket that a quantile of what came between two scrapes lies in.
func quantile(before, after prove.Metrics, histogram string, q float64) time.Duration {
	by := map[float64]float64{}
	for name, v := range after {
		if labels, ok := strings.CutPrefix(name, histogram+"_bucket{"); ok {
			_, le, _ := strings.Cut(labels, `le="`)
			if bound, err := strconv.ParseFloat(strings.TrimRight(le, `"}`), 64); err == nil && !math.IsInf(bound, 1) {
				by[bound] += v - before[name]
			}
		}
	}
	total := after.Sum(histogram+"_count") - before.Sum(histogram+"_count")
	worst := math.Inf(1)
	for bound, n := range by {
		if n >= q*total {
			worst = min(worst, bound)
		}
	}
	return time.Duration(min(worst, time.Hour.Seconds()) * float64(time.Second))
}
