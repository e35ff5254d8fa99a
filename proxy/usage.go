package proxy

import "golang.org/x/sys/unix"

// usage is how much of the worker's time somebody has used lately, and the weights of those among whom it was shared. It halves
// with every epoch. Loop only.
type usage struct {
	recent  int64
	epoch   int64
	weights int64 // of those below who have used something in this epoch
	before  int64 // ... in the last one
}

// epochBits make an epoch of 16.8 ms: some poll rounds, and short against what a caller notices.
const epochBits = 24

// at takes up the epoch and reports whether it is a new one.
func (u *usage) at(epoch int64) bool {
	d := epoch - u.epoch
	if d == 0 {
		return false
	}
	u.recent >>= min(uint64(d), 63)
	u.before = 0
	if d == 1 {
		u.before = u.weights
	}
	u.epoch, u.weights = epoch, 0
	return true
}

// used counts what a source has used, its workload and all together.
func (s *shares) used(l *lane, now, cost int64) {
	epoch := now >> epochBits
	if l.use.at(epoch) {
		l.weigh()
		s.all.at(epoch)
		if l.team.use.at(epoch) {
			s.all.weights += l.team.flow.Weight
		}
		l.team.use.weights += l.flow.Weight
	}
	l.use.recent += cost
	l.team.use.recent += cost
	s.all.recent += cost
}

// heavy reports whether a source has used much more than its share lately. Where a poll round brings calls of several it gets
// what is left of it, then: the calls of others find next to nothing of it before them. (Where a round brings one call only,
// waiting for its end would be no use to anybody, and costs a wake-up.)
func (s *shares) heavy(l *lane, now int64) bool {
	recent := l.use.recent >> min(uint64(now>>epochBits-l.use.epoch), 63)
	if recent <= quantum {
		return false
	}
	share := float64(s.all.recent) *
		float64(l.team.flow.Weight) / float64(max(s.all.weights, s.all.before, 1)) *
		float64(l.flow.Weight) / float64(max(l.team.use.weights, l.team.use.before, 1))
	return float64(recent) > 1.5*share
}

// threadTime is how much CPU time the calling thread has had, in ns; 0: it can't be told. A system call, unlike the clock.
func threadTime() int64 {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return 0
	}
	return t.Nano()
}
