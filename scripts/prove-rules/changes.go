package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
	"github.com/bellhop-mesh/bellhop/scripts/prove/governed"
)

const (
	changeCount = 1000
	patience    = 3 * time.Minute
	growthMost  = 0.05 // of the memory after the first tenth
)

// changes: the rules change a thousand times under load, each time when those before are in force.
func changes(ctx context.Context, s *governed.Stage) error {
	count := changeCount
	if s.Quick {
		count /= 10
	}
	list := []endpoint{}
	for i := range 2 {
		e, err := serve(s, []string{"v1", "v2"}[i], framing)
		if err != nil {
			return err
		}
		list = append(list, e)
	}
	b, err := proxy(ctx, s, framing, ruleSet(0), list)
	if err != nil {
		return err
	}
	var changed int
	var memory []float64
	run, err := s.Valid(ctx, "rules change", 0, func(ctx context.Context) (*governed.Run, error) {
		changed, memory = 0, nil
		return s.Load(ctx, governed.Measure{
			Warmup: warmup, Duration: patience,
			During: func(ctx context.Context) (err error) {
				changed, memory, err = change(ctx, b, count)
				return err
			},
		}, []governed.Source{caller(b, "shop-1.service", 1000), caller(b, "shop-2.service", 1000)})
	})
	if err != nil {
		return err
	}
	n := failed(run.Sources)
	s.Table.Add(fmt.Sprintf("rules change %d times under load: failed calls", count), "0", fmt.Sprintf("%.0f of %d", n, run.Sources[0].Calls+run.Sources[1].Calls), n == 0)
	s.Table.Add("… changes that came into force", fmt.Sprint(count), fmt.Sprint(changed), changed >= count)
	first, last := memory[0], memory[len(memory)-1]
	grown := last/first - 1
	run.Figures["live heap, first tenth"], run.Figures["live heap, end"] = first, last
	s.Table.Add("… memory in use at the end, to that after the first tenth", fmt.Sprintf("≤ +%.0f %%", 100*growthMost),
		fmt.Sprintf("%+.1f %% (%.2f to %.2f MB)", 100*grown, first/1e6, last/1e6), grown <= growthMost)
	s.Table.Note("… CPU, cores", governed.CPU([]*governed.Run{run}))
	return nil
}

// change writes rules count times, each when the one before is in force, and looks at the memory ten times.
func change(ctx context.Context, b *prove.Bellhop, count int) (changed int, memory []float64, err error) {
	for i := range count {
		m, err := prove.Scrape(ctx, b.Admin)
		if err != nil {
			return changed, memory, err
		}
		before := m["bellhop_rules_applied_total"]
		if err := b.WriteRules(ruleSet(i + 1)); err != nil {
			return changed, memory, err
		}
		for deadline := time.Now().Add(5 * time.Second); ; {
			if m, err = prove.Scrape(ctx, b.Admin); err != nil {
				return changed, memory, err
			}
			if m["bellhop_rules_applied_total"] > before {
				changed++
				break
			}
			if m["bellhop_rules_wrong"] != 0 {
				return changed, memory, fmt.Errorf("rules %d were refused", i+1)
			}
			if time.Now().After(deadline) {
				return changed, memory, fmt.Errorf("rules %d are not in force after 5 s", i+1)
			}
			time.Sleep(5 * time.Millisecond)
		}
		if (i+1)%(count/10) == 0 {
			live, err := liveHeap(ctx, b)
			if err != nil {
				return changed, memory, err
			}
			memory = append(memory, live)
		}
	}
	return changed, memory, nil
}

// liveHeap is the least heap of a second: what is there after a collection.
func liveHeap(ctx context.Context, b *prove.Bellhop) (float64, error) {
	least := 0.0
	for range 20 {
		m, err := prove.Scrape(ctx, b.Admin)
		if err != nil {
			return 0, err
		}
		if v := m["go_memstats_heap_alloc_bytes"]; least == 0 || v < least {
			least = v
		}
		time.Sleep(20 * time.Millisecond)
	}
	return least, nil
}

// ruleSet is a document of twenty rules; each number makes another one. Limits, splits and deadlines are new each time.
func ruleSet(n int) string {
	var b strings.Builder
	b.WriteString("version: 1\nrules:\n")
	for i := range 18 {
		fmt.Fprintf(&b, "  - {name: other-%d-%d, match: {service: other.%d, method: \"~get.{%d}\"}, deadline: %dms}\n", n, i, i, n%50+1, n%100+100)
	}
	fmt.Fprintf(&b, "  - {name: limit-%d, match: {service: bench}, limit: {rate: %d, burst: 10000, by: [source]}, deadline: %dms}\n", n, 100_000+n, 800+n%100)
	fmt.Fprintf(&b, "  - {name: split-%d, match: {service: bench}, split: {parts: [{weight: %d, version: v1}, {weight: %d, version: v2}]}}\n", n, n%99+1, 100-n%99)
	return b.String()
}
