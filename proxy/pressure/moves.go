package pressure

import (
	"cmp"
	"slices"
	"time"
)

// MoveConfig says how sources are asked to use the remote tier.
type MoveConfig struct {
	TTL    time.Duration // how long a source is asked for; renewed while it would be too much again. 0: nobody is asked
	Settle time.Duration // between two decisions: what the last one brought must have been measured
	Grow   time.Duration // the same while the pressure stays at its end: each decision doubles what was asked; 0: Settle
	Most   int           // sources asked at once
}

// Moved is one source that is asked.
type Moved struct {
	Key   string
	Until time.Duration // unless it is renewed
}

// MoveInput is what a decision rests on.
type MoveInput struct {
	State State
	// Now: the pressure is there still, and not only what a moment ago has left in State, which falls slowly.
	Now bool
	// End: it is at the end of its range. How far beyond nothing can tell.
	End bool
	// Full: the remote tier refuses many of the calls that are handed over to try it.
	Full   bool
	Load   float64 // how much of what can be carried is used: 1 is where pressure begins
	Users  []User
	Budget int64 // calls in flight that the remote tier would take beyond those that it has from us; < 0: not known
	All    bool  // every source, whatever the pressure: the host is drained to the remote tier
}

// Moves keeps the list of those who are asked: the heaviest first, as many as it needs; they are let go one by one, the lightest
// first, when what they did before would fit again. Not safe for concurrent use.
type Moves struct {
	cfg     MoveConfig
	list    map[string]*move
	past    map[string]past
	decided time.Duration
	begun   bool
	stuck   bool
}

// move is one source that is asked.
type move struct {
	work  float64 // what it would make if it were served, when it was asked; nobody knows what it is today
	load  float64 // ... as a part of MoveInput.Load
	seen  float64 // what it made here when it was asked
	calls int64
	since time.Duration
	until time.Duration
	all   bool // only because the host is drained
	left  bool // it went
}

// past is what is known of those who were asked before.
type past struct {
	at    time.Duration // it was let go, or found deaf
	times int           // asked again soon after it was let go
	deaf  bool          // it stayed
}

// Times of the list.
const (
	believe   = 500 * time.Millisecond // at the level, before somebody is asked: a collection or a scrape passes
	hearing   = 3 * time.Second        // a source that still makes half of its work so long after it was asked does not listen
	deafFor   = time.Minute            // and is not asked again before
	soon      = 2 * time.Minute        // asked again within it, a source is asked for twice as long
	maxDouble = 4
	halfLife  = time.Minute // of what a moved source is thought to make
	maxPast   = 4096
	gone      = 0.25 // of what it made: a source that makes less here has gone
	fits      = 0.9  // of what can be carried may be used after a return
)

// NewMoves makes an empty list.
func NewMoves(c MoveConfig) *Moves {
	return &Moves{cfg: c, list: map[string]*move{}, past: map[string]past{}}
}

// Step decides. It returns the list, sorted, and whether a source was added, renewed or let go. Call it at any time; between
// two decisions it only lets go what has run out.
func (m *Moves) Step(now time.Duration, in *MoveInput) (list []Moved, changed bool) {
	if m.cfg.TTL <= 0 {
		return nil, false
	}
	total := 0.0
	work := make(map[string]*User, len(in.Users))
	for i := range in.Users {
		total += in.Users[i].Work
		work[in.Users[i].Key] = &in.Users[i]
	}
	m.follow(work)
	m.stuck = in.Full && len(m.list) > 0
	if !in.Full && in.State.Drop == 0 { // who is refused there calls here as well
		changed = m.deaf(now, work)
	}
	settle := m.cfg.Settle
	if in.End && m.cfg.Grow > 0 {
		settle = m.cfg.Grow
	}
	if !m.begun || now-m.decided >= settle {
		switch {
		case in.All:
			changed = m.all(now, in) || changed
		case in.State.Level >= AskToMove && in.Now && (in.State.Level > AskToMove || now-in.State.Since >= believe):
			changed = m.ask(now, in, total) || changed
		case in.State.Level < AskToMove:
			changed = m.release(now, in) || changed
		}
		if changed {
			m.begun, m.decided = true, now
		}
	}
	changed = m.again(now, in, work) || changed
	changed = m.renew(now, in) || changed
	for key, e := range m.list {
		list = append(list, Moved{key, e.until})
	}
	slices.SortFunc(list, func(a, b Moved) int { return cmp.Compare(a.Key, b.Key) })
	return list, changed
}

// Stuck reports whether asking does not help any more: the remote tier has no room.
func (m *Moves) Stuck() bool { return m.stuck }

// follow notes who went.
func (m *Moves) follow(work map[string]*User) {
	for key, e := range m.list {
		here := 0.0
		if u := work[key]; u != nil {
			here = u.Work
		}
		e.left = e.left || here < e.seen*gone
	}
}

// Asked reports whether a source is asked.
func (m *Moves) Asked(key string) bool { return m.list[key] != nil }

// deaf strikes off those who did not go.
func (m *Moves) deaf(now time.Duration, work map[string]*User) (changed bool) {
	for key, e := range m.list {
		if u := work[key]; !e.all && !e.left && u != nil && now-e.since >= hearing && u.Work > e.seen/2 {
			delete(m.list, key)
			m.remember(key, past{at: now, deaf: true})
			changed = true
		}
	}
	return changed
}

func (m *Moves) remember(key string, p past) {
	if len(m.past) >= maxPast {
		for k := range m.past { // any: it costs one source a doubled time
			delete(m.past, k)
			break
		}
	}
	m.past[key] = p
}

// candidates are those who may be asked, the heaviest first.
func (m *Moves) candidates(now time.Duration, in *MoveInput) []*User {
	var out []*User
	for i := range in.Users {
		u := &in.Users[i]
		p := m.past[u.Key]
		if m.list[u.Key] != nil || p.deaf && now-p.at < deafFor || u.Privileged && in.State.Level < Refuse && !in.All {
			continue
		}
		if u.Work > 0 || in.All {
			out = append(out, u)
		}
	}
	slices.SortFunc(out, func(a, b *User) int { return cmp.Or(cmp.Compare(b.Work, a.Work), cmp.Compare(a.Key, b.Key)) })
	return out
}

// ask adds the heaviest until what is left fits.
func (m *Moves) ask(now time.Duration, in *MoveInput, total float64) (changed bool) {
	if m.stuck {
		return false
	}
	need, asked := in.State.Shed*total, 0.0
	left := in.Budget
	for _, e := range m.list {
		if !e.left { // what it has there now is not in the budget any more
			left -= e.calls
		}
		asked += e.seen
		e.all = false // needed now, whether or not a drain was the reason
	}
	if in.End { // as much again, but no more than half of what is left
		need = max(need, min(asked, total/2))
	}
	for _, u := range m.candidates(now, in) {
		if need <= 0 || len(m.list) >= m.cfg.Most || in.Budget >= 0 && left < max(u.Calls, 1) {
			break
		}
		p := m.past[u.Key]
		if p.times++; p.at == 0 || now-p.at > soon {
			p.times = 0
		}
		p.times = min(p.times, maxDouble)
		m.remember(u.Key, p)
		// A saturated proxy serves a source less than it asks for.
		work := u.Work / max(1-in.State.Shed, 0.25)
		m.list[u.Key] = &move{work: work, load: in.Load * work / total, seen: u.Work, calls: u.Calls, since: now, until: now + m.cfg.TTL}
		need -= u.Work
		left -= u.Calls
		changed = true
	}
	return changed
}

// all asks everybody.
func (m *Moves) all(now time.Duration, in *MoveInput) (changed bool) {
	for _, u := range m.candidates(now, in) {
		if len(m.list) >= m.cfg.Most {
			break
		}
		m.list[u.Key] = &move{work: u.Work, calls: u.Calls, since: now, until: now + m.cfg.TTL, all: true}
		changed = true
	}
	return changed
}

// release lets one source go: the lightest, when what it is thought to make would fit. All at once when they were asked only
// for a drain that is over.
func (m *Moves) release(now time.Duration, in *MoveInput) (changed bool) {
	var lightest string
	for key, e := range m.list {
		if e.all {
			delete(m.list, key)
			changed = true
			continue
		}
		if lightest == "" || e.work < m.list[lightest].work || e.work == m.list[lightest].work && key < lightest {
			lightest = key
		}
	}
	e := m.list[lightest]
	if e == nil || now-e.since < m.held(lightest) || in.Load+e.thought(now) > fits {
		return changed
	}
	delete(m.list, lightest)
	p := m.past[lightest]
	p.at = now
	m.remember(lightest, p)
	return true
}

// held is how long a source is asked at least: a source that was too much again as soon as it was back stays longer.
func (m *Moves) held(key string) time.Duration { return m.cfg.TTL << m.past[key].times }

// thought is what load a moved source would make if it came back.
func (e *move) thought(now time.Duration) float64 {
	return e.load * (1 - blend(now-e.since, halfLife*10/7)) // a half after halfLife
}

// again asks once more who was asked and is here all the same, now that the remote tier has room: whoever it sent home stays there
// until the list is told anew.
func (m *Moves) again(now time.Duration, in *MoveInput, work map[string]*User) (changed bool) {
	if in.All || in.Full || !in.Now || in.State.Level < AskToMove || now-m.decided < m.cfg.Settle {
		return false
	}
	for key, e := range m.list {
		if u := work[key]; u != nil && e.left && u.Work > e.seen*gone && e.until-now < m.cfg.TTL-m.cfg.Settle {
			e.until = now + m.cfg.TTL
			changed = true
		}
	}
	if changed {
		m.decided = now
	}
	return changed
}

// renew goes on asking those who are not let go, in good time.
func (m *Moves) renew(now time.Duration, in *MoveInput) (changed bool) {
	for _, e := range m.list {
		if e.until-now <= m.cfg.TTL/2 && (in.All || !e.all) { // release ends a drain
			e.until = now + m.cfg.TTL
			changed = true
		}
	}
	return changed
}
