package govern

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// MaxKeys is how many keys of one limit are counted each for itself, and maxAllKeys of all limits of a document: each has an
// equal part of them. Keys beyond that share one. A key takes some 200 bytes.
const (
	MaxKeys    = 10_000
	maxAllKeys = 200_000
)

// idleKey is how long a key is kept that nothing counts for any more. Nothing is lost with it: a new one begins as it is.
const idleKey = int64(10 * time.Second)

// Bucket is the state of a limit for one key: what of the rate is spent, and how many calls are in flight. The rate is kept as
// one number, the time at which all that was taken will have been earned (the generic cell rate algorithm, ITU-T I.371).
// Safe for concurrent use; the times are a worker's clock.
type Bucket struct {
	Key   string // what it counts for, as people read it
	every int64  // ns that earn one call; 0: the rate is not bounded
	slack int64  // ns that may be spent in advance
	most  int64  // in flight; 0: not bounded

	earned  atomic.Int64 // without a rate: when it was used last
	flying  atomic.Int64
	waiting atomic.Int64
	gone    atomic.Bool // it was idle, and is no longer the one of its key
}

// Take counts a call against the rate and the calls in flight. wait is 0: it may go, and Release must follow when the limit
// has a bound on calls in flight. Else it may not yet: wait is when the rate allows one, in ns from now; below 0: when a
// call ends.
func (b *Bucket) Take(now int64) (wait int64) {
	if b.most > 0 && b.flying.Add(1) > b.most {
		b.flying.Add(-1)
		return -1
	}
	if b.every == 0 {
		b.earned.Store(now)
		return 0
	}
	for {
		at := b.earned.Load()
		from := max(at, now)
		if wait = from - now - b.slack; wait > 0 {
			b.Release()
			return wait
		}
		if b.earned.CompareAndSwap(at, from+b.every) {
			return 0
		}
	}
}

// Release ends a call in flight. Exactly once for each that was taken.
func (b *Bucket) Release() {
	if b.most > 0 {
		b.flying.Add(-1)
	}
}

// Refund gives the rate back what was taken for a call that was not sent then. Release is due all the same.
func (b *Bucket) Refund() {
	if b.every > 0 {
		b.earned.Add(-b.every)
	}
}

// Look tells what Take would, and takes nothing: left is how many calls the rate allows at once now, -1 when it is not
// bounded.
func (b *Bucket) Look(now int64) (wait int64, left, flying int) {
	flying, left = int(b.flying.Load()), -1
	if b.every > 0 {
		ahead := max(b.earned.Load()-now, 0)
		if wait = max(ahead-b.slack, 0); wait == 0 {
			left = int((b.slack-ahead)/b.every) + 1
		} else {
			left = 0
		}
	}
	if b.most > 0 && int64(flying) >= b.most {
		wait = -1
	}
	return wait, left, flying
}

// Join counts a call that waits; false: most do already.
func (b *Bucket) Join(most int) bool {
	if b.waiting.Add(1) > int64(most) {
		b.waiting.Add(-1)
		return false
	}
	return true
}

// Leave is the end of its wait.
func (b *Bucket) Leave() { b.waiting.Add(-1) }

// Waiting is how many calls wait, over all workers.
func (b *Bucket) Waiting() int { return int(b.waiting.Load()) }

// idle reports whether a new bucket would be the same.
func (b *Bucket) idle(now int64) bool {
	return b.flying.Load() == 0 && b.waiting.Load() == 0 && b.earned.Load() < now-idleKey
}

// limiter is the state of a limit: a bucket for each key, shared by all workers and by all rules in which the limit is the
// same. The mutex is for keys that a worker has not met yet.
type limiter struct {
	every, slack, most int64

	mu     sync.Mutex
	bound  int // of keys
	keys   map[string]*Bucket
	other  *Bucket
	swept  int64
	shared atomic.Uint64 // times that a key was beyond the bound
}

func newLimiter(l *Limit) *limiter {
	s := &limiter{most: int64(l.Concurrency), keys: map[string]*Bucket{}}
	if l.Rate > 0 {
		s.every = max(int64(float64(time.Second)/l.Rate), 1)
		s.slack = int64(max(l.Burst, 1)-1) * s.every
	}
	s.other = s.bucket("other")
	return s
}

func (s *limiter) bucket(key string) *Bucket {
	return &Bucket{Key: key, every: s.every, slack: s.slack, most: s.most}
}

// counts reports whether two limits of rules of one name have the same state.
func (l *Limit) counts(o *Limit) bool {
	return l.Rate == o.Rate && l.Burst == o.Burst && l.Concurrency == o.Concurrency && slices.Equal(l.By, o.By)
}

// find returns the bucket of a key. It may take a mutex: for keys that a worker meets first.
func (s *limiter) find(key string, now int64) *Bucket {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.keys[key]; b != nil {
		return b
	}
	if now-s.swept >= idleKey || len(s.keys) >= s.bound && now-s.swept >= int64(time.Second) {
		s.sweep(now)
	}
	if len(s.keys) >= s.bound {
		s.shared.Add(1)
		return s.other
	}
	b := s.bucket(key)
	b.earned.Store(now)
	s.keys[key] = b
	return b
}

// share sets how many keys there may be.
func (s *limiter) share(limits int) {
	s.mu.Lock()
	s.bound = min(MaxKeys, maxAllKeys/limits)
	s.mu.Unlock()
}

func (s *limiter) sweep(now int64) {
	s.swept = now
	for key, b := range s.keys {
		if b.idle(now) {
			b.gone.Store(true)
			delete(s.keys, key)
		}
	}
}

// LimitStats is what is known of one limit.
type LimitStats struct {
	Rule   string
	Keys   int    // that are counted each for itself
	Bound  int    // of them
	Shared uint64 // times that a key was beyond it, and counted with all others that are
}

// Limits returns what is known of every limit, and lets go of keys that are idle at now, a worker's clock. Safe for
// concurrent use.
func (r *Rules) Limits(now int64) []LimitStats {
	if r == nil {
		return nil
	}
	var out []LimitStats
	for i := range r.list {
		l := r.list[i].Limit
		if l == nil {
			continue
		}
		s := l.state
		s.mu.Lock()
		s.sweep(now)
		out = append(out, LimitStats{Rule: r.list[i].Name, Keys: len(s.keys), Bound: s.bound, Shared: s.shared.Load()})
		s.mu.Unlock()
	}
	return out
}
