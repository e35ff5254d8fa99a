package zookeeper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-zookeeper/zk"
)

// The times that nobody needs to set.
const (
	firstContest  = 30 * time.Second // before a node is taken back from another owner; doubles up to
	lastContest   = 10 * time.Minute // this
	forgetContest = time.Hour        // in place for so long: the next one is a first one again
	mostLooks     = 5                // of one try: look, act, look again …
)

var (
	errByHand    = errors.New("a node is there that no session owns, so somebody made it by hand; remove it, or leave the registration out")
	errNotOurs   = errors.New("the node of that name names another address, and is left alone")
	errUnsettled = errors.New("others keep writing there")
	errContested = errors.New("another process, with the same address in its configuration, has taken the node over")
)

func (p *place) contested() bool { return p.fights > 0 && !p.placed }

// happened takes an event. It runs on the library's goroutine and must not wait.
func (r *Registrar) happened(ev event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ev.path != "" {
		if p := r.places[ev.path]; p != nil {
			p.armed = false
			r.touch(p)
			p.due = p.settled.Add(readGap) // somebody may remove it again and again
		}
		return
	}
	switch ev.state {
	case zk.StateExpired: // all nodes of the session are gone
		for _, p := range r.places {
			p.placed, p.armed = false, false
			p.turn++
		}
	case zk.StateHasSession:
		r.resting, r.downs = time.Time{}, 0
		for _, p := range r.places {
			p.failures = 0
			r.touch(p)
		}
	}
}

// Run writes what is wanted and keeps it until ctx ends; it then returns nil and leaves every node as it is: withdraw
// first what has to go, and wait for it. To be called once.
func (r *Registrar) Run(ctx context.Context) error {
	for {
		wait := r.round(ctx)
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-r.bell:
			t.Stop()
		case <-t.C:
		}
	}
}

// round tries every place that is due and returns how long nothing is.
func (r *Registrar) round(ctx context.Context) time.Duration {
	due, wait := r.due(time.Now())
	for _, p := range due {
		within, cancel := context.WithTimeout(ctx, readTimeout)
		unreachable := r.settle(within, p)
		cancel()
		if ctx.Err() != nil {
			return 0
		}
		if unreachable { // the others wouldn't fare better
			break
		}
	}
	if len(due) > 0 {
		_, wait = r.due(time.Now())
	}
	return wait
}

func (r *Registrar) due(now time.Time) (list []*place, wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rest := r.resting.Sub(now); rest > 0 {
		return nil, rest
	}
	wait = r.o.Audit
	for _, p := range r.places {
		if left := p.due.Sub(now); left > 0 {
			wait = min(wait, left)
		} else {
			list, wait = append(list, p), 0
		}
	}
	return list, wait
}

// job is what a place asks for, as it was when a look at it began.
type job struct {
	turn, edition uint64
	want          bool
	data          []byte
	placed        bool
	czxid         int64
	watch         bool
}

// settle looks at a place's node, does what is to be done, and looks again, until all is well or it can't be helped for
// now. true: the ensemble can't be reached.
func (r *Registrar) settle(ctx context.Context, p *place) (unreachable bool) {
	var made uint64 // the edition that this try wrote or read
	for range mostLooks {
		j := r.begin(p, made)
		n, there, err := r.client.stat(ctx, p.path, j.watch)
		if err != nil && j.watch {
			r.disarm(p)
		}
		if err == nil {
			var well bool
			if well, err = r.judge(ctx, p, j, n, there, &made); well && r.end(p, j, n) {
				return false
			}
		}
		switch {
		case err == nil, raced(err):
		case errors.Is(err, errContested):
			return false
		default:
			return r.failed(p, err)
		}
	}
	return r.failed(p, fmt.Errorf("write %s: %w", p.path, errUnsettled))
}

// raced says whether somebody was quicker: looking again tells more.
func raced(err error) bool {
	return errors.Is(err, zk.ErrNodeExists) || errors.Is(err, zk.ErrNoNode) || errors.Is(err, zk.ErrBadVersion)
}

func (r *Registrar) begin(p *place, made uint64) job {
	r.mu.Lock()
	defer r.mu.Unlock()
	j := job{turn: p.turn, edition: p.edition, want: p.want, data: p.data, placed: p.placed, czxid: p.czxid}
	j.watch = p.want && !p.armed && (p.placed || made > 0 || p.fights > 0) // not for a node that we create now: we would be told
	p.armed = p.armed || j.watch
	return j
}

func (r *Registrar) disarm(p *place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.armed = false
}

// judge does what is to be done about a node; true: nothing is.
func (r *Registrar) judge(ctx context.Context, p *place, j job, n node, there bool, made *uint64) (bool, error) {
	if !j.want {
		return r.leave(ctx, p, j, n, there)
	}
	if j.placed && (!there || n.ours && n.version != 0) {
		r.correct(p, j)
	}
	create := change{path: p.path, ephemeral: true, data: j.data}
	remove := change{path: p.path, delete: true, version: n.version}
	switch {
	case !there:
		err := r.client.change(ctx, create)
		if errors.Is(err, zk.ErrNoNode) {
			if err = ensure(ctx, r.client, p.dir); err == nil {
				err = r.client.change(ctx, create)
			}
		}
		if err == nil {
			*made = j.edition
		}
		return false, err
	case n.owner == 0:
		return false, fmt.Errorf("register %s: %w", p.path, errByHand)
	case n.ours && n.version == 0 && (n.czxid == j.czxid || *made == j.edition):
		return true, nil
	case n.ours: // the answer to a request was lost, or it says something else now
		data, _, err := r.client.read(ctx, p.path)
		if err != nil {
			return false, err
		}
		if n.version == 0 && bytes.Equal(data, j.data) {
			*made = j.edition
			return true, nil
		}
	default:
		if err := r.mayTake(ctx, p, j, n); err != nil {
			return false, err
		}
	}
	err := r.client.change(ctx, remove, create) // whoever watches never sees it gone
	if err != nil {
		return false, err
	}
	*made = j.edition
	if !n.ours {
		r.takenOver.Add(1)
		r.o.Log.Info("a node of another session was taken over", "path", p.path, "session", fmt.Sprintf("%#x", uint64(n.owner)))
	}
	return false, nil
}

// leave takes a node away that was withdrawn; true: it is gone, or not ours to take away.
func (r *Registrar) leave(ctx context.Context, p *place, j job, n node, there bool) (bool, error) {
	switch {
	case !there, n.owner == 0:
		return true, nil
	case !n.ours && (j.placed || p.fights > 0): // taken over by a process that finds it well
		return true, nil
	case !n.ours:
		if err := r.named(ctx, p); err != nil {
			return errors.Is(err, errNotOurs), err
		}
	}
	return false, r.client.change(ctx, change{path: p.path, delete: true, version: n.version})
}

// mayTake judges a node of another session. The one of a predecessor becomes ours at once. One that was ours was taken
// over by somebody who believes the same of us: it is in place for callers, and is taken back after a while that grows.
func (r *Registrar) mayTake(ctx context.Context, p *place, j job, n node) error {
	now := time.Now()
	r.mu.Lock()
	if p.placed && n.owner != p.owner {
		if now.Sub(p.until) > forgetContest {
			p.fights = 0
		}
		p.placed = false
		p.fights++
		wait := jittered(min(r.o.contest<<min(p.fights-1, 10), lastContest))
		p.until = now.Add(wait)
		p.problem = fmt.Sprintf("register %s: %v", p.path, errContested)
		r.o.Log.Warn("another process has taken our node over; two with the same address in their configuration?", "path", p.path,
			"session", fmt.Sprintf("%#x", uint64(n.owner)), "times", p.fights, "taken_back_in", wait.Round(time.Second))
	}
	if left := p.until.Sub(now); left > 0 {
		if p.turn == j.turn {
			p.due = now.Add(min(left, jittered(r.o.Audit)))
		}
		r.mu.Unlock()
		return errContested
	}
	r.mu.Unlock()
	return r.named(ctx, p)
}

// named judges whether a node of somebody else is for our address, where its name does not say so.
func (r *Registrar) named(ctx context.Context, p *place) error {
	if p.layout == Bellhop || p.layout == Dapeng {
		return nil
	}
	data, _, err := r.client.read(ctx, p.path)
	if err != nil {
		return err
	}
	m, ok, err := p.layout.parse(p.child, data, rules{})
	if err != nil || ok && m.endpoint.Addr != p.addr {
		return fmt.Errorf("register %s: %w", p.path, errNotOurs)
	}
	return nil
}

func (r *Registrar) correct(p *place, j job) {
	r.corrected.Add(1)
	r.mu.Lock()
	p.placed = false
	p.armed = j.watch // one that stood before has told nothing
	r.mu.Unlock()
	r.o.Log.Warn("a registration was removed or written by others; it is made again", "path", p.path)
}

// end notes that all is well with a place; false: something has happened since it was looked at, or its watch is to be set.
func (r *Registrar) end(p *place, j job, n node) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resting, r.downs = time.Time{}, 0
	if p.turn != j.turn {
		return false
	}
	if !j.want {
		delete(r.places, p.path)
		p.release()
		return true
	}
	if !p.placed {
		r.o.Log.Info("registered", "path", p.path)
	}
	p.placed, p.owner, p.czxid = true, n.owner, n.czxid
	if !p.armed {
		return false
	}
	p.failures, p.problem = 0, ""
	p.settled = time.Now()
	p.due = p.settled.Add(jittered(r.o.Audit))
	return true
}

// failed has a place tried again after a while that grows; true: no other needs to be tried before either.
func (r *Registrar) failed(p *place, err error) (unreachable bool) {
	if errors.Is(err, context.Canceled) {
		return true
	}
	r.failures.Add(1)
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	news := p.problem != err.Error()
	p.problem = err.Error()
	if lasting(err) || raced(err) || errors.Is(err, errByHand) || errors.Is(err, errNotOurs) || errors.Is(err, errUnsettled) ||
		errors.Is(err, zk.ErrNotEmpty) || errors.Is(err, zk.ErrNoChildrenForEphemerals) {
		p.due = now.Add(jittered(min(firstRetry<<min(p.failures, 10), lastRetry)))
		p.failures++
		p.placed = false
	} else {
		unreachable = true
		r.resting = now.Add(jittered(min(firstRetry<<min(r.downs, 10), lastRetry)))
		r.downs++
	}
	if news {
		r.o.Log.Warn("a registration is not in place; it is tried again and again", "path", p.path, "problem", err)
	}
	return unreachable
}
