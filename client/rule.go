package client

import (
	"sync"
	"time"
)

// tier is where a target belongs.
type tier uint8

const (
	tierNone tier = iota
	tierLocal
	tierRemote
	tierFixed // BELLHOP_PROXY
)

func (t tier) String() string {
	return [...]string{"none", "local", "remote", "BELLHOP_PROXY"}[t]
}

type endpoint struct{ network, address string }

func (e endpoint) String() string { return e.network + ":" + e.address }

// target is one place to try for a call.
type target struct {
	endpoint
	tier  tier
	check bool // a new connection exchanges the heartbeat before the first byte of a call
	again bool // local once more, after the remote tier refused: not a reason to leave local
}

// view is what the address file says, in the rule's words.
type view struct {
	known    bool // a good file was read
	draining bool
	down     bool
	moved    bool // this caller was asked to use the remote tier
	stale    bool // the lease ran out
	local    []endpoint
	remote   []endpoint
	fixed    []endpoint // instead of a file
}

// tune are the rule's times. Tests shorten them; docs/address-file.md names the real ones.
type tune struct {
	hold, holdMax time.Duration // healthy probes for so long before local is used again
	steady        time.Duration // local for so long without a failure: hold starts from its beginning
	probe         time.Duration // between probes, and after failed ones up to probeMax
	probeMax      time.Duration
	back, backMax time.Duration // before a remote proxy that refused is tried again
	heartbeat     time.Duration // no echo for so long is a refusal
	dialLocal     time.Duration
	dialRemote    time.Duration
	look          time.Duration // between looks at the file that nothing asked for
}

var standard = tune{
	hold: time.Second, holdMax: time.Minute, steady: time.Minute,
	probe: 200 * time.Millisecond, probeMax: time.Second,
	back: 100 * time.Millisecond, backMax: 5 * time.Second,
	heartbeat: 100 * time.Millisecond,
	dialLocal: 250 * time.Millisecond, dialRemote: time.Second,
	look: time.Second,
}

// rule is the caller's rule: which proxies a call tries, in which order. It has no socket and no clock; every method
// is told the time. Safe for concurrent use.
type rule struct {
	tune
	start    uint32                    // a hash of the caller's key: spreads callers over the first remotes
	jitter   func() float64            // 0 to 1
	onSwitch func(to tier, why string) // under the lock: must not call back
	mu       sync.Mutex
	away     bool          // local is not to be used, unless all else refuses
	suspect  bool          // the next new local connection is checked
	returned time.Duration // when local was last taken back
	hadHome  bool          // returned says something
	healthy  time.Duration // since when probes succeed
	streak   bool          // healthy says something
	need     time.Duration // how long they must
	backoff  map[endpoint]backoff
}

type backoff struct {
	until time.Duration
	step  time.Duration
}

// spread is how many of the ordered remote proxies share the callers of a host.
const spread = 4

// leaveReason says why the file itself forbids the local tier. Only a lease that ran out is a failure of it.
func (v view) leaveReason() (why string, failure bool) {
	switch {
	case v.down:
		return "down", false
	case v.draining:
		return "draining", false
	case v.moved:
		return "moved", false
	case v.stale:
		return "stale lease", true
	}
	return "", false
}

// plan lists the targets of a call, best first. Empty when there is neither a file nor BELLHOP_PROXY.
func (r *rule) plan(now time.Duration, v view) []target {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []target
	if !v.known {
		for _, e := range v.fixed {
			out = append(out, target{endpoint: e, tier: tierFixed})
		}
		return out
	}
	r.obey(now, v)
	if !r.away {
		for _, e := range v.local {
			out = append(out, target{endpoint: e, tier: tierLocal, check: r.suspect})
		}
	}
	ready, last := r.remotes(now, v.remote)
	out = append(out, ready...)
	for _, e := range v.local {
		out = append(out, target{endpoint: e, tier: tierLocal, check: true, again: true})
	}
	return append(out, last...)
}

// remotes are the remote proxies that are not in back-off, starting at this caller's own of the first four. With all
// of them in back-off, the one that comes out of it first is the last resort: to fail a call because of a guess would
// be worse than one more connect.
func (r *rule) remotes(now time.Duration, remote []endpoint) (ready, last []target) {
	n := min(spread, len(remote))
	at := time.Duration(-1)
	for i := range remote {
		e := remote[i]
		if i < n {
			e = remote[(int(r.start%uint32(n))+i)%n]
		}
		b, waiting := r.backoff[e]
		if waiting && now < b.until {
			if at < 0 || b.until < at {
				last, at = []target{{endpoint: e, tier: tierRemote}}, b.until
			}
			continue
		}
		ready = append(ready, target{endpoint: e, tier: tierRemote})
	}
	if len(ready) > 0 {
		last = nil
	}
	return ready, last
}

// obey leaves the local tier when the file says so.
func (r *rule) obey(now time.Duration, v view) {
	if why, failure := v.leaveReason(); why != "" {
		r.leave(now, why, failure)
		r.streak = false
	}
}

// look is obey for when no call asks.
func (r *rule) look(now time.Duration, v view) (away bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if v.known {
		r.obey(now, v)
	}
	return r.away
}

// leave goes over to the remote tier. A local tier that fails again soon after it was taken back has to be healthy
// for twice as long the next time.
func (r *rule) leave(now time.Duration, why string, failure bool) {
	if r.away {
		return
	}
	r.away, r.streak, r.suspect = true, false, true
	switch {
	case r.need == 0 || !r.hadHome || now-r.returned >= r.steady:
		r.need = r.hold
	case failure:
		r.need = min(2*r.need, r.holdMax)
	}
	r.onSwitch(tierRemote, why)
}

// localRefused: no local address took a connection, or it did not echo the heartbeat.
func (r *rule) localRefused(now time.Duration, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leave(now, why, true)
}

// localDoubted: a local connection was lost, or a call on it got no answer in time. Whoever accepts the next one may
// be a listener that somebody holds for a dead process.
func (r *rule) localDoubted() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.suspect = true
}

// localEchoed: a heartbeat came back. It clears the doubt, not the absence: that takes probes.
func (r *rule) localEchoed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.away {
		r.suspect = false
	}
}

// probed tells the result of one probe of the local tier while away.
func (r *rule) probed(now time.Duration, ok bool) (home bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case !r.away:
		return true
	case !ok:
		if r.streak {
			r.need = min(2*r.need, r.holdMax)
		}
		r.streak = false
		return false
	case !r.streak:
		r.streak, r.healthy = true, now
	}
	if now-r.healthy < r.need {
		return false
	}
	r.away, r.suspect, r.streak = false, false, false
	r.returned, r.hadHome = now, true
	r.onSwitch(tierLocal, "healthy again")
	return true
}

// remoteRefused puts a remote proxy into back-off, twice as long each time, with jitter: its callers are many.
func (r *rule) remoteRefused(now time.Duration, e endpoint) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.backoff[e]
	b.step = min(max(2*b.step, r.back), r.backMax)
	b.until = now + time.Duration((0.5+r.jitter())*float64(b.step))
	if r.backoff == nil {
		r.backoff = map[endpoint]backoff{}
	}
	r.backoff[e] = b
}

// remoteTook: a remote proxy accepted a connection.
func (r *rule) remoteTook(e endpoint) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.backoff, e)
}

func (r *rule) isAway() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.away
}

// forget drops the back-off of proxies that the file does not list any more.
func (r *rule) forget(remote []endpoint) {
	r.mu.Lock()
	defer r.mu.Unlock()
	listed := map[endpoint]bool{}
	for _, e := range remote {
		listed[e] = true
	}
	for e := range r.backoff {
		if !listed[e] {
			delete(r.backoff, e)
		}
	}
}
