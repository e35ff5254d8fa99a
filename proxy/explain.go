package proxy

import (
	"cmp"
	"context"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/cluster"
	"github.com/bellhop-mesh/bellhop/proxy/govern"
)

// This file answers why calls go where they go. Every worker rehearses a call (rehearse.go) and tells what it knows; the
// parts are put together where nobody waits.
//
//	Explain ─► each worker: explain ─► part ─► Explanation.add

// Query names a call that was not made. What is "" is not known of it.
type Query struct {
	Service string            `json:"service"`
	Method  string            `json:"method"`
	Version string            `json:"version,omitempty"`
	Source  string            `json:"source,omitempty"` // the key of a source
	Caller  string            `json:"caller,omitempty"` // the name that the frame claims
	Header  map[string]string `json:"header,omitempty"` // header keys and cookies
	Failed  int               `json:"failed"`           // how many failed calls are told of at most
}

// Explanation is what would become of a call now, and why. Figures that workers have each for itself are summed.
type Explanation struct {
	Query     Query              `json:"query"`
	At        time.Time          `json:"at"`
	Known     bool               `json:"known"` // the service is in the table
	Near      []string           `json:"near"`  // services whose names are like it, when it is not; else methods, when it was never called
	Verdict   Verdict            `json:"verdict"`
	Workers   []Verdict          `json:"workers"`  // each worker's, the one first on which such a call would most likely come
	Settings  []Setting          `json:"settings"` // what is in force for the service
	Rules     []govern.Judgement `json:"rules"`    // all, in their order
	Policy    []govern.Said      `json:"policy"`   // what they decide, but for limits
	Limits    []LimitState       `json:"limits"`   // that count such a call
	Pressure  Pressure           `json:"pressure"` // on the proxy, and what it does about it
	Source    SourceState        `json:"source"`
	Tiers     []Tier             `json:"tiers"`             // endpoints, the nearest first
	Panicking bool               `json:"panicking"`         // too few endpoints are healthy: health is not looked at
	Breaker   *EndpointHealth    `json:"breaker,omitempty"` // of the method, if it has one
	Remotes   []Candidate        `json:"remotes"`           // remote proxies
	Budgets   []Budget           `json:"budgets"`
	Calls     map[string]uint64  `json:"calls"` // of the method that have ended here, by code
	Failed    []FailedCall       `json:"failed"`
}

// Outcome is what would become of a call.
type Outcome string

// The outcomes.
const (
	OutcomeSent    Outcome = "sent"        // to an endpoint of the service
	OutcomeHanded  Outcome = "handed_over" // to the remote tier
	OutcomeRefused Outcome = "refused"     // with a fault
	OutcomeLookup  Outcome = "looked_up"   // it would wait until its service is known
	OutcomeQueued  Outcome = "queued"      // it would wait for a limit
)

// Verdict is what one worker would do with a call.
type Verdict struct {
	Worker   int     `json:"worker"`
	Outcome  Outcome `json:"outcome"`
	Endpoint string  `json:"endpoint,omitempty"`
	Code     string  `json:"code"` // of the fault, or why it would be handed over; "ok"
	Why      string  `json:"why"`
	Rule     string  `json:"rule,omitempty"` // that decides
	code     protocol.Code
}

// Setting is something that is in force for a service.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	From  string `json:"from"` // "service": what registry and rules say; else the key of the configuration
}

// SourceState is what is known of the source of a call.
type SourceState struct {
	SourceStats
	Known      bool              `json:"known"`          // it has a connection, or is remembered
	Near       []string          `json:"near,omitempty"` // sources whose keys are like it, when it is not
	Namespace  string            `json:"namespace,omitempty"`
	Unit       string            `json:"unit,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
	MostCalls  int               `json:"calls_bound"` // in flight, while others leave room
	Share      int64             `json:"calls_share"` // in flight, when all is wanted
	MostBytes  int64             `json:"bytes_bound"`
	MostQueued int               `json:"queued_bound"`
	Excess     float64           `json:"excess"` // share of its calls that the proxy wants gone
	Moved      bool              `json:"asked_to_move"`
	Privileged bool              `json:"privileged"`
}

// Tier is endpoints that are equally near.
type Tier struct {
	Near      string      `json:"near"`    // host, zone or far
	Healthy   float64     `json:"healthy"` // share of its endpoints
	Share     float64     `json:"share"`   // of the calls that it would have
	Endpoints []Candidate `json:"endpoints"`
}

// Candidate is an endpoint that a call could go to.
type Candidate struct {
	Endpoint  string            `json:"endpoint"`
	Zone      string            `json:"zone,omitempty"`
	Weight    int               `json:"weight"`
	Conns     int               `json:"connections"`
	MostConns int               `json:"connections_bound"`
	InFlight  int               `json:"calls_in_flight"`
	Waiting   int               `json:"calls_waiting"`
	LatencyUS int64             `json:"latency_us"`          // the slowest worker's peak EWMA
	BackOffMS int64             `json:"back_off_ms"`         // after failed connects, the longest of the workers'; 0: none
	Failures  int               `json:"connects_failed"`     // in a row, the most of the workers'
	AgoMS     int64             `json:"last_success_ago_ms"` // -1: never
	Version   string            `json:"version,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	Health    EndpointHealth    `json:"health"`            // over all workers
	Granted   int               `json:"granted,omitempty"` // remote proxies: calls that may be in flight on what connections there are
}

// Budget is what calls of the service that are sent again use up.
type Budget struct {
	Name      string  `json:"name"`
	Left      float64 `json:"left"`       // calls that may be sent again at once
	Share     float64 `json:"share"`      // of the calls that it earns
	PerSecond float64 `json:"per_second"` // that it earns besides
}

// Explain tells what would become of a call, and why, and what became of the last that failed. Nothing is changed by it,
// and no call made. The error says that a worker did not come round before ctx ended: what is there is returned all the
// same. Safe for concurrent use.
func (p *Proxy) Explain(ctx context.Context, q Query) (*Explanation, error) {
	x := &Explanation{
		Query: q, At: p.born.Add(time.Duration(p.clock())), Near: []string{}, Workers: []Verdict{}, Settings: []Setting{},
		Rules: []govern.Judgement{}, Policy: []govern.Said{}, Limits: []LimitState{}, Tiers: []Tier{}, Remotes: []Candidate{},
		Budgets: []Budget{}, Calls: map[string]uint64{}, Failed: []FailedCall{},
	}
	src, known := p.sources.find(q.Source)
	t := p.table.Load()
	cl := t.Lookup([]byte(q.Service))
	x.Known = cl != nil
	x.Source = p.sourceState(src, known)
	p.explainRules(x, &q, q.message(), src)
	if !known && q.Source != "" {
		x.Source.Near = near(p.sources.keys(), q.Source)
	}
	parts := make(chan explained, len(p.workers))
	err := p.each(ctx, func(w *worker) { parts <- w.explain(&q, src, cl, t.Remotes) })
	all := make([]explained, 0, len(p.workers))
	for len(parts) > 0 {
		all = append(all, <-parts)
	}
	slices.SortFunc(all, func(a, b explained) int {
		return cmp.Or(cmp.Compare(b.conns, a.conns), cmp.Compare(a.load, b.load), cmp.Compare(a.verdict.Worker, b.verdict.Worker))
	})
	methods := map[string]bool{}
	for i := range all {
		x.Workers = append(x.Workers, all[i].verdict)
		for _, m := range all[i].methods {
			methods[m] = true
		}
		for code, n := range all[i].codes {
			if n > 0 {
				x.Calls[protocol.Code(code).String()] += n
			}
		}
		x.Failed = append(x.Failed, all[i].failed...)
	}
	if len(all) > 0 {
		x.Verdict = all[0].verdict
	}
	slices.SortStableFunc(x.Failed, func(a, b FailedCall) int { return b.At.Compare(a.At) })
	x.Failed = x.Failed[:min(max(q.Failed, 0), len(x.Failed))]
	if cl != nil {
		x.Settings = settingsOf(cl, q.Method)
		x.Breaker = p.breakerOf(&q)
		p.addTiers(x, cl, all)
		if len(x.Calls) == 0 {
			x.Near = near(slices.Collect(maps.Keys(methods)), q.Method)
		}
	} else {
		x.Near = near(t.Names(), q.Service)
	}
	x.Pressure = p.Pressure()
	x.Remotes = p.remotesOf(t.Remotes, all)
	x.Budgets = addBudgets(all)
	return x, err
}

// explained is one worker's part.
type explained struct {
	verdict Verdict
	conns   int   // of the source, to this worker
	load    int64 // as the acceptors see it
	methods []string
	codes   [protocol.NumCodes]uint64
	failed  []FailedCall
	states  []endpointState // of the service's endpoints
	remotes []endpointState // of the remote proxies
	budgets []Budget
	tiers   []cluster.TierView
	panic   bool
}

// endpointState is what one worker knows of an endpoint.
type endpointState struct {
	cluster.State
	waiting int
	backOff int64 // ns
	granted int
}

// explain is a worker's part, on the loop.
func (w *worker) explain(q *Query, src *source, cl, remotes *cluster.Cluster) explained {
	e := explained{load: w.load.Load(), states: w.statesOf(cl), remotes: w.statesOf(remotes)}
	e.verdict = w.rehearse(q, src)
	for d := range w.downs {
		if d.src == src {
			e.conns++
		}
	}
	if cl != nil {
		e.tiers, e.panic = cl.Tiers(w.id, w.now)
	}
	for name, m := range w.stats.methods[q.Service] {
		if e.methods = append(e.methods, name); name == q.Method {
			e.codes = m.codes
		}
	}
	e.failed = w.failed(q.Service, q.Method)
	e.budgets = w.budgetsOf(q)
	return e
}

// statesOf is what the worker knows of a cluster's endpoints, in their order; cl may be nil.
func (w *worker) statesOf(cl *cluster.Cluster) []endpointState {
	if cl == nil {
		return nil
	}
	out := make([]endpointState, len(cl.Endpoints()))
	for i, ep := range cl.Endpoints() {
		out[i] = w.stateOf(ep)
	}
	return out
}

func (w *worker) stateOf(ep *cluster.Endpoint) endpointState {
	s := endpointState{State: ep.States[w.id]}
	s.backOff = max(0, s.DownUntil-w.now)
	if pl, ok := s.Pool.(*pool); ok {
		s.waiting = pl.waiting()
		for _, u := range pl.open {
			if u.hand != nil && u.hand.admitted && !u.expiredGrant() {
				s.granted += int(u.hand.grant.Calls)
			}
		}
	}
	s.Pool = nil
	return s
}

// find returns a source by its key, and one that looks like it when there is none.
func (s *sources) find(key string) (src *source, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if src := s.byKey[key]; src != nil {
		return src, true
	}
	src = &source{Identity: Identity{Source: key}, sourceBytes: []byte(key), lanes: make([]atomic.Pointer[lane], s.workers)}
	src.workloadKey = maphash.String(workloadSeed, src.teamName())
	src.ruledBy(s.rules)
	if src.team = s.crews[src.Workload]; src.team == nil {
		src.team = &crew{}
	}
	return src, false
}

func (s *sources) keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.byKey))
}

func (p *Proxy) sourceState(src *source, known bool) SourceState {
	lim := &p.cfg.Limits
	return SourceState{
		SourceStats: src.stats(p.clock()), Known: known, Namespace: src.Namespace, Unit: src.Unit, Labels: src.Labels,
		MostCalls: lim.SourceCalls, Share: min(p.fairShare(src), int64(lim.SourceCalls)), MostBytes: lim.SourceBytes, MostQueued: lim.SourceQueued,
		Excess: float64(src.excess.Load()) / spillOne, Moved: src.moved.Load(), Privileged: src.privileged.Load(),
	}
}

// near returns the names that are most like one, at most five: those that differ by a third of their letters or less, those
// that it begins, and those whose last part it is.
func near(names []string, name string) []string {
	type likeness struct {
		name string
		far  int
	}
	var list []likeness
	low := strings.ToLower(name)
	for _, n := range names {
		l := strings.ToLower(n)
		far := distance(low, l)
		if low != "" && (strings.HasPrefix(l, low) || strings.HasSuffix(l, "."+low)) {
			far = min(far, 1)
		}
		if far <= (len(name)+2)/3 && n != other && n != name {
			list = append(list, likeness{n, far})
		}
	}
	slices.SortFunc(list, func(a, b likeness) int { return cmp.Or(cmp.Compare(a.far, b.far), cmp.Compare(a.name, b.name)) })
	out := []string{}
	for _, l := range list[:min(5, len(list))] {
		out = append(out, l.name)
	}
	return out
}

// distance is how many letters have to be put in, taken out or changed to make b of a (Levenshtein).
func distance(a, b string) int {
	if abs := len(a) - len(b); abs > 16 || abs < -16 {
		return 1 << 10 // far enough
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
