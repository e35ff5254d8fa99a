package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bellhop-mesh/bellhop/cmd/bellhop/admin"
	"github.com/bellhop-mesh/bellhop/cmd/bellhop/status"
	"github.com/bellhop-mesh/bellhop/proxy"
)

// explainFlags say what is known of the call.
type explainFlags struct {
	askFlags
	source, caller, version string
	header                  []string
	failed                  int
}

func newExplain() *cobra.Command {
	var f explainFlags
	c := &cobra.Command{
		Use:   "explain SERVICE METHOD",
		Short: "Tell where a call would go now and why, and what became of those that failed",
		Long: `Tell where a call would go now and why: which rules match and which do not, what they decide, how much limits and budgets
allow, which endpoints are candidates with their load and health, and what the proxy would do. Nothing is called: the
proxy goes the way of such a call up to where it would be sent. The last calls that failed are told with what happened to
them at each endpoint. SERVICE:METHOD is taken, too.`,
		Example: `  bellhop explain demo.Greeter hello
  bellhop explain demo.Greeter hello --source 2f0c5c1e-8a3e-4a55-9d3c-6b1e0c9f5a11 --header user=7
  bellhop explain demo.Greeter:hello --failed 50
  bellhop explain demo.Greeter hello --json | jq .verdict`,
		Args: func(_ *cobra.Command, args []string) error {
			_, _, err := calledName(args)
			return err
		},
		RunE: func(c *cobra.Command, args []string) error { return explain(c.Context(), c.OutOrStdout(), args, f) },
	}
	f.where(c)
	c.Flags().StringVar(&f.source, "source", "", "the call comes from this source: a `key` as bellhop status shows it")
	c.Flags().StringVar(&f.caller, "caller", "", "the `name` that the call claims for its caller")
	c.Flags().StringVar(&f.version, "version", "", "the `version` of the service in the call")
	c.Flags().StringArrayVar(&f.header, "header", nil, "a header key or cookie, `k=v`; any number of times")
	c.Flags().IntVar(&f.failed, "failed", 10, "tell of so many calls that failed, at most")
	c.Flags().BoolVar(&f.json, "json", false, "print one JSON object")
	return c
}

// calledName takes SERVICE METHOD, or both in one.
func calledName(args []string) (service, method string, err error) {
	if len(args) == 1 {
		if at := strings.LastIndexByte(args[0], ':'); at > 0 && at < len(args[0])-1 {
			return args[0][:at], args[0][at+1:], nil
		}
	}
	if len(args) != 2 || args[0] == "" || args[1] == "" {
		return "", "", fmt.Errorf("%d arguments; write SERVICE METHOD", len(args))
	}
	return args[0], args[1], nil
}

// question is the path to ask.
func (f *explainFlags) question(args []string) (string, error) {
	service, method, err := calledName(args)
	if err != nil {
		return "", err
	}
	if f.failed < 0 || f.failed > admin.MaxFailed {
		return "", fmt.Errorf("--failed %d: write a number from 0 to %d", f.failed, admin.MaxFailed)
	}
	v := url.Values{"service": {service}, "method": {method}, "failed": {strconv.Itoa(f.failed)}}
	for key, value := range map[string]string{"source": f.source, "caller": f.caller, "version": f.version} {
		if value != "" {
			v.Set(key, value)
		}
	}
	for _, h := range f.header {
		key, value, ok := strings.Cut(h, "=")
		if !ok || key == "" {
			return "", fmt.Errorf("--header %q: write k=v", h)
		}
		v.Add("header", key+":"+value)
	}
	return "/explain?" + v.Encode(), nil
}

func explain(ctx context.Context, w io.Writer, args []string, f explainFlags) error {
	path, err := f.question(args)
	if err != nil {
		return usage(err)
	}
	addr, err := f.address()
	if err != nil {
		return err
	}
	var x proxy.Explanation
	if err := admin.Ask(ctx, addr, path, &x); err != nil {
		return err
	}
	if f.json {
		return writeJSON(w, &x)
	}
	s := newScreen(w)
	return status.Explain(w, &x, status.Options{Color: s.file != nil && !slices.Contains([]string{"dumb", ""}, os.Getenv("TERM")) && os.Getenv("NO_COLOR") == ""})
}
