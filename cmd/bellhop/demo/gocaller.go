package demo

import (
	"context"
	"log/slog"
	"time"

	"github.com/bellhop-mesh/bellhop/client"
)

// The callers' paces. They are there to be watched, not to measure what a machine can do.
const (
	goPace      = 2 * time.Millisecond
	ospPace     = 5 * time.Millisecond
	farawayTurn = 25 // the Go caller's every so manieth call goes to the service that this host does not know
	patience    = time.Second
)

// callGo calls by package client, one call after the other, until ctx ends: with one caller at a time the client's
// counters tell which proxy took a call.
func callGo(ctx context.Context, addressFile string, near, far *record) error {
	c, err := client.New(client.Options{AddressFile: addressFile, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer c.Close()
	o := client.CallOptions{Idempotent: []string{helloMethod}, Timeout: patience}
	toNear, toFar := client.NewTClient(c, greeterService, o), client.NewTClient(c, farawayService, o)
	every(ctx, goPace, func(n int) {
		to, rec := toNear, near
		if n%farawayTurn == farawayTurn-1 {
			to, rec = toFar, far
		}
		before, start := c.Stats(), time.Now()
		result := text{id: 0}
		_, err := to.Call(context.WithoutCancel(ctx), helloMethod, &text{1, "Go"}, &result) // the last call is answered too
		if end := time.Now(); err != nil {
			rec.lost(err)
		} else {
			rec.answered(taken(before, c.Stats()), end.Sub(start), end)
		}
	})
	return nil
}

// taken tells which proxy answered the call between two readings.
func taken(before, after client.Stats) via {
	l, r := after.Local-before.Local, after.Remote-before.Remote
	if l > 0 && r > 0 && !after.Away || r == 0 {
		return local
	}
	return remote
}

// every runs f at a pace until ctx ends. A slow f delays the next one and is not made up for.
func every(ctx context.Context, pace time.Duration, f func(n int)) {
	t := time.NewTicker(pace)
	defer t.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			f(n)
		}
	}
}
