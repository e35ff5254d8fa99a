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
	now     addrfile.File // what should be published; its Move is that of the last write
	due     time.Time     // not to be written before, when only the remote proxies or the moves have changed
	started bool
	unsaid  bool // now differs from what is published
	missed  bool // the last lease was not renewed
	changed chan struct{}
	moves   map[string]time.Time // sources asked to use the remote tier, until when
	wrote   time.Time            // the file, last
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
	b.tell()
}

// tell has a change written when its turn has come.
func (b *Beacon) tell() {
	if !b.started {
		return
	}
	b.unsaid = true
	select {
	case b.changed <- struct{}{}:
	default:
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
	b.unsaid = true
	now := time.Now()
	b.now.Move = b.moving(now)
	if _, err := b.file.Write(b.now); err != nil {
		return err
	}
	b.unsaid = false
	b.wrote, b.due = now, now.Add(remoteEvery)
	return nil
}

// Run renews the lease until ctx ends: a little more often than every third of it, which guests may count on, and only after
// every worker has answered a tick. It is what wakes an idle proxy most: each round of an idle loop costs 1 ms to 2 ms, since
// the runtime watches a loop that has gone back to epoll for 10 ms. It goes on
// while the proxy drains: guests that are still being answered should know that somebody is there.
func (b *Beacon) Run(ctx context.Context) {
	lease := time.NewTicker(b.file.Lease() / 25 * 8) // its own clock: changes must not put it off
	defer lease.Stop()
	for {
		var due <-chan time.Time
		if at, ok := b.unsaidAt(); ok {
			due = time.After(time.Until(at))
		}
		select {
		case <-ctx.Done():
			return
		case <-lease.C:
			b.renew(ctx)
		case <-b.changed:
		case <-due:
			b.catchUp()
		}
	}
}

// unsaidAt says when a change has its turn.
func (b *Beacon) unsaidAt() (time.Time, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.due, b.unsaid
}

func (b *Beacon) catchUp() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.write(); err != nil {
		b.log.Error("the address file could not be written; it is tried again", "error", err)
		b.due = time.Now().Add(remoteEvery)
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
