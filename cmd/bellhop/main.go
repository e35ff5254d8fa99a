// Command bellhop is the node-level shared RPC proxy, its remote tier, and the tools of the person who runs it.
//
//	local, remote                                  a proxy process: configuration ─► cmd/bellhop/node
//	status, explain, drain, call, rules, check, version   ask a running one, or the files
//	demo                                           everything on this machine, with an end
//
// This package has the flags and the exit codes and nothing else: 0 it went well, 1 it failed, 2 the command line or
// the configuration is wrong. call has one more, 3: an exception that the IDL declares.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/bellhop-mesh/bellhop/cmd/bellhop/call"
	"github.com/bellhop-mesh/bellhop/cmd/bellhop/demo"
)

// version is set by the build.
var version = "dev"

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// usageError is an error of the command line or of a configuration.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usage(err error) error {
	if err == nil {
		return nil
	}
	return usageError{err}
}

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var ue usageError
	var ce *call.Exit
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &ce):
		if err.Error() != "" { // else it was told already
			fmt.Fprintln(os.Stderr, "bellhop:", err)
		}
		return ce.ExitCode()
	case errors.As(err, &ue):
		fmt.Fprintln(os.Stderr, "bellhop:", err)
		return exitUsage
	default:
		fmt.Fprintln(os.Stderr, "bellhop:", err)
		return exitFailed
	}
}

// onlyCommands judges the arguments of a command that has commands and does nothing itself.
func onlyCommands(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unknown command %q", args[0])
	}
	return nil
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "bellhop",
		Short: "One proxy per host carries every guest's Thrift and OSP calls",
		Long: `One proxy per host carries every guest's Thrift and OSP calls.

Exit codes: 0 it went well, 1 it failed, 2 the command line or a configuration is wrong.`,
		Example: `  bellhop local                                   run the proxy of this host, without any configuration
  bellhop call demo.Greeter hello '{"1":{"str":"bob"}}'
  bellhop demo                                    see it all on this machine`,
		SilenceErrors: true, SilenceUsage: true,
		Version: version,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			hint := ""
			if near := c.SuggestionsFor(args[0]); len(near) > 0 {
				hint = "; did you mean " + strings.Join(near, " or ") + "?"
			}
			return usage(fmt.Errorf("unknown command %q%s; see bellhop --help", args[0], hint))
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SuggestionsMinimumDistance = 2 // letters that may differ
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage(fmt.Errorf("%w; see %s --help", err, c.CommandPath()))
	})
	root.AddCommand(newLocal(), newRemote(), newStatus(), newDrain(), newBreaker(), newCheck(), newRules(), newExplain(), newVersion(), call.Command(), demo.Command())
	argumentErrors(root)
	return root
}

// argumentErrors makes wrong arguments of every command below a usage error.
func argumentErrors(parent *cobra.Command) {
	for _, c := range parent.Commands() {
		if args := c.Args; args != nil {
			c.Args = func(c *cobra.Command, a []string) error {
				if err := args(c, a); err != nil {
					return usage(fmt.Errorf("%w; see %s --help", err, c.CommandPath()))
				}
				return nil
			}
		}
		argumentErrors(c)
	}
}
