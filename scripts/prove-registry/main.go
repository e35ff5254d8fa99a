// Command prove-registry shows what a proxy's callers feel while its ZooKeeper ensemble fails, and forgets, and changes:
// nothing. The ensemble, the servers and the proxy are real. It must never stop calling around an event, nor forgive a call.
//
//	calls at a fixed rate ─► client ─► bellhop local ─► peers, in processes of their own
//	                                        ▲
//	                 tree ─► ensemble ─► relays
//
// Every event has a stage of its own. Exit code 1: a target was missed, or an event did not come to its end.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
	"github.com/bellhop-mesh/bellhop/scripts/zkensemble"
)

// event is one thing that happens, under a name for --only.
type event struct {
	name    string
	happens func(context.Context, *stage, *prove.Table) error
}

var events = []event{
	{"leader", leaderDies},
	{"servers", oneByOne},
	{"outage", allDown},
	{"silence", silent},
	{"restart", restart},
	{"cut", cut},
	{"hole", hole},
	{"watches", losses},
	{"rules", badPush},
	{"vanish", vanish},
	{"address", address},
	{"scale", scale},
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "peer" {
		if err := runPeers(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "prove-registry peer:", err)
			os.Exit(1)
		}
		return
	}
	var names []string
	for _, e := range events {
		names = append(names, e.name)
	}
	only := flag.String("only", "", "these events, separated by commas, of "+strings.Join(names, ", "))
	outage := flag.Duration("outage", time.Minute, "how long the ensemble is down, or silent")
	asJSON := flag.Bool("json", false, "the table as JSON")
	flag.Parse()
	chosen := names
	if *only != "" {
		chosen = strings.Split(*only, ",")
	}
	for _, name := range chosen {
		if !slices.Contains(names, name) {
			fmt.Fprintf(os.Stderr, "prove-registry: --only names %q; the events are %s\n", name, strings.Join(names, ", "))
			os.Exit(2)
		}
	}
	if why := zkensemble.Missing(); why != "" {
		fmt.Fprintln(os.Stderr, "prove-registry:", why)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	table := prove.NewTable("prove-registry")
	for _, e := range events {
		if slices.Contains(chosen, e.name) && ctx.Err() == nil {
			run(ctx, e, *outage, table)
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
func run(ctx context.Context, e event, outage time.Duration, table *prove.Table) {
	begun := time.Now()
	fmt.Fprintf(os.Stderr, "%s …", e.name)
	err := onStage(outage, func(s *stage) error { return e.happens(ctx, s, table) })
	fmt.Fprintf(os.Stderr, " %.0f s\n", time.Since(begun).Seconds())
	if err != nil {
		table.Add(e.name+" came to its end", "yes", err.Error(), false)
	}
}

func onStage(outage time.Duration, f func(*stage) error) error {
	dir, err := os.MkdirTemp("", "prove-registry-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s, err := newStage(filepath.Join(dir, "stage"), outage)
	if err != nil {
		return err
	}
	defer s.stop()
	return f(s)
}
