package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bellhop-mesh/bellhop/scripts/bench/plot"
	"github.com/bellhop-mesh/bellhop/scripts/bench/targets"
)

// publish writes configurations, plots and tables.
func publish(dir string, axes []axis, all outcome) error {
	file := filepath.Join(dir, "README.md")
	page, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text, err := targets.Between(string(page), "bench", section(axes, all))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if err := writeConfigs(filepath.Join(dir, "configs")); err != nil {
		return err
	}
	for _, a := range axes {
		for name, chart := range charts(a, all.Samples) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(chart.SVG()), 0o644); err != nil {
				return err
			}
		}
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return err
	}
	return targets.Save(dir, "grid", targetsOf(all))
}

// writeConfigs writes what the peers run with at the base point, with addresses for reading.
func writeConfigs(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	const in, out = "127.0.0.1:7001", "127.0.0.1:9090"
	files := map[string]string{"bellhop.yaml": bellhopConfig(base, in)}
	for _, p := range peers() {
		if p.config != nil {
			files[p.file] = p.config(base, in, out, "/run")
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// charts of an axis, by file name.
func charts(a axis, all []sample) map[string]*plot.Chart {
	chart := func(what, unit string, log bool, figure func(peer string, p point) targets.Span) *plot.Chart {
		c := &plot.Chart{Title: what + " · " + a.title, Unit: unit, Groups: a.labels, Log: log}
		for _, peer := range peers() {
			s := plot.Series{Name: peer.name}
			for _, p := range a.points {
				v := figure(peer.name, p)
				s.Values = append(s.Values, plot.Value{Mid: v.Mid, Low: v.Low, High: v.High})
			}
			c.Series = append(c.Series, s)
		}
		return c
	}
	return map[string]*plot.Chart{
		a.name + "-cpu.svg": chart("CPU per call of the proxy", "µs", a.log, func(peer string, p point) targets.Span {
			return spread(of(all, peer, p, false), func(s sample) float64 { return s.ProxyUS })
		}),
		a.name + "-p99.svg": chart("p99 at half of HAProxy's rate", "µs, logarithmic", true, func(peer string, p point) targets.Span {
			return spread(of(all, peer, p, true), func(s sample) float64 { return s.Latency.P99 })
		}),
	}
}

// section is everything between the marks.
func section(axes []axis, all outcome) string {
	var b strings.Builder
	m := all.Machine
	fmt.Fprintf(&b, "%s: %d cores (%s), Linux %s, %s. %d rounds (%d at the points of the targets) of %.1f s a measurement, %d measurements in %.0f minutes. %s\n\n",
		all.Begun.Format("2006-01-02"), m.Cores, m.CPU, m.Kernel, m.Go, all.Rounds, max(all.Rounds, judgedRounds), all.Seconds, len(all.Samples), all.Took/60, all.Note)
	b.WriteString("Versions: ")
	for i, name := range slices.Sorted(maps.Keys(m.Versions)) {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s %s", name, m.Versions[name])
	}
	b.WriteString(". Configurations at the base point: ")
	for _, p := range peers() {
		if p.config != nil {
			fmt.Fprintf(&b, "[%s](configs/%s), ", p.name, p.file)
		}
	}
	b.WriteString("[bellhop.yaml](configs/bellhop.yaml) for both of the last.\n")
	for _, a := range axes {
		fmt.Fprintf(&b, "\n### %s\n", a.title)
		fmt.Fprintf(&b, "\n![CPU per call](%s-cpu.svg)\n\n![p99](%s-p99.svg)\n", a.name, a.name)
		table(&b, a, all)
	}
	return b.String()
}
