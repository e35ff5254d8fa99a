// Command grid is `make bench`: bellhop beside HAProxy, nginx, Envoy and a direct connection, one axis at a time around
// one base point, in one run, in turn. It must never judge: it prints what was measured, and what was not and why.
//
//	points ─► rig (server, peers) ─► rounds A B C … A B C … ─► samples ─┬─► docs/bench/raw/*.json
//	             thriftperf load, closed loop, then open loop           └─► docs/bench: README.md, configs/, *.svg
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/term"
)

type options struct {
	rounds   int
	duration time.Duration
	axes     string
	out      string
	note     string
	from     string
}

func main() {
	o := options{}
	flag.IntVar(&o.rounds, "rounds", 5, "rounds, each of which measures every peer once at saturation and once at half rate")
	flag.DurationVar(&o.duration, "duration", time.Second, "of one measurement")
	flag.StringVar(&o.axes, "axes", "", "some of callers,payload,socket,framing,workers,percall; empty: all")
	flag.StringVar(&o.out, "out", "docs/bench", "folder of the page; its README.md has the markers")
	flag.StringVar(&o.note, "note", "", "a sentence about the machine, for the page")
	flag.StringVar(&o.from, "from", "", "measure nothing: write the page anew from this raw file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
}

// outcome is everything that a run has found: the raw file.
type outcome struct {
	Begun   time.Time         `json:"begun"`
	Took    float64           `json:"took_seconds"`
	Rounds  int               `json:"rounds"`
	Seconds float64           `json:"seconds_per_measurement"`
	Note    string            `json:"note,omitempty"`
	Machine machine           `json:"machine"`
	Samples []sample          `json:"samples"`
	Absent  map[string]string `json:"absent"` // peer, or peer at a point: why it was not measured
}

func run(ctx context.Context, o options) error {
	if o.rounds < 1 || o.duration <= 0 {
		return fmt.Errorf("--rounds %d, --duration %v: both must be positive", o.rounds, o.duration)
	}
	axes, err := choose(o.axes)
	if err != nil {
		return err
	}
	if o.from != "" {
		return again(o, axes)
	}
	begun := time.Now()
	points := distinct(axes)
	all := outcome{
		Begun: begun.UTC().Truncate(time.Second), Rounds: o.rounds, Seconds: o.duration.Seconds(), Note: o.note,
		Machine: thisMachine(ctx), Absent: map[string]string{},
	}
	for i, p := range points {
		samples, absent, err := measurePoint(ctx, p, o, progress(i, len(points), begun))
		if err != nil {
			return fmt.Errorf("at %s: %w", p, err)
		}
		all.Samples = append(all.Samples, samples...)
		for name, why := range absent {
			all.Absent[name+" at "+p.String()] = why
		}
	}
	all.Took = time.Since(begun).Seconds()
	raw, err := save(filepath.Join(o.out, "raw"), all)
	if err != nil {
		return err
	}
	if err := publish(o.out, axes, all); err != nil {
		return err
	}
	fmt.Printf("\nbench: %d points, %d measurements in %.0f s; %s and %s\n", len(points), len(all.Samples), all.Took, filepath.Join(o.out, "README.md"), raw)
	return nil
}

// again writes the page of a run that was kept.
func again(o options, axes []axis) error {
	b, err := os.ReadFile(o.from)
	if err != nil {
		return err
	}
	var all outcome
	if err := json.Unmarshal(b, &all); err != nil {
		return fmt.Errorf("%s: %w", o.from, err)
	}
	return publish(o.out, axes, all)
}

// progress returns a function that keeps one line of a terminal up to date; where there is none, it tells every point.
func progress(i, n int, begun time.Time) func(string) {
	head := func() string { return fmt.Sprintf("[%d/%d, %.0f s] ", i+1, n, time.Since(begun).Seconds()) }
	if term.IsTerminal(int(os.Stderr.Fd())) {
		return func(text string) { fmt.Fprint(os.Stderr, "\r\033[K", head(), text) }
	}
	told := false
	return func(text string) {
		if !told {
			fmt.Fprintln(os.Stderr, head()+text)
		}
		told = true
	}
}

// save keeps every measurement as it was made.
func save(dir string, all outcome) (file string, err error) {
	b, err := json.MarshalIndent(all, "", " ")
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return "", err
	}
	file = filepath.Join(dir, "grid-"+all.Begun.Format("20060102T150405Z")+".json")
	return file, os.WriteFile(file, b, 0o644)
}
