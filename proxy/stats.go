package proxy

import (
	"context"
	"math/bits"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/cluster"
	"github.com/bellhop-mesh/bellhop/proxy/govern"
)

// workerStats are one worker's counters: plain numbers with a single writer, copied on the loop when somebody asks.
type workerStats struct {
	limit   int // methods of one service with counters of their own
	methods map[string]map[string]*methodStats
	budgets map[string]*budgets // by service
	accepted, connected, dials, connectErrors,
	writes, stray, late, requeued, requeuesRefused, retriesRefused, onewayAnswers, overdueConns, heartbeats, panics, staleIdle, lostRaced, handoffRefused,
	uploads, relays, pauses, lookups, lookupTimeouts, deferred, displaced uint64
	retried        [govern.NumClasses]uint64 // by what came of the attempt before
	handedOver     [protocol.NumCodes]uint64
	refused        [protocol.NumCodes]uint64
	detected       [protocol.NumFramings]uint64
	malformed      map[string]uint64
	badReplies     map[string]uint64
	closedDown     map[closeReason]uint64
	closedUp       map[closeReason]uint64
	started        uint64
	delays         Histogram                  // µs from the read that brought a call to its being taken, of one in 8
	rounds         Histogram                  // µs from a batch's first event to the end of its flush
	longest        int64                      // of them since somebody last asked, ns; table take-ups and tasks from outside too
	ejections      [cluster.NumReasons]uint64 // by reason; those of ReasonNone are calls that ejected nothing
	breakersOpened uint64
	measures       [numMeasures]uint64
}

// methodStats are the counters of one method.
type methodStats struct {
	codes    [protocol.NumCodes]uint64
	duration Histogram
	size     Histogram    // bytes of requests
	asked    uint64       // calls when Used was called last
	budgets  *budgets     // of the service
	failures *failureRing // nil: none, or it was given to another method

	evidence     cluster.Method
	breaker      *cluster.Breaker // of the method, if a rule wants one or somebody has set it
	breakerRound uint32
	breakerAgain int64 // worker clock, ns: not asked for before, where there is none
	other        bool  // these are the counters of methods that have none of their own
}

func (s *workerStats) init(p *Proxy) {
	s.limit = p.cfg.Limits.MaxMethods
	s.methods, s.budgets = map[string]map[string]*methodStats{}, map[string]*budgets{}
	s.malformed, s.badReplies = map[string]uint64{}, map[string]uint64{}
	s.closedDown, s.closedUp = map[closeReason]uint64{}, map[closeReason]uint64{}
}

// other is the label of what has no counters of its own, so that callers can't make metrics without bound.
const other = "other"

// method finds a method's counters. Unknown services share one entry, as do methods past the bound.
func (s *workerStats) method(cl *cluster.Cluster, method []byte) *methodStats {
	service := other
	if cl != nil {
		service = cl.Name
	}
	ms := s.methods[service]
	if m := ms[string(method)]; m != nil {
		return m
	}
	if ms == nil {
		ms = map[string]*methodStats{}
		s.methods[service] = ms
	}
	name := string(method)
	if cl == nil || len(ms) >= s.limit {
		name = other
	}
	m := ms[name]
	if m == nil {
		m = &methodStats{budgets: s.budgetsOf(service), other: name == other}
		ms[name] = m
	}
	return m
}

// look is method for whoever only asks: it makes nothing that stays.
func (s *workerStats) look(cl *cluster.Cluster, method []byte) *methodStats {
	if cl == nil {
		return &methodStats{other: true}
	}
	ms := s.methods[cl.Name]
	if m := ms[string(method)]; m != nil {
		return m
	}
	return &methodStats{budgets: s.budgets[cl.Name], other: len(ms) >= s.limit}
}

func (s *workerStats) budgetsOf(service string) *budgets {
	b := s.budgets[service]
	if b == nil {
		b = &budgets{}
		s.budgets[service] = b
	}
	return b
}

// record counts a call that has ended.
func (w *worker) record(c *call, code protocol.Code) {
	took := w.now - c.start
	c.stats.codes[code]++
	c.stats.duration.add(took / 1000)
	c.stats.size.add(int64(c.size))
	c.src.total.Add(1)
	c.src.work.Add(uint64(workUnit + c.size/workBytes))
	c.stats.budgets.retries.earn(w.p.cfg.Limits.RetryShare)
	c.stats.budgets.requeues.earn(w.p.cfg.Limits.RequeueShare)
	if code != protocol.CodeOK {
		c.src.failed.Add(1)
		w.noteFailure(c, code)
	}
	w.p.access.consider(w, c, code, time.Duration(took))
}

// Histogram has four buckets an octave: bucket i counts values v with Bound(i-1) < v ≤ Bound(i).
type Histogram struct {
	Buckets [numBuckets]uint64
	Sum     uint64
	Count   uint64
}

const numBuckets = 112 // up to 2^28: 268 s in µs, 256 MiB in bytes

func (h *Histogram) add(v int64) {
	if v < 0 {
		v = 0
	}
	h.Buckets[bucketOf(uint64(v))]++
	h.Sum += uint64(v)
	h.Count++
}

func bucketOf(v uint64) int {
	if v < 4 {
		return int(v)
	}
	e := bits.Len64(v) - 3 // v>>e is 4…7
	return min(e*4+int(v>>e&3)+4, numBuckets-1)
}

// Bound is the upper bound of bucket i, inclusive.
func Bound(i int) uint64 {
	if i < 8 {
		return uint64(i)
	}
	e := i/4 - 1
	return (uint64(i%4)+5)<<e - 1
}

// Quantile returns the upper bound of the bucket in which the q-quantile lies; 0 when nothing was counted.
func (h *Histogram) Quantile(q float64) uint64 {
	rank := uint64(q * float64(h.Count))
	var seen uint64
	for i, n := range h.Buckets {
		if seen += n; n > 0 && seen > rank {
			return Bound(i)
		}
	}
	return 0
}

// Add adds another histogram's counts.
func (h *Histogram) Add(o *Histogram) {
	for i, n := range o.Buckets {
		h.Buckets[i] += n
	}
	h.Sum += o.Sum
	h.Count += o.Count
}

// MethodStats are the counters of one method over all workers.
type MethodStats struct {
	Service, Method string
	Codes           [protocol.NumCodes]uint64
	Duration        Histogram // µs
	Size            Histogram // bytes of requests
}

type methodKey struct{ service, method string }

// Stats is the sum of all workers' counters.
type Stats struct {
	Methods        []MethodStats
	Counters       map[string]uint64            // by metric name without prefix and suffix
	Labelled       map[string]map[string]uint64 // metric name → label value → count
	Rounds         []RoundStats                 // by worker; those that did not come round are missing
	InFlight       int64
	BytesBuffered  int64
	CallerConns    int64
	EndpointConns  int64
	FailedKept     int // calls
	LastTableSwap  uint64
	WorkersCounted int
	index          map[methodKey]int // into Methods
}

// RoundStats tell how long a worker kept other connections waiting while it was busy with what one poll had brought.
type RoundStats struct {
	Worker  int
	Rounds  Histogram     // µs
	Longest time.Duration // since the last call of Stats
	Delays  Histogram     // µs from the read that brought a call to its being taken, one call in 8
}

// Stats asks every worker. The error says that one did not come round before ctx ended: what is there is returned all
// the same.
func (p *Proxy) Stats(ctx context.Context) (*Stats, error) {
	s := &Stats{Counters: map[string]uint64{}, Labelled: map[string]map[string]uint64{}, index: map[methodKey]int{}}
	parts := make(chan func(*Stats), len(p.workers))
	err := p.each(ctx, func(w *worker) { parts <- w.figures() })
	for len(parts) > 0 {
		(<-parts)(s)
		s.WorkersCounted++
	}
	s.InFlight, s.BytesBuffered, s.CallerConns = p.inFlight.Load(), p.bytes.Load(), p.conns.Load()
	s.LastTableSwap = p.table.Load().Version
	a := &p.acceptLog
	s.Counters["connections_refused"] = a.refused.Load()
	s.Counters["accept_errors"] = a.errors.Load()
	s.Counters["enrol_errors"] = a.enrolErrors.Load()
	s.Counters["tls_errors"] = a.tlsErrors.Load()
	s.Counters["quarantine_refused_connections"], s.Counters["quarantines"] = a.quarantined.Load(), p.quarantines.Load()
	s.Counters["access_log_dropped"] = p.access.dropped.Load()
	return s, err
}

// figures copies what the worker has counted, on the loop.
func (w *worker) figures() func(*Stats) {
	add, kept := w.stats.copy(w.id, len(w.ups)), w.failures.kept()
	return func(s *Stats) {
		add(s)
		s.FailedKept += kept
	}
}

// copy takes the counters on the loop; the function that it returns adds them up elsewhere.
func (s *workerStats) copy(id, ups int) func(*Stats) {
	c := *s
	s.longest = 0
	methods := make(map[methodKey]methodStats)
	for service, ms := range s.methods {
		for method, m := range ms {
			methods[methodKey{service, method}] = *m
		}
	}
	labelled := map[string]map[string]uint64{
		"malformed": copyMap(s.malformed), "bad_replies": copyMap(s.badReplies),
		"caller_closed": copyMap(s.closedDown), "endpoint_closed": copyMap(s.closedUp),
		"ejections":   reasonMap(&s.ejections),
		"handed_over": codeMap(&s.handedOver), "retried": classMap(&s.retried), "refused_messages": codeMap(&s.refused), "detected": framingMap(&s.detected),
		"protection_measures": measureMap(&s.measures),
	}
	return func(t *Stats) {
		for name, n := range c.counters() {
			t.Counters[name] += n
		}
		for name, m := range labelled {
			if t.Labelled[name] == nil {
				t.Labelled[name] = map[string]uint64{}
			}
			for label, n := range m {
				t.Labelled[name][label] += n
			}
		}
		t.EndpointConns += int64(ups)
		t.Rounds = append(t.Rounds, RoundStats{Worker: id, Rounds: c.rounds, Longest: time.Duration(c.longest), Delays: c.delays})
		for k, m := range methods {
			t.addMethod(k.service, k.method, &m)
		}
	}
}

func (s *workerStats) counters() map[string]uint64 {
	return map[string]uint64{
		"connections_accepted": s.accepted, "endpoint_connections": s.connected, "dials": s.dials,
		"connect_errors": s.connectErrors, "writes": s.writes, "stray_replies": s.stray, "late_replies": s.late,
		"requeued": s.requeued, "requeues_refused": s.requeuesRefused, "retries_refused": s.retriesRefused, "oneway_answers": s.onewayAnswers, "overdue_connections": s.overdueConns, "heartbeats": s.heartbeats, "panics": s.panics, "stale_idle": s.staleIdle,
		"lost_raced": s.lostRaced, "handoff_refused": s.handoffRefused,
		"uploads": s.uploads, "relays": s.relays, "read_pauses": s.pauses,
		"lookups": s.lookups, "lookup_timeouts": s.lookupTimeouts,
		"breakers_opened": s.breakersOpened,
		"turns_waited":    s.deferred, "displaced": s.displaced,
	}
}

func (s *Stats) addMethod(service, method string, m *methodStats) {
	i, ok := s.index[methodKey{service, method}]
	if !ok {
		i = len(s.Methods)
		s.index[methodKey{service, method}] = i
		s.Methods = append(s.Methods, MethodStats{Service: service, Method: method})
	}
	t := &s.Methods[i]
	for code, n := range m.codes {
		t.Codes[code] += n
	}
	t.Duration.Add(&m.duration)
	t.Size.Add(&m.size)
}

func copyMap[K ~string](m map[K]uint64) map[string]uint64 {
	out := make(map[string]uint64, len(m))
	for k, n := range m {
		out[string(k)] = n
	}
	return out
}

func codeMap(a *[protocol.NumCodes]uint64) map[string]uint64 {
	out := map[string]uint64{}
	for i, n := range a {
		if n > 0 {
			out[protocol.Code(i).String()] = n
		}
	}
	return out
}

func classMap(a *[govern.NumClasses]uint64) map[string]uint64 {
	out := map[string]uint64{}
	for i, n := range a {
		if n > 0 {
			out[govern.Class(i).String()] = n
		}
	}
	return out
}

func framingMap(a *[protocol.NumFramings]uint64) map[string]uint64 {
	out := map[string]uint64{}
	for i, n := range a {
		if n > 0 {
			out[protocol.Framing(i).String()] = n
		}
	}
	return out
}
