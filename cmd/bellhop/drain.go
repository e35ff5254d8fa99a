package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/bellhop-mesh/bellhop/cmd/bellhop/admin"
	"github.com/bellhop-mesh/bellhop/proxy"
)

func newDrain() *cobra.Command {
	var f askFlags
	var toRemote time.Duration
	var cancel bool
	c := &cobra.Command{
		Use:   "drain --to-remote DURATION",
		Short: "Have a host's calls go to the remote tier for a while",
		Long: `Have a host's calls go to the remote tier for a while: for maintenance of the host, without ending its proxy.

New calls are handed over within what the remote proxies grant; what they do not take is served here, so nothing is refused for
it. Sources are asked to use the remote tier themselves. It ends by itself.`,
		Example: `  bellhop drain --to-remote 10m
  bellhop status                  how much longer
  bellhop drain --cancel`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if cancel == c.Flags().Changed("to-remote") {
				return usage(errors.New("write one of --to-remote 10m and --cancel"))
			}
			if !cancel {
				if err := byHand("--to-remote", toRemote); err != nil {
					return err
				}
			}
			return drain(c.Context(), c.OutOrStdout(), f, toRemote)
		},
	}
	f.where(c)
	c.Flags().DurationVar(&toRemote, "to-remote", 0, "for how long, up to "+mostByHand)
	c.Flags().BoolVar(&cancel, "cancel", false, "end it")
	return c
}

// drain asks the proxy; 0 ends it.
func drain(ctx context.Context, w io.Writer, f askFlags, d time.Duration) error {
	addr, err := f.address()
	if err != nil {
		return err
	}
	query := "cancel=1"
	if d != 0 {
		query = "to-remote=" + url.QueryEscape(d.String())
	}
	var p proxy.Pressure
	if err := admin.Do(ctx, addr, "/drain?"+query, &p); err != nil {
		return err
	}
	if d == 0 {
		_, err = fmt.Fprintln(w, "the host is not drained to the remote tier")
	} else {
		_, err = fmt.Fprintf(w, "the host is drained to the remote tier %s; bellhop drain --cancel ends it\n", admin.ToRemote(p.ToRemoteS, p.ByRule))
	}
	return err
}
