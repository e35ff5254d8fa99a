package daemonset

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/bellhop-mesh/bellhop/daemonset/addrfile"
)

// remoteEvery is the shortest time between two writes that only change the list of remote proxies: a registry that
// flaps must not make every guest of every host read its file all the time.
const remoteEvery = 5 * time.Second

// publisher is the address file; *addrfile.Writer is one.
type publisher interface {
	Write(addrfile.File) (addrfile.File, error)
	Touch() error
	Lease() time.Duration
}

// Beacon keeps the address file true: it writes it when what it says changes, and renews its lease for as long as the
// data plane proves to be alive. Safe for concurrent use.
type Beacon struct {
	file publisher
	tick func(context.Context) error // returns when every worker has answered
	log  *slog.Logger

	mu      sync.Mutex
	now     addrfile.File // what should be published
	wrote   time.Time     // when something was last
	started bool
	unsaid  bool // now differs from what is published
	missed  bool // the last lease was not renewed
	changed chan struct{}
}

// NewBeacon makes a beacon that says nothing yet. tick is called from Run only.
func NewBeacon(file publisher, tick func(context.Context) error, log *slog.Logger) *Beacon {
	return &Beacon{file: file, tick: tick, log: log, changed: make(chan struct{}, 1)}
}

// Serving publishes the addresses for the first time. The error is the file system's, or says which address can't be
// published.
func (b *Beacon) Serving(local []addrfile.Addr, remote []addrfile.Addr) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now.State, b.now.Local, b.now.Remote = addrfile.Serving, local, remote
	b.started = true
	return b.write()
}

// SetRemote changes the list of remote proxies; it is published at most every five seconds.
func (b *Beacon) SetRemote(remote []addrfile.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if slices.Equal(b.now.Remote, remote) {
		return
	}
	b.now.Remote = remote
	if b.started {
		b.unsaid = true
		select {
		case b.changed <- struct{}{}:
		default:
		}
	}
}

// Draining tells guests to leave, before the first connection is closed.
func (b *Beacon) Draining() error { return b.farewell(addrfile.Draining) }

// Down is the last word. The list of remote proxies stays in the file.
func (b *Beacon) Down() error { return b.farewell(addrfile.Down) }

func (b *Beacon) farewell(s addrfile.State) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.started {
		return nil // nobody was told to come
	}
	b.now.State = s
	return b.write()
}

// State is what was said last; empty before Serving.
func (b *Beacon) State() addrfile.State {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now.State
}

func (b *Beacon) write() error {
	if _, err := b.file.Write(b.now); err != nil {
		b.unsaid = true
		return err
	}
	b.wrote, b.unsaid = time.Now(), false
	return nil
}

// Run renews the lease until ctx ends: every quarter of it, and only after every worker has answered a tick. It goes on
// while the proxy drains: guests that are still being answered should know that somebody is there.
func (b *Beacon) Run(ctx context.Context) {
	every := b.file.Lease() / 4
	for {
		var due <-chan time.Time
		if wait, ok := b.unsaidIn(); ok {
			due = time.After(wait)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
			b.renew(ctx)
		case <-b.changed:
		case <-due:
			b.catchUp()
		}
	}
}

// unsaidIn says how long a change has to wait for its turn.
func (b *Beacon) unsaidIn() (time.Duration, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.unsaid {
		return 0, false
	}
	return max(remoteEvery-time.Since(b.wrote), b.file.Lease()/4), true
}

func (b *Beacon) catchUp() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.write(); err != nil {
		b.log.Error("the address file could not be written; it is tried again", "error", err)
		b.wrote = time.Now()
	}
}

// renew touches the file when the data plane is alive, and says once when it is not.
func (b *Beacon) renew(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, b.file.Lease())
	defer cancel()
	err := b.tick(ctx)
	if err != nil {
		err = fmt.Errorf("a worker did not answer in time: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil && b.started {
		err = b.file.Touch()
	}
	switch {
	case err != nil && !b.missed && ctx.Err() != context.Canceled:
		b.log.Error("the lease was not renewed; guests will go to the remote tier", "error", err)
	case err == nil && b.missed:
		b.log.Info("the lease is renewed again")
	}
	b.missed = err != nil
}
