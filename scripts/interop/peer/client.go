package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/bellhop-mesh/bellhop/scripts/interop/gen-go/interop"
)

// target is one line of a caller's work.
type target struct{ id, framing, addr, service string }

// check is one promise of interop.thrift, tried over the target's connection.
type check struct {
	name string
	try  func(context.Context, *interop.LaterClient) error
}

// run tries every check over one connection and returns how many there were.
func (t target) run() (int, error) {
	f, err := framingOf(t.framing)
	if err != nil {
		return 0, fmt.Errorf("framing: %w", err)
	}
	network, address := splitAddr(t.addr)
	conn, err := net.DialTimeout(network, address, patience)
	if err != nil {
		return 0, fmt.Errorf("connect: %w", err)
	}
	defer conn.Close()
	ctx := context.Background()
	var client *interop.LaterClient
	switch {
	case f.ttheader:
		prot := f.protocols().GetProtocol(callTTHeader(conn, f, t.service))
		client = interop.NewLaterClient(thrift.NewTStandardClient(prot, prot))
	case f.osp:
		osp := f.ospClient(conn, t.service)
		defer osp.peer.Close()
		client = interop.NewLaterClient(osp)
	default:
		client, ctx, err = t.apache(ctx, f, conn)
	}
	if err != nil {
		return 0, fmt.Errorf("connect: %w", err)
	}
	all := t.checks()
	for _, c := range all {
		if err := c.try(ctx, client); err != nil {
			return 0, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return len(all), nil
}

// apache builds the library's own stack. The service goes in front of the method name, or into the THeader.
func (t target) apache(ctx context.Context, f framing, conn net.Conn) (*interop.LaterClient, context.Context, error) {
	trans, err := f.transports().GetTransport(thrift.NewTSocketFromConnConf(conn, f.config()))
	if err != nil {
		return nil, nil, err
	}
	in := f.protocols().GetProtocol(trans)
	out := in
	switch {
	case t.service == "":
	case f.theader:
		ctx = thrift.SetWriteHeaderList(thrift.SetHeader(ctx, "service", t.service), []string{"service"})
	default:
		out = thrift.NewTMultiplexedProtocol(out, t.service)
	}
	return interop.NewLaterClient(thrift.NewTStandardClient(in, out)), ctx, nil
}

func (t target) checks() []check {
	all := []check{
		{"ping", func(ctx context.Context, c *interop.LaterClient) error { return c.Ping(ctx) }},
		{"echo-text", echo("hello")},
		{"echo-empty", echo("")},
		{"echo-unicode", echo("grüße, 世界 🌍")},
		{"echo-large", echo(strings.Repeat("0123456789", 10_000))},
		{"echo-everything", echoEverything},
		{"verify", verify},
		{"sample", takeSample},
		{"add", add},
		{"negate", negate},
		{"half", half},
		{"next-color", nextColor},
		{"blob", blob},
		{"divide", divide},
		{"divide-by-zero", divideByZero},
		{"fail", fail},
		{"later", later},
		{"notify", notify(fmt.Sprintf("go-%s-%d", t.id, time.Now().UnixNano()))},
		{"add-again", add},
	}
	return all
}

func same[T comparable](got, want T, err error) error {
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("got %v, want %v", got, want)
	}
	return nil
}

func echo(s string) func(context.Context, *interop.LaterClient) error {
	return func(ctx context.Context, c *interop.LaterClient) error {
		got, err := c.EchoString(ctx, s)
		if err == nil && got != s {
			return fmt.Errorf("%d bytes came back of %d, or other ones", len(got), len(s))
		}
		return err
	}
}

// echoEverything sends a sample that differs from the one that servers know.
func echoEverything(ctx context.Context, c *interop.LaterClient) error {
	sent := sample()
	sent.Yes, sent.No, sent.Real, sent.Text = false, true, 1e-300, ""
	sent.Lines = sent.Lines[:14] // the longest list with compact's short header
	sent.Absent = shape()
	got, err := c.EchoEverything(ctx, sent)
	if err != nil {
		return err
	}
	return complain(differs(got, sent))
}

func verify(ctx context.Context, c *interop.LaterClient) error {
	what, err := c.Verify(ctx, sample())
	if err != nil {
		return err
	}
	return complain(what)
}

func takeSample(ctx context.Context, c *interop.LaterClient) error {
	got, err := c.Sample(ctx)
	if err != nil {
		return err
	}
	return complain(differs(got, sample()))
}

func complain(what string) error {
	if what == "" {
		return nil
	}
	return errors.New(what)
}

func add(ctx context.Context, c *interop.LaterClient) error {
	got, err := c.Add(ctx, 1<<53+1, 41)
	if err := same(got, 1<<53+42, err); err != nil {
		return err
	}
	got, err = c.Add(ctx, -(1<<53 + 1), -7)
	return same(got, -(1<<53 + 8), err)
}

func negate(ctx context.Context, c *interop.LaterClient) error {
	got, err := c.Negate(ctx, true)
	if err := same(got, false, err); err != nil {
		return err
	}
	got, err = c.Negate(ctx, false)
	return same(got, true, err)
}

func half(ctx context.Context, c *interop.LaterClient) error {
	got, err := c.Half(ctx, -0.1)
	return same(got, -0.05, err)
}

func nextColor(ctx context.Context, c *interop.LaterClient) error {
	got, err := c.NextColor(ctx, interop.Color_GREEN)
	if err := same(got, interop.Color_BLUE, err); err != nil {
		return err
	}
	got, err = c.NextColor(ctx, got)
	return same(got, interop.Color_RED, err)
}

func blob(ctx context.Context, c *interop.LaterClient) error {
	for _, b := range [][]byte{{}, bytes.Repeat(everyByte(), 16)} {
		got, err := c.Blob(ctx, b)
		if err != nil {
			return err
		}
		if !bytes.Equal(got, b) {
			return fmt.Errorf("%d bytes came back of %d, or other ones", len(got), len(b))
		}
	}
	return nil
}

func divide(ctx context.Context, c *interop.LaterClient) error {
	got, err := c.Divide(ctx, 7, 2)
	return same(got, 3, err)
}

func divideByZero(ctx context.Context, c *interop.LaterClient) error {
	_, err := c.Divide(ctx, 7, 0)
	var bad *interop.InvalidOperation
	if !errors.As(err, &bad) {
		return fmt.Errorf("want InvalidOperation, got %v", err)
	}
	if bad.Code != 22 || bad.Why != "divide 7 by zero" || bad.Details["a"] != "7" || len(bad.Details) != 1 {
		return fmt.Errorf("got %v", bad)
	}
	return nil
}

// fail: servers in C++ and Node.js say UNKNOWN, the others INTERNAL_ERROR.
func fail(ctx context.Context, c *interop.LaterClient) error {
	return appException(c.Fail(ctx), thrift.UNKNOWN_APPLICATION_EXCEPTION, thrift.INTERNAL_ERROR)
}

// later: servers in Node.js say UNKNOWN.
func later(ctx context.Context, c *interop.LaterClient) error {
	_, err := c.Later(ctx, 1)
	return appException(err, thrift.UNKNOWN_METHOD, thrift.UNKNOWN_APPLICATION_EXCEPTION)
}

func appException(err error, types ...int32) error {
	var app thrift.TApplicationException
	if !errors.As(err, &app) {
		return fmt.Errorf("want a TApplicationException, got %v", err)
	}
	for _, t := range types {
		if app.TypeId() == t {
			return nil
		}
	}
	return fmt.Errorf("TApplicationException type %d (%v), want one of %v", app.TypeId(), app, types)
}

// notify polls: nothing orders a oneway before a later call once a proxy spreads them over connections.
func notify(key string) func(context.Context, *interop.LaterClient) error {
	return func(ctx context.Context, c *interop.LaterClient) error {
		if err := c.Notify(ctx, key); err != nil {
			return err
		}
		for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) {
			n, err := c.Notified(ctx, key)
			if err != nil || n == 1 {
				return err
			}
			if n > 1 || time.Since(begun) > patience {
				return fmt.Errorf("the server counted %d", n)
			}
		}
	}
}
