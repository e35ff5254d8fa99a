package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bellhop-mesh/bellhop/protocol"
)

type loadOptions struct {
	target, service, method, framing string
	connections, depth, size         int
	services                         int
	uids                             string
	duration, warmup, timeout        time.Duration
	rate                             float64
	cpuOf                            []int
	json, perCall, phases            bool

	arrivals string // constant or poisson
	seed     uint64 // of poisson
	grain    time.Duration
	startAt  int64    // Unix time in ms at which calls begin; 0: now
	unit     string   // systemd unit to become
	headers  []string // KEY=VALUE
	addrFile string   // instead of target
	source   string   // key in the address file's move
	bad      bool     // calls that servers with --fail-bad fail
}

func loadCommand() *cobra.Command {
	o := loadOptions{}
	cmd := &cobra.Command{
		Use:   "load",
		Short: "call an echo method as fast as it answers, or at a rate",
		Long: `Call a method that takes one string and returns it, and measure.

Closed loop (the default): each connection has --depth calls in flight, and the next one starts when one has ended.
Open loop (--rate): calls start at fixed moments, however slow the replies are; a call that finds every slot taken waits,
and its latency counts from the moment at which it was to start (no coordinated omission).

Every reply is decoded and compared. The exit code is 1 when a call failed.`,
		Example: `  thriftperf load --target tcp:127.0.0.1:9090
  thriftperf load --target unix:/run/bellhop/pub/proxy.sock --service demo.Greeter --rate 2000 --duration 30s
  thriftperf load --target tcp:127.0.0.1:9090 --framing osp --service Echo --depth 16 --cpu-of 1234 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runLoad(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.target, "target", "tcp:127.0.0.1:9090", "tcp:HOST:PORT or unix:PATH")
	f.StringVar(&o.service, "service", "", "service that the frames name; empty: none, the listener knows")
	f.IntVar(&o.services, "services", 1, "services, over which the connections are spread: the name is --service and a number from 0")
	f.StringVar(&o.method, "method", "echo", "method")
	f.StringVar(&o.framing, "framing", "framed-binary", strings.Join(protocol.WireNames(), ", "))
	f.IntVar(&o.connections, "connections", 64, "connections")
	f.IntVar(&o.depth, "depth", 1, "calls in flight on each connection, at most 1024")
	f.IntVar(&o.size, "size", 128, "bytes of the string")
	f.DurationVar(&o.duration, "duration", 5*time.Second, "how long to measure")
	f.DurationVar(&o.warmup, "warmup", 500*time.Millisecond, "load before that, which is not measured")
	f.DurationVar(&o.timeout, "timeout", 2*time.Second, "a call without a reply for so long has failed, and its connection is closed")
	f.Float64Var(&o.rate, "rate", 0, "calls a second, over all connections; 0: closed loop")
	f.IntSliceVar(&o.cpuOf, "cpu-of", nil, "process ids whose CPU time per call is measured too")
	f.BoolVar(&o.perCall, "per-call", false, "a new connection for every call, as callers without a pool make them; its making counts in the latency")
	f.StringVar(&o.uids, "uids", "", "unix, root only: FIRST-LAST, users that the connections are made by in turn")
	f.BoolVar(&o.phases, "phases", false, "each SIGUSR1 begins a part of the load that is reported by itself, beside the whole")
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	o.addSourceFlags(f)
	return cmd
}

// addSourceFlags adds the flags by which many loads are the many sources of one host.
func (o *loadOptions) addSourceFlags(f *pflag.FlagSet) {
	f.StringVar(&o.arrivals, "arrivals", "constant", "open loop: constant gaps, or poisson (exponential ones, as many independent callers make)")
	f.Uint64Var(&o.seed, "seed", 1, "poisson: the same seed makes the same gaps")
	f.DurationVar(&o.grain, "grain", 0, "poisson: gather the calls at moments so far apart, which costs less CPU; their latency counts from there")
	f.Int64Var(&o.startAt, "start-at", 0, "Unix time in ms at which the calls begin, so that several loads begin together; connections are made before")
	f.StringVar(&o.unit, "unit", "", "root only: be in the cgroup of this systemd unit (such as web@1.service), so that a proxy takes this load for that source")
	f.StringArrayVar(&o.headers, "header", nil, "KEY=VALUE for the header of every call, in framings that have one; may be repeated")
	f.BoolVar(&o.bad, "bad", false, "make calls that servers with --fail-bad fail")
	f.StringVar(&o.addrFile, "address-file", "", "find the proxy by this address file instead of --target: the remote tier when the local one asks us to move, drains or refuses")
	f.StringVar(&o.source, "source", os.Getenv("BELLHOP_SOURCE"), "with --address-file: our key in its list of those who are to move")
}

func (o *loadOptions) check() error {
	var errs []error
	bound := func(name string, v, low, high int) {
		if v < low || v > high {
			errs = append(errs, fmt.Errorf("--%s %d: must be %d to %d", name, v, low, high))
		}
	}
	bound("connections", o.connections, 1, 1<<16)
	bound("depth", o.depth, 1, 1024)
	bound("size", o.size, 0, 8<<20)
	bound("services", max(1, o.services), 1, 1<<16)
	if o.duration <= 0 || o.warmup < 0 || o.timeout <= 0 {
		errs = append(errs, errors.New("--duration and --timeout must be positive, --warmup not negative"))
	}
	if o.perCall && o.depth != 1 {
		errs = append(errs, fmt.Errorf("--per-call with --depth %d: a connection that carries one call has depth 1", o.depth))
	}
	if o.perCall && o.uids != "" {
		errs = append(errs, errors.New("--per-call with --uids: write one of them"))
	}
	if o.rate == 0 && (o.arrivals == "poisson" || o.addrFile != "") {
		errs = append(errs, errors.New("--arrivals poisson and --address-file need an open loop: write --rate too"))
	}
	if o.addrFile != "" && (o.perCall || o.uids != "") {
		errs = append(errs, errors.New("--address-file with --per-call or --uids: write one of them"))
	}
	if o.rate < 0 || o.rate > 1e7 {
		errs = append(errs, fmt.Errorf("--rate %v: must be 0 to 10000000", o.rate))
	}
	return errors.Join(errs...)
}

// speech makes the calls of connection i.
func (o *loadOptions) speech(i int) (*speech, error) {
	var extra []protocol.KV
	for _, h := range o.headers {
		key, value, ok := strings.Cut(h, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("--header %q: write KEY=VALUE", h)
		}
		extra = append(extra, protocol.KV{Key: []byte(key), Value: []byte(value)})
	}
	return newSpeechWith(o.framing, nameOf(o.service, o.services, i, o.connections), o.method, o.size, extra, o.bad)
}
