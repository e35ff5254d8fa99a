// Command prove runs the proofs that need real Thrift peers: `make prove-interop` and `make prove-isolation`. It builds
// nothing: scripts/interop/build.sh did. It must never be imported.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/interop"
)

// how are the flags.
type how struct {
	direct  bool
	bellhop string
}

func main() {
	proofs := map[string]func(context.Context, string, how) (failed int, err error){
		"interop": proveInterop, "isolation": proveIsolation,
	}
	name := ""
	if len(os.Args) > 1 {
		name = os.Args[1]
	}
	prove, ok := proofs[name]
	if !ok {
		fmt.Fprintln(os.Stderr, "usage: prove interop|isolation [--direct]")
		os.Exit(2)
	}
	set := flag.NewFlagSet(name, flag.ExitOnError)
	var how how
	set.BoolVar(&how.direct, "direct", false, "without the proxy: what the peers do by themselves")
	set.StringVar(&how.bellhop, "bellhop", "bin/bellhop", "the program to prove")
	_ = set.Parse(os.Args[2:])
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	failed, err := prove(ctx, ".", how)
	if err != nil {
		fmt.Fprintf(os.Stderr, "prove-%s: %v\n", name, err)
	}
	if err != nil || failed > 0 {
		os.Exit(1)
	}
}

func proveInterop(ctx context.Context, root string, how how) (failed int, err error) {
	begun := time.Now()
	langs := interop.Langs()
	servers, err := interop.StartServers(ctx, root, langs)
	defer servers.Stop()
	if err != nil {
		return 0, err
	}
	combos := interop.Direct(langs, servers.Targets)
	if !how.direct {
		proxy, err := interop.StartProxy(ctx, interop.MatrixSetup(how.bellhop, servers.Targets))
		if err != nil {
			return 0, err
		}
		defer proxy.Stop()
		combos = interop.Through(proxy, langs, servers.Targets)
	}
	results, err := interop.Run(ctx, root, combos, os.Stdout)
	if err != nil {
		return 0, err
	}
	failed = interop.Summary(os.Stdout, results, time.Since(begun))
	return failed, nil
}

func proveIsolation(ctx context.Context, root string, how how) (failed int, err error) {
	servers, err := interop.StartServers(ctx, root, interop.Langs())
	defer servers.Stop()
	if err != nil {
		return 0, err
	}
	if how.direct {
		_, err := interop.Naive(servers.Targets, os.Stdout)
		return 0, err
	}
	fields := interop.Fields(servers.Targets)
	proxy, err := interop.StartProxy(ctx, interop.IsolationSetup(how.bellhop, fields))
	if err != nil {
		return 0, err
	}
	defer proxy.Stop()
	return interop.Isolate(ctx, proxy.Addr, fields, os.Stdout)
}
