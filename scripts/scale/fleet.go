package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"
)

// host is one session, as a proxy has one, with its bytes counted.
type host struct {
	conn     *zk.Conn
	up, down atomic.Int64
	ready    chan struct{}      // closed with the first session
	back     func(at time.Time) // nil: nobody cares that a session is on another connection

	mu     sync.Mutex // guards socket
	socket net.Conn
	once   sync.Once
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}

type counted struct {
	net.Conn
	h *host
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.h.down.Add(int64(n))
	return n, err
}

func (c counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.h.up.Add(int64(n))
	return n, err
}

// connect begins a session and waits for it.
func connect(servers []string, session time.Duration, back func(time.Time)) (*host, error) {
	h := &host{ready: make(chan struct{}), back: back}
	dial := func(network, addr string, timeout time.Duration) (net.Conn, error) {
		c, err := net.DialTimeout(network, addr, timeout)
		if err != nil {
			return nil, err
		}
		h.mu.Lock()
		h.socket = c
		h.mu.Unlock()
		return counted{c, h}, nil
	}
	conn, _, err := zk.Connect(servers, session, zk.WithDialer(dial), zk.WithLogger(quiet{}), zk.WithLogInfo(false), zk.WithEventCallback(h.told))
	if err != nil {
		return nil, err
	}
	h.conn = conn
	select {
	case <-h.ready:
		return h, nil
	case <-time.After(30 * time.Second):
		conn.Close()
		return nil, errors.New("no session after 30s")
	}
}

func (h *host) told(ev zk.Event) {
	if ev.Type != zk.EventSession || ev.State != zk.StateHasSession {
		return
	}
	first := false
	h.once.Do(func() { first = true; close(h.ready) })
	if !first && h.back != nil {
		h.back(time.Now())
	}
}

func (h *host) cut() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.socket.Close()
}

func (h *host) bytes() both { return both{float64(h.up.Load()), float64(h.down.Load())} }

// settled are the bytes once none came for a while.
func (h *host) settled() both {
	for last := h.bytes(); ; {
		<-time.After(150 * time.Millisecond)
		if now := h.bytes(); now == last {
			return now
		} else {
			last = now
		}
	}
}

func (b both) less(o both) both      { return both{b.Up - o.Up, b.Down - o.Down} }
func (b both) over(n float64) both   { return both{b.Up / n, b.Down / n} }
func service(i int) string           { return fmt.Sprintf("/bellhop/services/com.example.shop.Service%04d", i) }
func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func instance(i int) string {
	return fmt.Sprintf("10.%d.%d.%d:9090", 10+i%90, 100+i/90%100, 100+i%97)
}

func (h *host) close() { h.conn.Close() }

func closeAll(fleet []*host) {
	_ = each(len(fleet), func(i int) error { // none fails
		if fleet[i] != nil {
			fleet[i].close()
		}
		return nil
	})
}

// fleetOf begins n sessions. After an error those that were begun are closed.
func fleetOf(servers []string, n int, back func(time.Time)) ([]*host, error) {
	fleet := make([]*host, n)
	err := each(n, func(i int) error {
		h, err := connect(servers, 30*time.Second, back)
		fleet[i] = h
		return err
	})
	if err != nil {
		closeAll(fleet)
		return nil, err
	}
	return fleet, nil
}

// each calls f for 0…n-1, 64 at a time; the first error ends it.
func each(n int, f func(i int) error) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(n, 64) {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if err := f(i); err != nil {
					cancel(err)
				}
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}
