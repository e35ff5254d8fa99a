package governed

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/bench/targets"
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
	table, raw := prove.NewTable(name), []*Run{}
	begun := time.Now()
	for _, r := range rows {
		if slices.Contains(o.only, r.Name) && ctx.Err() == nil {
			play(ctx, name, r, o, table, &raw)
		}
	}
	load, _ := os.ReadFile("/proc/loadavg") // others on the machine are in every figure of time
	table.Note("the machine", machine(ctx)+"; load at the end "+strings.TrimSpace(string(load)))
	invalid := 0
	for _, r := range raw {
		if r.Invalid != "" {
			invalid++
		}
	}
	table.Note("runs, and those that were invalid and made again", fmt.Sprintf("%d, %d", len(raw), invalid))
	var text strings.Builder
	code := table.Finish(io.MultiWriter(os.Stdout, &text))
	if o.out != "" {
		if err := keep(o.out, name, begun, text.String(), table.Markdown(), raw); err != nil {
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

// play is one row, from an empty folder to nothing left.
func play(ctx context.Context, name string, r Row, o Options, table *prove.Table, raw *[]*Run) {
	begun := time.Now()
	fmt.Fprintf(os.Stderr, "%s …", r.Name)
	dir, err := os.MkdirTemp("", name+"-")
	if err == nil {
		s := &Stage{Options: o, Row: r.Name, Table: table, Dir: dir, units: map[string]bool{}, raw: raw}
		err = r.Play(ctx, s)
		s.Reset()
		if os.Getenv("KEEP") == "" {
			_ = os.RemoveAll(dir)
		}
	}
	fmt.Fprintf(os.Stderr, " %.0f s\n", time.Since(begun).Seconds())
	if err != nil {
		table.Add(r.Name+" came to its end", "yes", err.Error(), false)
	}
}

// keep writes NAME.txt and NAME.json, and the table into the page beside the folder, where there is one.
func keep(dir, name string, begun time.Time, text, markdown string, raw []*Run) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	at := begun.UTC().Format("2006-01-02 15:04")
	head := fmt.Sprintf("make %s, begun %s\n\n", name, at)
	page := strings.TrimSuffix(filepath.Clean(dir), "/") + ".md"
	if _, err := os.Stat(page); err == nil {
		if err := targets.Rewrite(page, name, "Run of "+at+" ([table](governance/"+name+".txt), [all runs](governance/"+name+".json)).\n\n"+markdown); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, name+".txt"), []byte(head+text), 0o644); err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("[\n")
	for i, r := range raw { // a line each: small, and a difference can be read
		for k, v := range r.Figures { // JSON has no infinity
			if math.IsInf(v, 0) || math.IsNaN(v) {
				r.Figures[k] = -1
			}
		}
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		b.Write(line)
		if i+1 < len(raw) {
			b.WriteString(",")
		}
		b.WriteString("\n")
	}
	return os.WriteFile(filepath.Join(dir, name+".json"), []byte(b.String()+"]\n"), 0o644)
}
