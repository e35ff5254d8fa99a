package admin

import (
	"context"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy"
)

const prefix = "bellhop_"

// labelOf names the label of the data plane's labelled counters.
var labelOf = map[string]string{
	"malformed": "reason", "bad_replies": "reason", "caller_closed": "reason", "endpoint_closed": "reason",
	"handed_over": "code", "retried": "class", "refused_messages": "code", "protection_measures": "measure", "detected": "framing",
	"ejections": "reason",
}

// collector turns the data plane's counters into metrics at each scrape. It is an unchecked collector: which counters
// there are is the data plane's to say, and what is documented is a test's (docs/operations.md).
type collector struct{ s *Server }

// Describe sends nothing.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect asks the workers, within a bound; those that do not come round are missing from the sums, which
// bellhop_workers_counted shows.
func (c collector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	st, _ := c.s.Proxy.Stats(ctx) // what is there is counted, see above
	e := emitter{out}
	c.plane(e, st)
	c.methods(e, st)
	c.sources(e)
	c.endpoints(ctx, e)
	c.breakersOpen(e)
	c.registry(e)
	c.ensembles(e)
	c.kubernetes(e)
	c.rules(e)
	c.ruleCounts(ctx, e)
	c.pressure(e)
	c.process(e)
}

// emitter makes metrics with the prefix.
type emitter struct{ out chan<- prometheus.Metric }

func (e emitter) emit(t prometheus.ValueType, name, help string, v float64, labels []string, values ...string) {
	d := prometheus.NewDesc(prefix+name, help, labels, nil)
	m, err := prometheus.NewConstMetric(d, t, v, values...)
	if err != nil { // a label that is not UTF-8: a method's name as a caller sent it
		m = prometheus.NewInvalidMetric(d, err)
	}
	e.out <- m
}

func (e emitter) counter(name, help string, v uint64, labels []string, values ...string) {
	e.emit(prometheus.CounterValue, name+"_total", help, float64(v), labels, values...)
}

func (e emitter) gauge(name, help string, v float64, labels []string, values ...string) {
	e.emit(prometheus.GaugeValue, name, help, v, labels, values...)
}

func (c collector) plane(e emitter, st *proxy.Stats) {
	for _, name := range slices.Sorted(maps.Keys(st.Counters)) {
		e.counter(name, "see docs/operations.md", st.Counters[name], nil)
	}
	for _, name := range slices.Sorted(maps.Keys(st.Labelled)) {
		label := labelOf[name]
		if label == "" {
			label = "what"
		}
		for value, n := range st.Labelled[name] {
			e.counter(name, "see docs/operations.md", n, []string{label}, value)
		}
	}
	for i := range st.Rounds {
		r := &st.Rounds[i]
		id := strconv.Itoa(r.Worker)
		e.histogram("worker_round_seconds", "time from what a poll brought first to the end of what it caused", &r.Rounds, firstRound, lastRound, roundStep, 1e-6, []string{"worker"}, id)
		e.histogram("queue_delay_seconds", "time from the read that brought a call to its being taken, of one in 8", &r.Delays, firstDelay, lastDelay, delayStep, 1e-6, []string{"worker"}, id)
		e.gauge("worker_round_max_seconds", "the longest of them, table take-ups included, since the last scrape", r.Longest.Seconds(), []string{"worker"}, id)
	}
	e.gauge("calls_in_flight", "calls in flight; bound: limits.total_calls", float64(st.InFlight), nil)
	e.gauge("bytes_buffered", "bytes buffered; bound: limits.total_bytes", float64(st.BytesBuffered), nil)
	e.gauge("caller_connections", "connections of callers; bound: limits.total_connections", float64(st.CallerConns), nil)
	e.gauge("failed_calls_kept", "failed calls that are remembered for bellhop explain; bound: limits.failed_calls_total", float64(st.FailedKept), nil)
	e.gauge("open_endpoint_connections", "connections to endpoints", float64(st.EndpointConns), nil)
	e.gauge("table_version", "version of the routing table in force", float64(st.LastTableSwap), nil)
	e.gauge("workers", "event loops", float64(c.s.Proxy.Workers()), nil)
	e.gauge("workers_counted", "event loops that answered this scrape in time", float64(st.WorkersCounted), nil)
	for _, name := range slices.Sorted(maps.Keys(c.s.Bounds)) {
		e.gauge("limit", "the configured bound limits.<name>", c.s.Bounds[name], []string{"name"}, name)
	}
}

// Histograms: the data plane counts in quarter octaves; every bound here is one of its bounds, so no count is guessed.
const (
	firstDuration, lastDuration, durationStep = 6, 24, 1 // 2^6 µs (64 µs) to 2^24 µs (16.8 s)
	firstSize, lastSize, sizeStep             = 6, 24, 2 // 64 B to 16 MiB
	firstRound, lastRound, roundStep          = 4, 18, 1 // 16 µs to 262 ms
	firstDelay, lastDelay, delayStep          = 2, 20, 1 // 4 µs to 1 s
)

func (c collector) methods(e emitter, st *proxy.Stats) {
	labels := []string{"service", "method"}
	for i := range st.Methods {
		m := &st.Methods[i]
		method := printable(m.Method)
		for code, n := range m.Codes {
			if n > 0 {
				e.counter("calls", "calls by how they ended", n, []string{"service", "method", "code"}, m.Service, method, protocol.Code(code).String())
			}
		}
		e.histogram("call_duration_seconds", "time from a call's last byte to its reply", &m.Duration, firstDuration, lastDuration, durationStep, 1e-6, labels, m.Service, method)
		e.histogram("request_bytes", "bytes of requests as they came in", &m.Size, firstSize, lastSize, sizeStep, 1, labels, m.Service, method)
	}
}

func (e emitter) histogram(name, help string, h *proxy.Histogram, first, last, step int, unit float64, labels []string, values ...string) {
	buckets := make(map[float64]uint64, (last-first)/step+1)
	var seen uint64
	i := 0
	for k := first; k <= last; k += step {
		for ; i < len(h.Buckets) && proxy.Bound(i) < 1<<k; i++ {
			seen += h.Buckets[i]
		}
		buckets[float64(uint64(1)<<k)*unit] = seen
	}
	d := prometheus.NewDesc(prefix+name, help, labels, nil)
	m, err := prometheus.NewConstHistogram(d, h.Count, float64(h.Sum)*unit, buckets, values...)
	if err != nil {
		m = prometheus.NewInvalidMetric(d, err)
	}
	e.out <- m
}

// sources has the busiest sources by name, and the rest as one.
func (c collector) sources(e emitter) {
	list := c.s.sortedSources()
	if most := c.s.MaxSources; len(list) > most {
		rest := proxy.SourceStats{Source: "other"}
		for _, s := range list[most:] {
			rest.Conns += s.Conns
			rest.InFlight += s.InFlight
			rest.Bytes += s.Bytes
			rest.Calls += s.Calls
			rest.Failed += s.Failed
			rest.Queued += s.Queued
			rest.Quarantines += s.Quarantines
		}
		list = append(list[:most], rest)
	}
	labels := []string{"source", "workload"}
	for _, s := range list {
		e.counter("source_calls", "calls of a source", s.Calls, labels, s.Source, s.Workload)
		e.counter("source_failed_calls", "calls of a source that did not end well", s.Failed, labels, s.Source, s.Workload)
		e.gauge("source_calls_in_flight", "calls of a source in flight; bound: limits.source_calls", float64(s.InFlight), labels, s.Source, s.Workload)
		e.gauge("source_bytes_buffered", "bytes buffered for a source; bound: limits.source_bytes", float64(s.Bytes), labels, s.Source, s.Workload)
		e.gauge("source_calls_queued", "calls of a source that wait for a connection; bound: limits.source_queued", float64(s.Queued), labels, s.Source, s.Workload)
		e.gauge("source_queue_delay_seconds", "99 % of a source's calls were taken within this time from the read that brought them, since the start", s.Delay.P99.Seconds(), labels, s.Source, s.Workload)
		e.counter("source_quarantines", "times that a source was quarantined", s.Quarantines, labels, s.Source, s.Workload)
		e.gauge("source_quarantined_seconds", "how long yet a source is quarantined; 0: it is not", s.Quarantined.Seconds(), labels, s.Source, s.Workload)
		e.gauge("source_connections", "connections of a source; bound: limits.source_connections", float64(s.Conns), labels, s.Source, s.Workload)
	}
}

// endpoints sums by service: endpoints come and go, and a series for each would never end.
func (c collector) endpoints(ctx context.Context, e emitter) {
	list, err := c.s.Proxy.Clusters(ctx)
	if err != nil {
		return // bellhop_workers_counted shows it
	}
	type sum struct{ known, down, ejected, conns, waiting float64 }
	by := map[string]*sum{}
	for _, p := range list {
		t := by[p.Service]
		if t == nil {
			t = &sum{}
			by[p.Service] = t
		}
		t.known++
		t.conns += float64(p.Conns)
		t.waiting += float64(p.Waiting)
		if p.Down {
			t.down++
		}
		if p.Health != nil && p.Health.State != "closed" {
			t.ejected++
		}
	}
	labels := []string{"service"}
	for _, name := range slices.Sorted(maps.Keys(by)) {
		t := by[name]
		e.gauge("service_endpoints", "endpoints known of a service", t.known, labels, name)
		e.gauge("service_endpoints_backing_off", "endpoints of a service that are not tried after failed connects", t.down, labels, name)
		e.gauge("service_endpoints_ejected", "endpoints of a service that calls are kept away from, half-open ones included", t.ejected, labels, name)
		e.gauge("service_endpoint_connections", "connections to endpoints of a service; bound: max_connections each", t.conns, labels, name)
		e.gauge("service_calls_waiting", "calls that wait for a connection; bound: max_pending per endpoint and worker", t.waiting, labels, name)
	}
}

func (c collector) registry(e emitter) {
	r, f := c.s.Manager.Stats(), c.s.File.Stats()
	e.counter("registry_updates", "updates taken from the registry", r.Updates, nil)
	e.counter("registry_rejected_updates", "updates refused as broken; the old state stands", r.RejectedUpdates, nil)
	e.counter("registry_source_errors", "times that the registry had to be started again", r.SourceErrors, nil)
	e.counter("registry_lkg_writes", "last-known-good files written", r.LKGWrites, nil)
	e.counter("registry_lkg_write_errors", "last-known-good files that could not be written", r.LKGWriteErrors, nil)
	e.counter("registry_file_reloads", "contents of the registry files that were taken", f.Reloads, nil)
	e.counter("registry_file_errors", "contents of the registry files that were wrong", f.Errors, nil)
	e.gauge("registry_file_wrong", "1: the registry files as they are now are wrong and are not in force", flag(f.LastError != ""), nil)
	e.gauge("registry_last_good_seconds", "when the registry was last read well, Unix time; 0: not yet", float64(r.LastGoodUnix), nil)
	e.gauge("registry_services", "services known", float64(r.Services), nil)
	e.gauge("registry_endpoints", "endpoints known", float64(r.Endpoints), nil)
	e.gauge("registry_remotes", "remote proxies known", float64(r.Remotes), nil)
	for _, word := range slices.Sorted(maps.Keys(r.Decisions)) {
		e.counter("registry_decisions", "decisions about endpoints that their registry stopped naming", r.Decisions[word], []string{"decision"}, word)
	}
	for result, n := range map[string]uint64{"ok": r.ProbesOK, "failed": r.ProbesFailed, "void": r.ProbesVoid, "skipped": r.ProbesSkipped} {
		e.counter("registry_probes", "probes of held endpoints", n, []string{"result"}, result)
	}
	e.gauge("registry_oldest_answer_seconds", "age of the oldest last good answer of a registry about a service; -1: one is known from the last run only", c.s.oldestAnswer(), nil)
	e.gauge("registry_held_endpoints", "endpoints kept although the registry removed them", float64(r.HeldEndpoints), nil)
}

func (c collector) process(e emitter) {
	p := &c.s.Process
	e.gauge("build_info", "always 1", 1, []string{"version", "role", "go"}, p.Version, p.Role, runtime.Version())
	e.gauge("start_time_seconds", "when the process started, Unix time", float64(p.Started.UnixMilli())/1e3, nil)
	state := c.s.State()
	for _, s := range []string{"serving", "draining", "down"} {
		v := 0.0
		if s == state {
			v = 1
		}
		e.gauge("state", "1 for what the address file says", v, []string{"state"}, s)
	}
}

// printable makes a method's name a label: what is not UTF-8 would spoil the whole scrape.
func printable(s string) string {
	for _, r := range s {
		if r == '\uFFFD' || r < ' ' {
			return "invalid"
		}
	}
	return s
}

// metrics is the handler of /metrics.
func (s *Server) metrics() http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(collector{s}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4, Timeout: 2 * askTimeout,
		ErrorLog: errorLog{s},
	})
}

// errorLog has the handler's errors in our log.
type errorLog struct{ s *Server }

// Println logs one error.
func (l errorLog) Println(v ...any) {
	l.s.Log.Error("metrics could not be told in full", "error", v, "at", time.Now())
}
