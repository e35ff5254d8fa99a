package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/bellhop-mesh/bellhop/proxy"
	"github.com/bellhop-mesh/bellhop/registry"
)

// Bounds of what /explain is asked.
const (
	defaultFailed = 10
	maxHeaderKeys = 64

	MaxFailed = 1000 // failed calls that it tells of, at most
)

// Where a setting of a service comes from, in place of proxy.FromService.
const (
	fromRegistry = "registry"
	fromRules    = "rules"
)

// explain is what would become of a call now, and why.
func (s *Server) explain(w http.ResponseWriter, r *http.Request) {
	q, err := explainQuery(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), askTimeout)
	defer cancel()
	x, err := s.Proxy.Explain(ctx, q)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	if snap := s.Manager.Snapshot(); snap != nil {
		sayWho(x, snap.Services[q.Service], s.inForce(q.Service))
	}
	writeJSON(w, x)
}

// explainQuery reads the question. The error says what to write.
func explainQuery(v url.Values) (q proxy.Query, err error) {
	for key := range v {
		if !slices.Contains([]string{"service", "method", "version", "source", "caller", "header", "failed"}, key) {
			return q, fmt.Errorf("%s: is not asked here; write service, method, version, source, caller, header=key:value or failed", key)
		}
	}
	q = proxy.Query{
		Service: v.Get("service"), Method: v.Get("method"), Version: v.Get("version"), Source: v.Get("source"), Caller: v.Get("caller"),
		Failed: defaultFailed,
	}
	if q.Service == "" || q.Method == "" {
		return q, errors.New("service and method: write both, like /explain?service=demo.Greeter&method=hello")
	}
	if len(v["header"]) > maxHeaderKeys {
		return q, fmt.Errorf("header: at most %d", maxHeaderKeys)
	}
	for _, h := range v["header"] {
		key, value, ok := strings.Cut(h, ":")
		if !ok || key == "" {
			return q, fmt.Errorf("header %q: write key:value", h)
		}
		if q.Header == nil {
			q.Header = map[string]string{}
		}
		q.Header[key] = value
	}
	if text := v.Get("failed"); text != "" {
		if q.Failed, err = strconv.Atoi(text); err != nil || q.Failed < 0 || q.Failed > MaxFailed {
			return q, fmt.Errorf("failed %q: write a number from 0 to %d", text, MaxFailed)
		}
	}
	return q, nil
}

// inForce is a service as calls are made by it: what the registry says, and the rules over it.
func (s *Server) inForce(service string) *registry.Service {
	if cl := s.Proxy.Table().Lookup([]byte(service)); cl != nil {
		return cl.Service()
	}
	return nil
}

// sayWho tells apart what registry and rules say of a service. known is the service as the registry has it; nil: it has not.
func sayWho(x *proxy.Explanation, known, inForce *registry.Service) {
	for i := range x.Settings {
		f := &x.Settings[i]
		if f.From != proxy.FromService {
			continue
		}
		if f.From = fromRules; known != nil && inForce != nil && same(known, inForce, f.Name, x.Query.Method) {
			f.From = fromRegistry
		}
	}
}

// same reports whether two services say the same of a setting.
func same(a, b *registry.Service, name, method string) bool {
	switch name {
	case "timeout":
		return a.Timeout == b.Timeout
	case "mode":
		return a.Mode == b.Mode
	case "balancer":
		return a.Balancer == b.Balancer
	case "max_connections":
		return a.MaxConns == b.MaxConns
	case "max_pending":
		return a.MaxPending == b.MaxPending
	case "depth":
		return a.Depth == b.Depth
	case "slow_start":
		return a.SlowStart == b.SlowStart
	case "zone_spill":
		return a.ZoneSpill == b.ZoneSpill
	case "panic":
		return a.Panic == b.Panic
	case "ejection":
		return a.Ejection == b.Ejection
	case "idempotent":
		return slices.Contains(a.Idempotent, method) == slices.Contains(b.Idempotent, method)
	case "oneway":
		return slices.Contains(a.Oneway, method) == slices.Contains(b.Oneway, method)
	case "ordered":
		return a.Ordered == b.Ordered
	case "remote":
		return a.Remote == b.Remote
	}
	return false
}
