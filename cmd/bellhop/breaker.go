package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/bellhop-mesh/bellhop/cmd/bellhop/admin"
	"github.com/bellhop-mesh/bellhop/proxy"
)

func newBreaker() *cobra.Command {
	c := &cobra.Command{
		Use:   "breaker",
		Short: "List circuit breakers and ejected endpoints, open or close them by hand",
		Long: `List circuit breakers and ejected endpoints with the evidence, or open and close them by hand.

TARGET is an endpoint's address, as bellhop status shows it, or a method. An open endpoint takes no calls, though it be the only
one; calls of an open method get a fault. What is closed is in use again at once, and stays so for --for, whatever happens.`,
		Example: `  bellhop breaker list
  bellhop breaker open demo.Greeter 10.1.0.7:9090 --for 10m
  bellhop breaker close demo.Greeter hello`,
		Args: onlyCommands,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newBreakerList(), newBreakerSet("open"), newBreakerSet("close"))
	return c
}

func newBreakerList() *cobra.Command {
	var f askFlags
	c := &cobra.Command{
		Use:   "list",
		Short: "List what is open, half open, just back or kept closed",
		Long:  `List endpoints and methods that calls are kept away from, since when, until when and why; those that are just back; and those kept closed by hand.`,
		Example: `  bellhop breaker list
  bellhop breaker list --json | jq '.[] | select(.state == "open") | .why'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			addr, err := f.address()
			if err != nil {
				return err
			}
			var list []proxy.BreakerStatus
			if err := admin.Ask(c.Context(), addr, "/breakers", &list); err != nil {
				return err
			}
			if f.json {
				return writeJSON(c.OutOrStdout(), list)
			}
			return listBreakers(c.OutOrStdout(), list, time.Now())
		},
	}
	f.where(c)
	c.Flags().BoolVar(&f.json, "json", false, "print one JSON list")
	return c
}

func newBreakerSet(state string) *cobra.Command {
	var f askFlags
	var d time.Duration
	does := "Keep calls away from an endpoint, or answer a method's with a fault"
	usual := "until it is closed"
	if state == "close" {
		does, usual = "Have an endpoint or a method take calls again", "now, and what happens then may open it again"
	}
	c := &cobra.Command{
		Use:   state + " SERVICE ENDPOINT|METHOD",
		Short: does,
		Long:  does + ". Without --for: " + usual + ".",
		Example: fmt.Sprintf(`  bellhop breaker %s demo.Greeter 10.1.0.7:9090 --for 10m
  bellhop breaker %[1]s demo.Greeter hello`, state),
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			if c.Flags().Changed("for") {
				if err := byHand("--for", d); err != nil {
					return err
				}
			}
			return setBreaker(c.Context(), c.OutOrStdout(), f, args[0], args[1], state, d)
		},
	}
	f.where(c)
	c.Flags().DurationVar(&d, "for", 0, "for how long, up to "+mostByHand)
	return c
}

func setBreaker(ctx context.Context, w io.Writer, f askFlags, service, target, state string, d time.Duration) error {
	addr, err := f.address()
	if err != nil {
		return err
	}
	q := url.Values{"service": {service}, "target": {target}, "state": {state}}
	if d != 0 {
		q.Set("for", d.String())
	}
	var list []proxy.BreakerStatus
	if err := admin.Do(ctx, addr, "/breakers?"+q.Encode(), &list); err != nil {
		return err
	}
	now := map[string]string{"open": "open", "close": "closed"}[state]
	if d != 0 {
		now += " for " + d.String()
	}
	_, err = fmt.Fprintf(w, "%s of %s is %s\n", target, service, now)
	return err
}

// listBreakers writes a table.
func listBreakers(w io.Writer, list []proxy.BreakerStatus, now time.Time) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "every circuit breaker is closed, and no endpoint is ejected")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SERVICE\tTARGET\tSTATE\tUNTIL\tWHY")
	for i := range list {
		b := &list[i]
		target := b.Endpoint
		if target == "" {
			target = b.Method
		}
		why := b.Why
		switch {
		case b.Kept:
			why = "kept closed by hand"
		case b.State == "closed":
			why = fmt.Sprintf("just back or new: has %.0f %% of its weight", 100*b.Share)
		case b.Times > 1:
			why += fmt.Sprintf(" (%d times in a row)", b.Times)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", b.Service, target, b.State, untilWord(b, now), strings.ReplaceAll(why, "\n", " "))
	}
	return t.Flush()
}

func untilWord(b *proxy.BreakerStatus, now time.Time) string {
	switch {
	case b.State == "half-open":
		return "its probe"
	case b.Until.IsZero() && b.State == "open":
		return "closed by hand"
	case b.Until.IsZero():
		return "-"
	}
	return "in " + max(b.Until.Sub(now), 0).Round(time.Second).String()
}
