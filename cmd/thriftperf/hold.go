package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bellhop-mesh/bellhop/protocol"
)

type holdOptions struct {
	target, service, method, framing string
	connections, services            int
	uids                             string
	silent                           bool
	duration                         time.Duration
}

func holdCommand() *cobra.Command {
	o := holdOptions{}
	cmd := &cobra.Command{
		Use:   "hold",
		Short: "open connections, make one call on each, and keep them idle",
		Long: `Open connections, make one call on each, and keep them idle until a signal comes or --duration is over.
"holding N" is printed when all are there. A process holds about as many as its limit of descriptors; start several for more.

With --services each connection calls a service of its own: the name is --service and a number from 0. With --uids each
connects as another user, which only root can do, so that a proxy that asks the kernel takes each for a source of its own.`,
		Example: "  thriftperf hold --target tcp:127.0.0.1:7070 --service demo.Echo --connections 10000",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return hold(cmd.Context(), o, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.target, "target", "tcp:127.0.0.1:9090", "tcp:HOST:PORT or unix:PATH")
	f.StringVar(&o.service, "service", "", "service that the frames name; empty: none, the listener knows")
	f.IntVar(&o.services, "services", 1, "services, over which the connections are spread")
	f.StringVar(&o.method, "method", "echo", "method")
	f.StringVar(&o.framing, "framing", "framed-binary", strings.Join(protocol.WireNames(), ", "))
	f.IntVar(&o.connections, "connections", 1000, "connections")
	f.StringVar(&o.uids, "uids", "", "unix, root only: FIRST-LAST, users that the connections are made by in turn")
	f.BoolVar(&o.silent, "silent", false, "make no call")
	f.DurationVar(&o.duration, "duration", 0, "how long; 0: until a signal")
	return cmd
}

// hold returns when ctx is done or the time is over.
func hold(ctx context.Context, o holdOptions, out io.Writer) error {
	target, err := parseAddress(o.target)
	if err != nil {
		return err
	}
	who, err := parseUsers(o.uids, target)
	if err != nil {
		return err
	}
	if o.connections < 1 || o.connections > 1<<16 || o.services < 1 || o.services > 1<<16 {
		return fmt.Errorf("--connections %d, --services %d: both must be 1 to 65536", o.connections, o.services)
	}
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	for i := range o.connections {
		if ctx.Err() != nil {
			return nil
		}
		c, err := who.dial(ctx, target, i)
		if err != nil {
			return fmt.Errorf("connection %d of %d: %w", i+1, o.connections, err)
		}
		conns = append(conns, c)
		if o.silent {
			continue
		}
		sp, err := newSpeech(o.framing, nameOf(o.service, o.services, i, o.connections), o.method, 16)
		if err != nil {
			return err
		}
		if err := callOnce(c, sp); err != nil {
			return fmt.Errorf("the call on connection %d: %w", i+1, err)
		}
	}
	_, _ = fmt.Fprintf(out, "holding %d\n", len(conns))
	if o.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.duration)
		defer cancel()
	}
	<-ctx.Done()
	return nil
}

// nameOf is the service of connection i of n: evenly spread over the services, so that neighbours in a table of many are
// not neighbours on the connections.
func nameOf(service string, services, i, n int) string {
	switch {
	case services <= 1:
		return service
	case services > n:
		return fmt.Sprintf("%s%d", service, i*services/n)
	}
	return fmt.Sprintf("%s%d", service, i%services)
}

// callOnce makes one call and awaits its reply.
func callOnce(c net.Conn, sp *speech) error {
	frame, err := sp.appendCall(nil, 1)
	if err != nil {
		return err
	}
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := c.Write(frame); err != nil {
		return err
	}
	var scan protocol.Scan
	var in []byte
	var buf [512]byte // not kept: thousands of connections are held
	for {
		n, err := c.Read(buf[:])
		if err != nil {
			return err
		}
		in = append(in, buf[:n]...)
		n, err = sp.codec.Split(&scan, in, protocol.DefaultMaxFrame)
		if err != nil {
			return err
		}
		if n == 0 {
			continue
		}
		seq, err := sp.judge(in[:n])
		if err == nil && seq != 1 {
			err = errStray
		}
		return errors.Join(err, c.SetDeadline(time.Time{}))
	}
}
