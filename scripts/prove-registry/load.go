package main

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/bellhop-mesh/bellhop/client"
)

// tally is what became of the calls that ended since it was begun.
type tally struct {
	calls, failed, wrong int // wrong: answered by a server of another service
	first                error
	gap                  time.Duration // longest time without a call that went well
}

// load starts calls at fixed moments, whatever became of those before, of each service in turn.
type load struct {
	client *client.Client
	to     []*client.TClient
	names  []string
	every  time.Duration
	quit   chan struct{}
	paced  sync.WaitGroup
	flight sync.WaitGroup // calls; added to under mu while not paused

	mu     sync.Mutex // guards what follows
	paused bool
	now    tally
	last   time.Time // a call went well
	seen   map[string]chan time.Time
}

func newLoad(file string, rate int, services ...string) (*load, error) {
	c, err := client.New(client.Options{AddressFile: file, Source: "prove-registry", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	l := &load{
		client: c, names: services, every: time.Second / time.Duration(rate), quit: make(chan struct{}), paused: true,
		seen: map[string]chan time.Time{},
	}
	for _, name := range services {
		l.to = append(l.to, client.NewTClient(c, name, client.CallOptions{Timeout: time.Second}))
	}
	l.paced.Go(l.pace)
	return l, nil
}

// pace starts the calls that are due, every millisecond.
func (l *load) pace() {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	next, n := time.Now(), 0
	for {
		select {
		case <-l.quit:
			return
		case now := <-tick.C:
			l.mu.Lock()
			if l.paused {
				next = now
			}
			for ; next.Before(now); next = next.Add(l.every) {
				i := n % len(l.to)
				n++
				l.flight.Go(func() { _ = l.one(i) })
			}
			l.mu.Unlock()
		}
	}
}

// one makes a call and counts it.
func (l *load) one(i int) error {
	var who text
	_, err := l.to[i].Call(context.Background(), "who", &text{"?"}, &who)
	service, addr, _ := strings.Cut(who.s, "|")
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now.calls++
	if err != nil {
		l.now.failed++
		if l.now.first == nil {
			l.now.first = err
		}
		return err
	}
	if service != l.names[i] {
		l.now.wrong++
	}
	l.now.gap = max(l.now.gap, now.Sub(l.last))
	l.last = now
	if ch := l.seen[addr]; ch != nil {
		ch <- now
		delete(l.seen, addr)
	}
	return nil
}

// begin forgets what was counted.
func (l *load) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now, l.last, l.paused = tally{}, time.Now(), false
}

// pause starts no more calls, and waits for those that are under way.
func (l *load) pause() tally {
	l.mu.Lock()
	l.paused = true
	l.mu.Unlock()
	l.flight.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

// from tells when the first reply of a server comes from now on.
func (l *load) from(addr string) <-chan time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	ch := make(chan time.Time, 1)
	l.seen[addr] = ch
	return ch
}

func (l *load) stop() {
	close(l.quit)
	l.paced.Wait()
	l.flight.Wait()
	_ = l.client.Close()
}
