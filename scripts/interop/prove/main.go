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

func main() {
	if len(os.Args) < 2 || os.Args[1] != "interop" {
		fmt.Fprintln(os.Stderr, "usage: prove interop [--direct]")
		os.Exit(2)
	}
	set := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	direct := set.Bool("direct", false, "without the proxy: what the peers do by themselves")
	_ = set.Parse(os.Args[2:])
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	failed, err := proveInterop(ctx, *direct)
	if err != nil {
		fmt.Fprintln(os.Stderr, "prove-interop:", err)
	}
	if err != nil || failed > 0 {
		os.Exit(1)
	}
}

func proveInterop(ctx context.Context, direct bool) (failed int, err error) {
	begun := time.Now()
	root, langs := ".", interop.Langs()
	servers, err := interop.StartServers(ctx, root, langs)
	defer servers.Stop()
	if err != nil {
		return 0, err
	}
	combos := interop.Direct(langs, servers.Targets)
	results, err := interop.Run(ctx, root, combos, os.Stdout)
	if err != nil {
		return 0, err
	}
	fmt.Printf("took %.1f s\n", time.Since(begun).Seconds())
	return interop.Summary(os.Stdout, results), nil
}
