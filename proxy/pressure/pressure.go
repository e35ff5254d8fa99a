package pressure

import "time"

// Level is how hard pressed a proxy is. Each includes the measures of those below it.
type Level uint8

// The levels, in the order in which measures are taken.
const (
	None          Level = iota
	LendLess            // unused shares are lent sparingly
	QueueHeaviest       // nothing is lent: who uses more than its share waits
	HandOver            // a part of the excess goes to the remote tier, within its grant
	AskToMove           // the heaviest sources are asked to use the remote tier
	Refuse              // excess that nobody takes is answered as not executed
	NumLevels     = int(Refuse) + 1
)

var levelWords = [NumLevels]string{"none", "lend_less", "queue_heaviest", "hand_over", "ask_to_move", "refuse"}

// String returns the word used in metrics, logs and output.
func (l Level) String() string {
	if int(l) < NumLevels {
		return levelWords[l]
	}
	return "invalid"
}

// Signal is one thing that is measured.
type Signal uint8

// The signals.
const (
	CPU        Signal = iota // CPU time used, as a share of what the process may use
	Busy                     // the share of time that the busiest worker was in a poll round
	Delay                    // how long a call waits for its worker, s
	Throttled                // the share of the periods of its CPU quota in which the process was stopped: CPU in use can't be more than all of it
	Memory                   // memory in use, as a share of the limit
	Files                    // open descriptors, as a share of the limit
	Calls                    // calls in flight, as a share of limits.total_calls
	Bytes                    // bytes buffered, as a share of limits.total_bytes
	NumSignals = int(Bytes) + 1
)

var signalWords = [NumSignals]string{"cpu", "busy", "queue_delay", "throttled", "memory", "files", "calls", "bytes"}

// String returns the word used in metrics, logs and output.
func (s Signal) String() string {
	if int(s) < NumSignals {
		return signalWords[s]
	}
	return "invalid"
}

// Sample is what was measured in one interval. 0: nothing, or not known.
type Sample [NumSignals]float64

// Range is where a signal begins to count and where it is at its end: in between it is scaled, as Envoy's overload manager
// does with its scaled triggers.
type Range struct{ Low, High float64 }

func (r Range) scaled(v float64) float64 {
	if r.High <= r.Low {
		return 0
	}
	return min(max((v-r.Low)/(r.High-r.Low), 0), most)
}

// most bounds a scaled signal: what is beyond twice its range says no more.
const most = 2

// Config is a controller's. The zero Config never leaves None.
type Config struct {
	Signals [NumSignals]Range
	Rise    time.Duration // time constant of the smoothing of what rises
	Fall    time.Duration // ... and of what falls
	// Drop is the most of the work that is refused at once. Refusing costs a third of serving and more: who refuses all that comes
	// serves nothing.
	Drop float64
	Calm time.Duration // a level is left when the pressure was below it for so long
}

// On reports whether anything is looked at.
func (c *Config) On() bool { return c.Signals != [NumSignals]Range{} }

// ladder says from which pressure on a level holds, by what presses. Handing a call over costs as much time as serving it, so
// with too little time for the work there is no step between handing over and asking to move; what is held for calls in
// flight is relieved by handing over.
type ladder [NumLevels]float64

var (
	never = float64(most + 1)
	// time: all CPU used up, or a worker always busy, is no failure, only calls that wait are: it asks nobody to move.
	busyLadder  = ladder{0, 0.1, 0.25, 0.4, never, never}
	delayLadder = ladder{0, 0.1, 0.25, 0.4, 0.4, 1.9}
	stopLadder  = ladder{0, 0.1, 0.25, 0.4, 0.4, never}
	spaceLadder = ladder{0, 0.1, 0.3, 0.5, 0.75, 1}
)

func (s Signal) ladder() *ladder {
	switch s {
	case CPU, Busy:
		return &busyLadder
	case Delay:
		return &delayLadder
	case Throttled:
		return &stopLadder
	default:
		return &spaceLadder
	}
}

// asks reports whether a signal alone has sources asked to move.
func (s Signal) asks() bool { return s.ladder()[AskToMove] < never }

// A worker that is always busy has more to do than it shows: calls wait in sockets that it has not read, or with their callers
// who may have only so many in flight. Then a part of the wait that is too long otherwise says that they do.
const (
	always    = 0.9  // of Busy's range
	waitsPart = 0.25 // of where Delay begins
	waitsAs   = 0.6  // of Delay's range
)

// scaled is what a sample means, signal by signal.
func (c *Config) scaled(x *Sample) (v Sample) {
	for i := range x {
		v[i] = c.Signals[i].scaled(x[i])
	}
	if delay := c.Signals[Delay]; v[Busy] >= always && delay.High > delay.Low && x[Delay] >= waitsPart*delay.Low {
		v[Delay] = max(v[Delay], waitsAs)
	}
	return v
}

// Asks is the greatest pressure of a sample that has sources asked to move; not smoothed.
func (c *Config) Asks(x Sample) (most float64) {
	for i, v := range c.scaled(&x) {
		if Signal(i).asks() {
			most = max(most, v)
		}
	}
	return most
}

// less is how far below its threshold the pressure must be for a level to be left.
const less = 0.08

// reached is the highest level whose threshold, lowered by slack, the pressure has reached.
func (l *ladder) reached(pressure, slack float64) Level {
	for i := Refuse; i > None; i-- {
		if pressure >= l[i]-slack {
			return i
		}
	}
	return None
}
