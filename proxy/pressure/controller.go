package pressure

import (
	"math"
	"time"
)

// State is what a controller says.
type State struct {
	Level    Level
	Reason   Signal              // what presses most; means nothing at None
	Pressure float64             // of it, smoothed: 0 where it begins to count, 1 at the end of its range
	Signals  [NumSignals]float64 // all of them, likewise
	Raw      [NumSignals]float64 // as they were measured last
	Shed     float64             // the share of the work that has to leave for the rest to fit
	Spill    float64             // the share of it that handing calls over relieves the proxy of
	Drop     float64             // the share of the work to be answered as not executed at once: nothing else helps
	Lend     float64             // how much of what others leave unused may be used: 1 all, 0 nothing
	Since    time.Duration       // when the level was entered
	Calm     bool                // the pressure is below where the level is left
	smooth   [NumSignals]float64
	hard     time.Duration // for how long there has been reason to drop
	pressed  Level         // Level, but for Drop
	below    time.Duration // since when every signal has been below Level; counts with Calm only
	last     time.Duration
	begun    bool
}

// Controller turns samples into a level. It goes up as soon as a threshold is passed and comes down one level at a time, each
// after a calm while below a lower threshold, so that a signal that hangs about a threshold does not make it flap. Not safe for
// concurrent use.
type Controller struct {
	cfg Config
	s   State
}

// NewController makes a controller at None.
func NewController(c Config) *Controller {
	return &Controller{cfg: c, s: State{Lend: 1}}
}

// State returns what Observe returned last.
func (c *Controller) State() State { return c.s }

// Observe takes one sample in. now is monotonic; samples may be any time apart. stuck: nobody is left who could be asked to
// move, or those who were asked come back.
func (c *Controller) Observe(now time.Duration, x Sample, stuck bool) State {
	s := &c.s
	dt := now - s.last
	if !s.begun {
		dt = c.cfg.Rise
	}
	s.begun, s.last, s.Raw = true, now, x
	up, stay := None, None
	s.Pressure = 0
	for i, v := range c.cfg.scaled(&x) {
		sig := Signal(i)
		tau := c.cfg.Rise
		if v < s.smooth[i] {
			tau = c.cfg.Fall
		}
		s.smooth[i] += (v - s.smooth[i]) * blend(dt, tau)
		s.Signals[i] = s.smooth[i]
		up = max(up, sig.ladder().reached(s.smooth[i], 0))
		stay = max(stay, sig.ladder().reached(s.smooth[i], less))
		if s.smooth[i] > s.Pressure {
			s.Pressure, s.Reason = s.smooth[i], sig
		}
	}
	was := s.Level
	c.step(now, up, stay)
	c.drop(dt, &x, stuck)
	if s.Level = s.pressed; s.Drop > 0 {
		s.Level = Refuse
	}
	if s.Level != was {
		s.Since = now
	}
	s.Lend = max(0, 1-s.Pressure/spaceLadder[QueueHeaviest])
	if s.Level == None {
		s.Lend = 1
	} else if s.Level >= QueueHeaviest {
		s.Lend = 0
	}
	s.Shed, s.Spill = 0, 0
	if s.pressed >= HandOver {
		s.Shed, s.Spill = c.shed(CPU), c.shed(Memory)
	}
	if s.pressed == Refuse { // what is handed over is not refused
		s.Spill = s.Shed
	}
	return *s
}

// step moves the level: up at once, down by one after a calm.
func (c *Controller) step(now time.Duration, up, stay Level) {
	s := &c.s
	calm := stay < s.pressed && s.Drop == 0
	if calm && !s.Calm {
		s.below = now
	}
	s.Calm = calm
	switch {
	case up > s.pressed:
		s.pressed, s.Calm = up, false
	case calm && now-s.below >= c.cfg.Calm:
		s.pressed--
		s.below = now
	}
}

// Numbers of Drop. What is let in is found like a capacity: less by a part while it is too much, more by a smaller one while it
// is not, and much more once there is plenty of room.
const (
	dropFirst = 0.25
	dropMore  = 0.08 // of what is let in, every dropEvery
	dropLess  = 0.02
	dropOver  = 0.15
	dropFrom  = 0.9             // of what makes calls wait
	dropAfter = 2 * time.Second // callers who come from elsewhere bring what they have put off
	dropEvery = 100 * time.Millisecond
	dropFull  = 0.6 // of CPU's range: a proxy that its quota stops refuses nothing at once
)

// drop says how much is refused at once. A proxy that works all the time and has callers wait would serve no more for letting
// them wait longer, and those whom it can't serve would learn of it late.
func (c *Controller) drop(dt time.Duration, x *Sample, stuck bool) {
	s := &c.s
	v := c.cfg.scaled(x)
	over := v[CPU] >= dropFull || v[Delay] > 0 || v[Throttled] > 0
	times := float64(dt) / float64(dropEvery)
	switch {
	case s.Drop == 0:
		if !stuck || !over || s.pressed < AskToMove || max(s.smooth[Delay], s.smooth[Throttled]) < dropFrom {
			s.hard = 0
		} else if s.hard += dt; s.hard >= dropAfter {
			s.Drop = dropFirst
		}
		return
	case over:
		s.Drop = 1 - (1-s.Drop)*math.Pow(1-dropMore, times)
	case v[CPU] > 0 || v[Busy] > 0:
		s.Drop = 1 - (1-s.Drop)*math.Pow(1+dropLess, times)
	default:
		s.Drop = 1 - (1-s.Drop)*math.Pow(1+dropOver, times)
	}
	if s.Drop = min(s.Drop, c.cfg.Drop); s.Drop < 0.01 {
		s.Drop = 0
	}
}

// blend is an exponential moving average's weight of a sample after dt.
func blend(dt, tau time.Duration) float64 {
	if tau <= 0 {
		return 1
	}
	return 1 - math.Exp(-float64(max(dt, 0))/float64(tau))
}

// shed is the spill curve: how much of the work has to leave. What is measured in shares tells it: 95 % of the CPU must
// become the 80 % where pressure begins. But a proxy that is saturated does not see what waits before its sockets: calls that
// wait add to it, up to half of the work, and what is left is seen next time.
//
// from Memory on it is what handing over relieves: it takes as much CPU time as serving, so with too little of that
// it would only use up the grant that those who move need.
func (c *Controller) shed(from Signal) float64 {
	s := &c.s
	share := 0.0
	for i := range s.smooth {
		r, sig := c.cfg.Signals[i], Signal(i)
		if sig == Delay || sig == Throttled || s.smooth[i] <= 0 || from == Memory && (sig < Memory || s.smooth[i] < spaceLadder[HandOver]-less) {
			continue
		}
		v := r.Low + s.smooth[i]*(r.High-r.Low)
		share = max(share, 1-r.Low/v)
	}
	if from != Memory {
		share = max(share, s.smooth[Delay]/2, s.smooth[Throttled]/4)
	}
	return min(share, 0.75)
}
