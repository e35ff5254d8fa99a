// Command thriftperf makes load for Thrift, OSP and dapeng servers and measures it, and is an echo server to measure
// against. Both sides are one thread around epoll that costs a few microseconds a call, so that what is measured is
// what stands between them. It must never be part of the data plane, and it trusts nobody's replies: every one is
// decoded and compared.
//
//	load ──epoll──► [ proxy ] ──► serve ──epoll
//	 │ sequence ─► slot: when it was to start       │ call ─► the same string as field 0
//	 ▼
//	histogram, failures by kind, CPU of itself and of --cpu-of processes
//
//	hold ──one call──► [ proxy ], and then silence
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/protocol/osp"
	"github.com/bellhop-mesh/bellhop/protocol/thrift"
)

// version is set by the linker.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{
		Use: "thriftperf", Short: "load generator and echo server for Thrift, OSP and dapeng", Version: version,
		SilenceUsage: true, SilenceErrors: true,
	}
	root.AddCommand(loadCommand(), serveCommand(), holdCommand())
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "thriftperf:", err)
		os.Exit(1)
	}
}

// codecs are all framings that can be spoken here, by framing.
func codecs() map[protocol.Framing]protocol.Codec {
	all := map[protocol.Framing]protocol.Codec{}
	for _, c := range append(thrift.Codecs(), osp.Codecs()...) {
		all[c.Framing()] = c
	}
	return all
}

// address is a place to listen at or to connect to.
type address struct{ network, addr string }

// parseAddress reads tcp:HOST:PORT or unix:PATH.
func parseAddress(s string) (address, error) {
	network, addr, ok := strings.Cut(s, ":")
	if !ok || addr == "" || (network != "tcp" && network != "unix") {
		return address{}, fmt.Errorf("address %q: write tcp:HOST:PORT or unix:PATH", s)
	}
	return address{network, addr}, nil
}

func (a address) String() string { return a.network + ":" + a.addr }
