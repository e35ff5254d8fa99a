package cluster

// This file is the peak EWMA of reply times that the balancer p2c compares, as Finagle's client stack has it
// (twitter.github.io/finagle/guide/Clients.html, "Power of Two Choices: Least Loaded"; PeakEwma in the source): a peak
// counts at once, everything decays by the time that has passed and not by the number of calls, and the calls in flight
// multiply it.

// ewmaDecay is τ: after so long an old reply time counts for 1/e, in ns.
const ewmaDecay = 10e9

// noHistory is the cost of an endpoint of which nothing is known while a call is on its way there. It gets that one call
// because an idle one costs nothing, and no other one before it has answered.
const noHistory = 1e18

// decayed is e^(−t/τ), near enough and without the price of math.Exp: the beginning of its series.
func decayed(t int64) float64 {
	if t <= 0 {
		return 1
	}
	x := float64(t) / ewmaDecay
	return 1 / (1 + x*(1+x*(0.5+x*(1.0/6+x/24))))
}

// Observe records a reply time in ns: a peak counts at once, lower values decay in by time. Loop only.
func (s *State) Observe(now, ns int64) {
	v := float64(max(ns, 1))
	if v < s.Latency {
		w := decayed(now - s.seen)
		v = s.Latency*w + v*(1-w)
	}
	s.Latency, s.seen = v, now
}

// cost is what one more call would wait, by all that is known.
func (s *State) cost(now int64) float64 {
	if s.Latency == 0 {
		if s.Active > 0 {
			return noHistory + float64(s.Active)
		}
		return 0
	}
	return s.Latency * decayed(now-s.seen) * float64(s.Active+1)
}
