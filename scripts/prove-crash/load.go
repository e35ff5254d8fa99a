package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bellhop-mesh/bellhop/client"
	"github.com/bellhop-mesh/bellhop/scripts/prove"
)

// call is one call and what came of it.
type call struct {
	id         string
	idempotent bool
	start, end time.Duration
	class      client.Class
	err        error
	wrong      bool // answered with somebody else's reply
}

// load starts calls at fixed moments, whatever became of those before.
type load struct {
	base    time.Time
	every   time.Duration
	tc      atomic.Pointer[client.TClient]
	quit    chan struct{}
	stopped sync.Once
	done    sync.WaitGroup // the pacer and every call

	stalls []stall // the pacer's own; after stop

	mu      sync.Mutex
	calls   []call
	clients []*client.Client
}

// stall is a time in which the pacer did not run: the machine was busy with something else, and whatever gap the callers
// saw then, the proxy need not be its cause.
type stall struct{ from, to time.Duration }

// stallMin is how long a pause of the pacer, who wants to run every millisecond, is worth remembering.
const stallMin = 5 * time.Millisecond

// newLoad starts calling as soon as it has a client.
func newLoad(rate int) *load {
	l := &load{base: time.Now(), every: time.Second / time.Duration(rate), quit: make(chan struct{})}
	l.done.Go(l.pace)
	return l
}

func (l *load) now() time.Duration { return time.Since(l.base) }

// use makes calls from now on with this client. Calls of the one before it end as they will.
func (l *load) use(c *client.Client) {
	l.mu.Lock()
	l.clients = append(l.clients, c)
	l.mu.Unlock()
	l.tc.Store(client.NewTClient(c, service, client.CallOptions{Idempotent: []string{"get"}, Timeout: callLimit}))
}

// stop ends the load and waits for its calls.
func (l *load) stop() {
	l.stopped.Do(func() {
		close(l.quit)
		l.done.Wait()
		for _, c := range l.clients {
			_ = c.Close()
		}
	})
}

// taken returns every call. After stop only.
func (l *load) taken() []call { return l.calls }

// pace starts the calls that are due, every millisecond.
func (l *load) pace() {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	var n int
	var begun time.Duration
	last := l.now()
	for {
		select {
		case <-l.quit:
			return
		case <-tick.C:
		}
		now := l.now()
		if now-last > stallMin {
			l.stalls = append(l.stalls, stall{last, now})
		}
		last = now
		tc := l.tc.Load()
		if tc == nil {
			begun = now
			continue
		}
		for due := int((now - begun) / l.every); n < due; n++ {
			l.done.Add(1)
			go l.one(tc, n)
		}
	}
}

// one makes a call: every other one is idempotent.
func (l *load) one(tc *client.TClient, n int) {
	defer l.done.Done()
	c := call{id: fmt.Sprintf("call-%08d", n), idempotent: n%2 == 0, start: l.now()}
	method := "put"
	if c.idempotent {
		method = "get"
	}
	var reply prove.Text
	_, c.err = tc.Call(context.Background(), method, &prove.Text{S: c.id}, &reply)
	c.end, c.class = l.now(), client.ClassOf(c.err)
	c.wrong = c.err == nil && reply.S != c.id
	l.mu.Lock()
	l.calls = append(l.calls, c)
	l.mu.Unlock()
}
