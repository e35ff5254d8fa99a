package admin

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy"
	"github.com/bellhop-mesh/bellhop/proxy/route"
	"github.com/bellhop-mesh/bellhop/registry"
)

// Status is what `bellhop status` shows: what a proxy is, and what it did in a window.
type Status struct {
	Process
	State       string                `json:"state"`
	Ready       string                `json:"ready"` // "ok", or why not
	UptimeS     float64               `json:"uptime_s"`
	WindowS     float64               `json:"window_s"`
	Listeners   []Listener            `json:"listeners"`
	Services    []Service             `json:"services"`
	Remotes     []proxy.EndpointStats `json:"remotes"`
	Sources     []Source              `json:"sources"`
	Total       Traffic               `json:"total"`
	InFlight    int64                 `json:"calls_in_flight"`
	Bytes       int64                 `json:"bytes_buffered"`
	CallerConns int64                 `json:"caller_connections"`
	HandedOver  map[string]uint64     `json:"handed_over"` // by reason, since the start
	Problem     string                `json:"registry_problem,omitempty"`
	Protected   []registry.Protection `json:"protected,omitempty"` // kept although their registry does not name them any more
	RulesWrong  string                `json:"rules_problem,omitempty"`
	Pressure    proxy.Pressure        `json:"pressure"`
	Measures    map[string]uint64     `json:"protection_measures"` // what was done with calls to protect the proxy, since the start
}

// Traffic is what was done in the window, and since the start.
type Traffic struct {
	Calls      uint64            `json:"calls"`  // since the start
	Failed     uint64            `json:"failed"` // since the start
	PerSecond  float64           `json:"calls_per_s"`
	FailPerS   float64           `json:"failed_per_s"`
	P50us      uint64            `json:"p50_us"` // in the window; since the start when there was no call in it
	P99us      uint64            `json:"p99_us"`
	FailedBy   map[string]uint64 `json:"failed_by,omitempty"` // code → calls since the start
	inWindow   proxy.Histogram
	sinceStart proxy.Histogram
}

// Service is one service with its endpoints.
type Service struct {
	Name      string                `json:"name"`
	Mode      string                `json:"mode"`
	Endpoints []proxy.EndpointStats `json:"endpoints"`
	Traffic
}

// Source is one caller.
type Source struct {
	proxy.SourceStats
	PerSecond float64 `json:"calls_per_s"`
}

// Bounds of the window that may be asked for.
const (
	defaultWindow = time.Second
	maxWindow     = 10 * time.Second
)

// Names that are not a service's.
const (
	remotesName = "bellhop-remote" // the cluster of remote proxies
)

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	window := defaultWindow
	if text := r.URL.Query().Get("window"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 || d > maxWindow {
			http.Error(w, "window: write a duration up to "+maxWindow.String()+", like 1s", http.StatusBadRequest)
			return
		}
		window = d
	}
	st, err := s.Status(r.Context(), window)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	writeJSON(w, st)
}

// sample is one look at the counters.
type sample struct {
	at      time.Time
	stats   *proxy.Stats
	sources []proxy.SourceStats
}

func (s *Server) sample(ctx context.Context) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	st, err := s.Proxy.Stats(ctx)
	return sample{time.Now(), st, s.sortedSources()}, err
}

// Status looks twice, a window apart. The error says that a worker did not answer, or that ctx ended.
func (s *Server) Status(ctx context.Context, window time.Duration) (*Status, error) {
	first, err := s.sample(ctx)
	if err != nil {
		return nil, err
	}
	select {
	case <-time.After(window):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	second, err := s.sample(ctx)
	if err != nil {
		return nil, err
	}
	ask, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	endpoints, err := s.Proxy.Clusters(ask)
	if err != nil {
		return nil, err
	}
	out := compare(first, second, s.Proxy.Table(), endpoints)
	out.Process, out.Listeners, out.State = s.Process, s.Listeners, s.State()
	out.UptimeS = time.Since(s.Process.Started).Seconds()
	out.Problem, out.RulesWrong = s.registryProblem(), s.rulesProblem()
	out.Protected = s.Manager.Protected()
	out.Pressure = s.Proxy.Pressure()
	out.Ready = "ok"
	if err := s.Ready.Check(ctx); err != nil {
		out.Ready = err.Error()
	}
	return out, nil
}

// compare makes a status of two looks, the table and the endpoints.
func compare(first, second sample, table *route.Table, endpoints []proxy.EndpointStats) *Status {
	seconds := max(second.at.Sub(first.at).Seconds(), 1e-3)
	out := &Status{
		WindowS: seconds, InFlight: second.stats.InFlight, Bytes: second.stats.BytesBuffered, CallerConns: second.stats.CallerConns,
		HandedOver: second.stats.Labelled["handed_over"], Measures: second.stats.Labelled["protection_measures"], Remotes: []proxy.EndpointStats{}, Sources: []Source{},
	}
	services := map[string]*Service{}
	service := func(name string) *Service {
		if services[name] == nil {
			services[name] = &Service{Name: name, Endpoints: []proxy.EndpointStats{}}
		}
		return services[name]
	}
	for _, name := range table.Names() { // those without an endpoint, too
		service(name).Mode = table.Lookup([]byte(name)).Mode.String()
	}
	for _, e := range endpoints {
		if e.Service == remotesName {
			out.Remotes = append(out.Remotes, e)
			continue
		}
		v := service(e.Service)
		v.Endpoints = append(v.Endpoints, e)
	}
	for i := range second.stats.Methods {
		m := &second.stats.Methods[i]
		before := find(first.stats, m)
		service(m.Service).add(m, before)
		out.Total.add(m, before)
	}
	for _, v := range services {
		v.finish(seconds)
		out.Services = append(out.Services, *v)
	}
	out.Total.finish(seconds)
	slices.SortFunc(out.Services, func(a, b Service) int { return cmp.Compare(a.Name, b.Name) })
	before := map[string]uint64{}
	for _, s := range first.sources {
		before[s.Source] = s.Calls
	}
	for _, s := range second.sources {
		s.Delay.Buckets = nil // /sources has them
		out.Sources = append(out.Sources, Source{s, float64(s.Calls-min(before[s.Source], s.Calls)) / seconds})
	}
	return out
}

func find(st *proxy.Stats, m *proxy.MethodStats) *proxy.MethodStats {
	for i := range st.Methods {
		if o := &st.Methods[i]; o.Service == m.Service && o.Method == m.Method {
			return o
		}
	}
	return &proxy.MethodStats{}
}

func (t *Traffic) add(now, before *proxy.MethodStats) {
	for code := range now.Codes {
		n, was := now.Codes[code], before.Codes[code]
		t.Calls += n
		t.PerSecond += float64(n - was)
		if protocol.Code(code) == protocol.CodeOK || n == 0 {
			continue
		}
		t.Failed += n
		t.FailPerS += float64(n - was)
		if t.FailedBy == nil {
			t.FailedBy = map[string]uint64{}
		}
		t.FailedBy[protocol.Code(code).String()] += n
	}
	t.sinceStart.Add(&now.Duration)
	diff := now.Duration
	for i := range diff.Buckets {
		diff.Buckets[i] -= before.Duration.Buckets[i]
	}
	diff.Sum -= before.Duration.Sum
	diff.Count -= before.Duration.Count
	t.inWindow.Add(&diff)
}

func (t *Traffic) finish(seconds float64) {
	t.PerSecond /= seconds
	t.FailPerS /= seconds
	h := &t.inWindow
	if h.Count == 0 {
		h = &t.sinceStart
	}
	t.P50us, t.P99us = h.Quantile(0.5), h.Quantile(0.99)
}
