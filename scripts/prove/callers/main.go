package callers

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
)

// Event is one thing that happens, in an empty folder, under a name for --only.
type Event struct {
	Name    string
	Happens func(ctx context.Context, dir string, t *prove.Table) error
}

// Main is the proof `make NAME`: it lets events happen one by one, prints the table, and ends the process. Flags of the
// proof are defined before. missing says what this machine lacks; "": nothing.
func Main(name string, events []Event, missing func() string) {
	if len(os.Args) > 1 && os.Args[1] == "peer" {
		if err := runPeers(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, name, "peer:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	var names []string
	for _, e := range events {
		names = append(names, e.Name)
	}
	only := flag.String("only", "", "these events, separated by commas, of "+strings.Join(names, ", "))
	asJSON := flag.Bool("json", false, "the table as JSON")
	flag.Parse()
	chosen := names
	if *only != "" {
		chosen = strings.Split(*only, ",")
	}
	for _, one := range chosen {
		if !slices.Contains(names, one) {
			fmt.Fprintf(os.Stderr, "%s: --only names %q; the events are %s\n", name, one, strings.Join(names, ", "))
			os.Exit(2)
		}
	}
	if why := missing(); why != "" {
		fmt.Fprintf(os.Stderr, "%s: %s\n", name, why)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	table := prove.NewTable(name)
	for _, e := range events {
		if slices.Contains(chosen, e.Name) && ctx.Err() == nil {
			run(ctx, name, e, table)
		}
	}
	load, _ := os.ReadFile("/proc/loadavg") // others on the machine are in every figure of time
	table.Note("the machine", prove.Machine()+"; load at the end "+strings.TrimSpace(string(load)))
	finish := table.Finish
	if *asJSON {
		finish = table.FinishJSON
	}
	os.Exit(finish(os.Stdout))
}

// run is one event, from an empty folder to nothing left.
func run(ctx context.Context, name string, e Event, table *prove.Table) {
	begun := time.Now()
	fmt.Fprintf(os.Stderr, "%s …", e.Name)
	dir, err := os.MkdirTemp("", name+"-")
	if err == nil {
		err = e.Happens(ctx, dir, table)
		_ = os.RemoveAll(dir)
	}
	fmt.Fprintf(os.Stderr, " %.0f s\n", time.Since(begun).Seconds())
	if err != nil {
		table.Add(e.Name+" came to its end", "yes", err.Error(), false)
	}
}
