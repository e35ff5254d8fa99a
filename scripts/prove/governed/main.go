package governed

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
)

// Options are those of all three proofs.
type Options struct {
	Pairs    int
	Quick    bool
	Duration time.Duration // of one measured load
	Share    float64       // of a core that a proxy has where it is to be scarce
	Base     string        // another bellhop to compare the price of a call with; "": none
	out      string
	only     []string
}

// Row is a part of a proof, with a name for --only.
type Row struct {
	Name string
	Play func(ctx context.Context, s *Stage) error
}

// parse reads the flags.
func parse(name string, rows []Row) Options {
	var o Options
	var names []string
	for _, r := range rows {
		names = append(names, r.Name)
	}
	flag.IntVar(&o.Pairs, "pairs", 7, "pairs of runs, one after the other")
	flag.BoolVar(&o.Quick, "quick", false, "two pairs of short runs, for trying out: no proof, invalid ones count")
	flag.DurationVar(&o.Duration, "duration", 3*time.Second, "of one measured load")
	flag.Float64Var(&o.Share, "share", 0.2, "of a core that the proxy has where it must be the bottleneck")
	flag.StringVar(&o.Base, "base", "", "another bellhop binary, such as one of the release before, that the price of a call is compared with too")
	flag.StringVar(&o.out, "out", "", "folder for the raw results and the table (docs/bench/governance)")
	only := flag.String("only", "", "these rows, separated by commas, of "+strings.Join(names, ", "))
	flag.Parse()
	if o.only = names; *only != "" {
		o.only = strings.Split(*only, ",")
	}
	for _, one := range o.only {
		if !slices.Contains(names, one) {
			fmt.Fprintf(os.Stderr, "%s: --only names %q; the rows are %s\n", name, one, strings.Join(names, ", "))
			os.Exit(2)
		}
	}
	if o.Quick {
		o.Pairs, o.Duration = 2, min(o.Duration, 1500*time.Millisecond)
	}
	return o
}

// Main is the proof `make NAME`: it plays the rows, prints the table, keeps the raw results, and ends the process.
func Main(name string, rows []Row) {
	o := parse(name, rows)
	if runtime.NumCPU() < 2 || os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, name+": needs two cores and root: sources are cgroups, and proxies have a core and a quota of their own")
		os.Exit(2)
	}
	if err := pinSelf(); err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	table, all := prove.NewTable(name), []playedRow{}
	for _, r := range rows {
		if slices.Contains(o.only, r.Name) && ctx.Err() == nil {
			one := play(ctx, name, r, o, table)
			if ctx.Err() == nil { // what was interrupted says nothing
				all = append(all, one)
			}
		}
	}
	load, _ := os.ReadFile("/proc/loadavg") // others on the machine are in every figure of time
	table.Note("the machine", machine(ctx)+"; load at the end "+strings.TrimSpace(string(load)))
	code := table.Finish(os.Stdout)
	if o.out != "" {
		var order []string
		for _, r := range rows {
			order = append(order, r.Name)
		}
		if err := keep(o.out, name, order, all); err != nil {
			fmt.Fprintln(os.Stderr, name+":", err)
			code = 1
		}
	}
	stop()
	os.Exit(code)
}

func machine(ctx context.Context) string {
	return prove.Machine() + ", bellhop " + prove.Version(ctx, "bin/bellhop")
}

// play is one row, from an empty folder to nothing left. What it found is added to the table.
func play(ctx context.Context, name string, r Row, o Options, table *prove.Table) playedRow {
	begun, found, raw := time.Now(), prove.NewTable(name), []*Run{}
	fmt.Fprintf(os.Stderr, "%s …", r.Name)
	dir, err := os.MkdirTemp("", name+"-")
	if err == nil {
		s := &Stage{Options: o, Row: r.Name, Table: found, Dir: dir, units: map[string]bool{}, raw: &raw, before: quiet}
		if o.Quick {
			s.before = nil
		}
		err = r.Play(ctx, s)
		s.Reset()
		_ = os.RemoveAll(dir)
	}
	fmt.Fprintf(os.Stderr, " %.0f s\n", time.Since(begun).Seconds())
	if err != nil {
		found.Add(r.Name+" came to its end", "yes", err.Error(), false)
	}
	invalid := 0
	for _, r := range raw {
		if r.Invalid != "" {
			invalid++
		}
	}
	found.Note("… runs, and those of them that were invalid", fmt.Sprintf("%d, %d", len(raw), invalid))
	table.Append(found)
	return playedRow{Row: r.Name, Begun: begun.UTC(), Machine: machine(ctx), Table: found.Rows(), Runs: raw}
}
