package demo

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
)

// shortest is how long a demo lasts at least: callers need time to go away and to come back.
const (
	shortest = 3 * time.Second
	longest  = time.Hour
)

// Command is `bellhop demo`.
func Command() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "demo",
		Short: "See it all on this machine, with an end",
		Long: `See it all on this machine, with an end.

Starts two instances of a Thrift service, an OSP service, a local and a remote proxy, and callers in Go, Python and OSP
that come in by the address file. Half-way the local proxy is killed: calls go on through the remote proxy. Then it is
started again, and they come back. Everything lives in a temporary directory and ends with the demo.

Exit code 0 when no call failed and both proxies were used.`,
		Example: `  bellhop demo
  bellhop demo --for 1m
  bellhop demo --for 5s --json | jq .failed`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("demo takes no arguments, got %q", args)
			}
			if o.total < shortest || o.total > longest {
				return fmt.Errorf("--for %v: write a time from %v to %v", o.total, shortest, longest)
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return run(c.Context(), o, os.Stdout) },
	}
	c.Flags().DurationVar(&o.total, "for", 15*time.Second, "how long it lasts, without starting and ending")
	c.Flags().BoolVar(&o.json, "json", false, "print one JSON object at the end, and nothing else")
	c.AddCommand(serviceCommand())
	return c
}

// serviceCommand runs a sample service: the demo starts it as a process of its own.
func serviceCommand() *cobra.Command {
	return &cobra.Command{
		Use: "service KIND NAME", Hidden: true, Short: "Run a sample service until standard input ends",
		Example: "  bellhop demo service greeter 'greeter 1'",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return errors.New("write the kind of service, greeter or orders, and its name")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return serveSample(args[0], args[1]) },
	}
}
