package proxy

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bellhop-mesh/bellhop/proxy/pressure"
)

// Protection says how the proxy protects itself from more than it can carry. The zero value: not at all.
type Protection struct {
	Pressure pressure.Config
	CPUs     func() float64 // that the process may use now; nil, 0: not known. Called on one goroutine, now and then.
	// Throttled is the share of the periods of its CPU quota in which the process was stopped, since it was asked last; nil: not
	// known. Called on one goroutine, every 100 ms while there are calls.
	Throttled func() float64
	Memory    func() float64 // memory in use, as a share of its limit; nil: not known. Called on one goroutine.
	Files     float64        // descriptors that the process may have open; 0: not known
	Moves     pressure.MoveConfig
	// Move tells guests which sources are asked to use the remote tier from now on, each for so long; the list replaces the
	// one before. It is called on one goroutine and must not block for long. nil: nobody is asked.
	Move func(ttl map[string]time.Duration)
	// Reserve is the share of its capacity that a remote proxy keeps for callers whose local proxy is gone.
	Reserve float64
	// Own is the service by which the proxy calls itself: it is never handed over.
	Own string
}

// guard protects the proxy: one goroutine measures and decides, workers read what it says from atomics. It sleeps while there
// is nothing to do: a worker with more than two calls in flight wakes it.
type guard struct {
	p      *Proxy
	bell   chan struct{}
	asleep atomic.Bool

	active   atomic.Bool // workers have something to ask the guard (shed.go)
	level    atomic.Uint32
	capacity atomic.Int64  // calls in flight that a remote proxy takes
	busiest  atomic.Int64  // the most that were since the last look
	ratio    atomic.Uint32 // what grants are multiplied by, of ratioOne; 0: they are whole
	drop     atomic.Uint32 // the share of what it is offered that is answered as not executed at once, of spillOne
	probing  atomic.Bool   // now and then a call is handed over to find out whether the remote tier has room
	taken    atomic.Int64  // of such calls, those that it served
	refused  atomic.Int64  // ... and refused
	full     atomic.Bool   // it has none
	sentHome atomic.Int64  // when a moved caller was sent home for want of room, worker clock
	overflow atomic.Int64  // calls in flight of hand-off connections
	peak     atomic.Int64  // the most there were since the guard looked last
	granted  atomic.Int64  // calls in flight that remote proxies grant
	grants   atomic.Int64  // connections that have a grant
	until    atomic.Int64  // all goes to the remote tier until then, worker clock; 0: it does not

	mu      sync.Mutex // what follows
	control *pressure.Controller
	moves   *pressure.Moves
	cap     *pressure.Capacity
	room    pressure.Room
	gauge   gauge
	quiet   int
	looked  int64 // at the sources' work
	load    float64
	mean    pressure.Sample // over about half a second
	weight  float64         // of the sample at hand
	demand  float64         // peak, likewise
	list    []pressure.Moved
	entered [pressure.NumLevels]uint64
	asked   uint64 // sources that were asked to move
	hosts   map[string]*hostUse
	byRule  bool // the drain to the remote tier is a rule's
}

const (
	ratioOne  = 1024
	senseTime = 100 * time.Millisecond // between two looks
	quietMost = 20                     // looks without anything to do, before the guard sleeps
)

func (g *guard) init(p *Proxy) {
	c := &p.cfg.Protection
	g.p, g.bell = p, make(chan struct{}, 1)
	g.control, g.moves = pressure.NewController(c.Pressure), pressure.NewMoves(c.Moves)
	g.cap = pressure.NewCapacity(min(leastCapacity*p.cfg.Workers, p.cfg.Limits.TotalCalls), p.cfg.Limits.TotalCalls)
	g.hosts = map[string]*hostUse{}
	g.asleep.Store(true)
}

// leastCapacity is what a worker of a remote proxy takes in flight however hard pressed it is.
const leastCapacity = 4

// wake brings the guard round. Safe for concurrent use, never waits.
func (g *guard) wake() {
	if g.p.cfg.Protection.Pressure.On() && g.asleep.CompareAndSwap(true, false) {
		g.ring()
	}
}

func (g *guard) ring() {
	select {
	case g.bell <- struct{}{}:
	default:
	}
}

// run is the guard's goroutine. It ends with the proxy.
func (g *guard) run() {
	defer g.p.pending.Done()
	t := time.NewTimer(time.Hour)
	defer t.Stop()
	for {
		select {
		case <-g.p.life.Done():
			return
		case <-g.bell:
		case <-t.C:
		}
		if g.step() {
			t.Reset(senseTime)
		}
	}
}

// step measures and decides once; false: there is nothing to do until somebody wakes it.
func (g *guard) step() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.p.clock()
	x, ok := g.gauge.look(g.p, now)
	if ok {
		g.decide(now, x)
	}
	s := g.control.State()
	if g.gauge.moved || s.Level != pressure.None || len(g.list) > 0 || g.until.Load() != 0 {
		g.quiet = 0
	}
	if g.quiet++; g.quiet <= quietMost {
		return true
	}
	g.quiet, g.gauge.at = 0, 0 // what was before the sleep says nothing of what comes after it
	g.asleep.Store(true)
	return false
}

// decide takes one sample in and does what is due.
func (g *guard) decide(now int64, x pressure.Sample) {
	before := g.control.State()
	g.full.Store(g.room.Observe(g.taken.Swap(0), g.refused.Swap(0)))
	s := g.control.Observe(time.Duration(now), x, g.moves.Stuck())
	if s.Level != before.Level {
		g.entered[s.Level]++
		g.p.logLevel(before.Level, s)
	}
	g.weight = blend(g.gauge.took, meanTime)
	g.load += (g.loadOf(x) - g.load) * g.weight
	for i := range x {
		g.mean[i] += (x[i] - g.mean[i]) * g.weight
	}
	g.level.Store(uint32(s.Level))
	g.drop.Store(uint32(s.Drop * spillOne))
	g.p.SetLend(s.Lend)
	toRemote := g.drainsToRemote(now)
	if g.p.cfg.Accept != nil {
		g.admission(now, s)
	}
	if s.Pressure > 0 || s.Level > pressure.None || toRemote || len(g.list) > 0 {
		g.sources(now, &x, s, toRemote)
	}
	g.probing.Store(g.p.cfg.Protection.Move != nil && g.p.cfg.HandOff != nil && s.Level >= pressure.AskToMove)
	g.active.Store(s.Level >= pressure.HandOver || toRemote || g.cap.Limited())
}

// blend is a moving mean's weight of a sample that stands for took ns. Under a CPU quota the guard comes round late.
func blend(took int64, over time.Duration) float64 {
	return 1 - math.Exp(-float64(took)/float64(over))
}

// loadOf is how much of what can be carried is used: 1 is where pressure begins.
func (g *guard) loadOf(x pressure.Sample) float64 {
	load := 0.0
	for i, r := range g.p.cfg.Protection.Pressure.Signals {
		if sig := pressure.Signal(i); sig != pressure.Delay && sig != pressure.Throttled && r.Low > 0 {
			load = max(load, x[i]/r.Low)
		}
	}
	return load
}

// sources finds out who uses more than its share, and who is asked to move.
func (g *guard) sources(now int64, x *pressure.Sample, s pressure.State, all bool) {
	every := int64(senseTime)
	took := now - g.looked
	if took < every/2 {
		return
	}
	fresh := g.looked > 0 && took < 20*every
	list := g.p.sources.all()
	if len(list) > manySources && took < 5*every && fresh {
		return
	}
	g.looked = now
	users := make([]pressure.User, len(list))
	for i, src := range list {
		work := src.work.Load()
		if fresh {
			src.rate += (float64(work-src.worked)/(float64(took)/1e9) - src.rate) * blend(took, rateTime)
		}
		src.worked = work
		users[i] = pressure.User{
			Key: src.Source, Workload: src.teamName(), Work: src.rate, Calls: src.calls.Load(), Privileged: src.privileged.Load(),
			Weight: src.weight.Load(), WorkloadWeight: src.workloadWeight.Load(),
		}
	}
	if !fresh && !all {
		return
	}
	share := max(s.Spill, s.Drop)
	excess := pressure.Excess(users, share)
	for i, src := range list {
		n := uint32(math.Ceil(excess[i] * spillOne))
		if users[i].Privileged && s.Level >= pressure.Refuse && s.Drop == 0 {
			n = uint32(share * spillOne) // nothing else has helped
		}
		src.excess.Store(n)
	}
	g.askToMove(now, x, s, users, list, all)
}

// manySources are not looked at in every sample.
const manySources = 256

// askToMove keeps the list of those who are asked to use the remote tier.
func (g *guard) askToMove(now int64, x *pressure.Sample, s pressure.State, users []pressure.User, list []*source, all bool) {
	c := &g.p.cfg.Protection
	if c.Move == nil {
		return
	}
	asks := g.asks(x)
	in := pressure.MoveInput{State: s, Now: asks >= asksLeast || s.Drop > 0, End: asks >= asksEnd, Full: g.full.Load(), Load: g.load, Users: users, Budget: g.budget(), All: all}
	moved, changed := g.moves.Step(time.Duration(now), &in)
	if !changed {
		return
	}
	g.asked += uint64(max(len(moved)-len(g.list), 0))
	g.list = moved
	ttl := make(map[string]time.Duration, len(moved))
	for _, m := range moved {
		ttl[m.Key] = m.Until - time.Duration(now)
	}
	for _, src := range list {
		src.moved.Store(g.moves.Asked(src.Source))
	}
	c.Move(ttl)
	g.p.logMoved(moved, s, all)
}

// Pressure at which somebody is asked to move, and at which it can't be told how much more there is.
const (
	asksLeast = 0.25
	asksEnd   = 0.9
)

// asks is the pressure that has sources asked to move: as it is now and has been for a moment.
func (g *guard) asks(x *pressure.Sample) float64 {
	c := &g.p.cfg.Protection.Pressure
	return min(c.Asks(*x), c.Asks(g.mean))
}

// budget is how many calls in flight the remote tier would take from those who are asked to move; -1: nobody has said.
func (g *guard) budget() int64 {
	switch t := g.p.table.Load(); {
	case t == nil || t.Remotes == nil || len(t.Remotes.Endpoints()) == 0:
		return 0 // there is nobody to move to
	case g.grants.Load() == 0:
		return -1
	default:
		return g.granted.Load()
	}
}

// A proxy that uses all of its CPU quota is stopped for most of a period: what it refuses then is not refused at once. So some
// of it is left.
const (
	fullCPU  = 0.95
	meanTime = 450 * time.Millisecond // time constant of what is looked at as a mean
	rateTime = 200 * time.Millisecond // ... and of what a source makes
)

// admission is a remote proxy's: how many calls it takes in flight, and what of it each hand-off connection is told.
func (g *guard) admission(now int64, s pressure.State) {
	delay := g.p.cfg.Protection.Pressure.Signals[pressure.Delay]
	congested := g.mean[pressure.Delay] > (delay.Low+delay.High)/2 || g.mean[pressure.CPU] > fullCPU || s.Level >= pressure.Refuse
	capacity := g.cap.Observe(time.Duration(now), congested, g.busiest.Swap(g.p.inFlight.Load()))
	g.capacity.Store(int64(capacity))
	g.demand = max(float64(g.peak.Swap(g.overflow.Load())), g.demand*(1-g.weight))
	ratio := uint32(0)
	if g.cap.Limited() {
		free := float64(capacity)*(1-g.p.cfg.Protection.Reserve) - float64(g.p.inFlight.Load()-g.overflow.Load())
		ratio = uint32(max(1, min(max(free, 0)/max(g.demand, 1), 64)*ratioOne))
	}
	g.ratio.Store(ratio)
}

// Pressure is how hard pressed the proxy is, and what it does about it.
type Pressure struct {
	On        bool               `json:"on"`
	Level     string             `json:"level"`
	Number    int                `json:"level_number"`
	Reason    string             `json:"reason,omitempty"` // what presses most
	Pressure  float64            `json:"pressure"`         // of it: 0 where it begins to count, 1 at the end of its range
	SinceS    float64            `json:"since_s"`
	Measured  map[string]float64 `json:"measured,omitempty"` // by signal
	Signals   map[string]float64 `json:"pressures,omitempty"`
	Drop      float64            `json:"drop"` // the share of the work that is refused at once
	Shed      float64            `json:"shed"` // the share of the work that has to leave
	Lend      float64            `json:"lend"`
	Next      string             `json:"next,omitempty"`
	Moved     map[string]float64 `json:"moved,omitempty"` // sources asked to use the remote tier, and the seconds left
	Asked     uint64             `json:"asked_to_move"`   // since the start
	Entered   map[string]uint64  `json:"entered"`         // by level, since the start
	ToRemoteS float64            `json:"to_remote_s"`     // the host is drained to the remote tier for so much longer
	ByRule    bool               `json:"to_remote_by_rule,omitempty"`
	Capacity  int64              `json:"capacity,omitempty"` // a remote proxy's: calls in flight that it takes
	Granted   int64              `json:"granted"`            // calls in flight that remote proxies grant this one
	Overflow  int64              `json:"overflow_calls"`     // in flight, handed over to this one
}

// Pressure returns what is known now. Safe for concurrent use.
func (p *Proxy) Pressure() Pressure {
	g := &p.guard
	g.mu.Lock()
	defer g.mu.Unlock()
	s, now := g.control.State(), p.clock()
	out := Pressure{
		On: p.cfg.Protection.Pressure.On(), Level: s.Level.String(), Number: int(s.Level), Pressure: s.Pressure, Shed: s.Shed, Drop: s.Drop, Lend: s.Lend,
		SinceS: time.Duration(now - int64(s.Since)).Seconds(), Measured: map[string]float64{}, Signals: map[string]float64{},
		Moved: map[string]float64{}, Asked: g.asked, Entered: map[string]uint64{}, ByRule: g.byRule,
		Granted: g.granted.Load(), Overflow: g.overflow.Load(),
	}
	if p.cfg.Accept != nil {
		out.Capacity = g.capacity.Load()
	}
	if until := g.until.Load(); until > now {
		out.ToRemoteS = time.Duration(until - now).Seconds()
	}
	if s.Level > pressure.None {
		out.Reason, out.Next = s.Reason.String(), next(s.Level)
	}
	for i := range pressure.NumSignals {
		out.Measured[pressure.Signal(i).String()], out.Signals[pressure.Signal(i).String()] = s.Raw[i], s.Signals[i]
	}
	for _, m := range g.list {
		out.Moved[m.Key] = max(0, (m.Until - time.Duration(now)).Seconds())
	}
	for l, n := range g.entered {
		if l > 0 {
			out.Entered[pressure.Level(l).String()] = n
		}
	}
	return out
}

// next says what a person can do, and what the proxy does next.
func next(l pressure.Level) string {
	switch l {
	case pressure.None:
		return ""
	case pressure.LendLess, pressure.QueueHeaviest:
		return "sources above their share wait; nothing has to be done"
	case pressure.HandOver:
		return "excess goes to the remote tier within its grant; then the heaviest sources are asked to move"
	case pressure.AskToMove:
		return "the heaviest sources use the remote tier for a while; give this proxy more CPU or memory if that happens often"
	default:
		return "excess that the remote tier does not take is refused: give this proxy or the remote tier more, or limit the heaviest sources"
	}
}

func (p *Proxy) logLevel(from pressure.Level, s pressure.State) {
	log := p.cfg.Log.Info
	if s.Level >= pressure.HandOver && s.Level > from {
		log = p.cfg.Log.Warn
	}
	log("level of self-protection", "level", s.Level.String(), "from", from.String(), "reason", s.Reason.String(),
		"measured", s.Raw[s.Reason], "pressure", s.Pressure, "next", next(s.Level))
}

func (p *Proxy) logMoved(moved []pressure.Moved, s pressure.State, all bool) {
	keys := make([]string, 0, min(len(moved), 10))
	for _, m := range moved[:cap(keys)] {
		keys = append(keys, m.Key)
	}
	p.cfg.Log.Info("sources asked to use the remote tier", "sources", len(moved), "first", keys, "level", s.Level.String(), "drained", all)
}
