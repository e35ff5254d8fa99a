package callers

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/bellhop-mesh/bellhop/client"
	"github.com/bellhop-mesh/bellhop/scripts/prove"
)

// Tally is what became of the calls that ended since it was begun.
type Tally struct {
	Calls   int
	Failed  int
	Excused int           // failed as Excuse says they must
	Wrong   int           // answered by a server of another service
	First   error         // of those that failed
	Gap     time.Duration // longest time without a call that went well
}

// Load starts calls at fixed moments, whatever became of those before, of each service in turn.
type Load struct {
	client *client.Client
	to     []*client.TClient
	names  []string
	every  time.Duration
	quit   chan struct{}
	paced  sync.WaitGroup
	flight sync.WaitGroup // calls; added to under mu while not paused

	mu     sync.Mutex // guards what follows
	paused bool
	now    Tally
	last   time.Time // a call went well
	seen   map[string]chan time.Time
	excuse func(service string, err error, at time.Time) bool
}

// NewLoad starts callers of services by an address file, rate calls a second in all. Nothing is called before Begin.
func NewLoad(file string, rate int, services ...string) (*Load, error) {
	c, err := client.New(client.Options{AddressFile: file, Source: "prove", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	l := &Load{
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
func (l *Load) pace() {
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
				l.flight.Go(func() { _ = l.One(i) })
			}
			l.mu.Unlock()
		}
	}
}

// One makes a call and counts it.
func (l *Load) One(i int) error {
	var who prove.Text
	_, err := l.to[i].Call(context.Background(), "who", &prove.Text{S: "?"}, &who)
	service, addr, _ := strings.Cut(who.S, "|")
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now.Calls++
	if err != nil && l.excuse != nil && l.excuse(l.names[i], err, now) {
		l.now.Excused++
		return err
	}
	if err != nil {
		l.now.Failed++
		if l.now.First == nil {
			l.now.First = err
		}
		return err
	}
	if service != l.names[i] {
		l.now.Wrong++
	}
	l.now.Gap = max(l.now.Gap, now.Sub(l.last))
	l.last = now
	if ch := l.seen[addr]; ch != nil {
		ch <- now
		delete(l.seen, addr)
	}
	return nil
}

// Begin starts the calls, and forgets what was counted.
func (l *Load) Begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now, l.last, l.paused = Tally{}, time.Now(), false
}

// Pause starts no more calls, and waits for those that are under way.
func (l *Load) Pause() Tally {
	l.mu.Lock()
	l.paused = true
	l.mu.Unlock()
	l.flight.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

// From tells when the first reply of a server comes from now on.
func (l *Load) From(addr string) <-chan time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	ch := make(chan time.Time, 1)
	l.seen[addr] = ch
	return ch
}

// Stop ends it.
func (l *Load) Stop() {
	close(l.quit)
	l.paced.Wait()
	l.flight.Wait()
	_ = l.client.Close()
}

// Excuse says which failed calls are right from now on; nil: none. It is called with a lock held.
func (l *Load) Excuse(f func(service string, err error, at time.Time) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.excuse = f
}
