package admin

import (
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy"
	"github.com/bellhop-mesh/bellhop/proxy/route"
	"github.com/bellhop-mesh/bellhop/registry"
)

// look makes a sample: calls of demo.A.say so far, of which so many failed, all in the bucket of one duration.
func look(at time.Time, calls, failed uint64, us int) sample {
	m := proxy.MethodStats{Service: "demo.A", Method: "say"}
	m.Codes[protocol.CodeOK], m.Codes[protocol.CodeDeadline] = calls-failed, failed
	m.Duration.Buckets[us], m.Duration.Count = calls, calls
	return sample{at, &proxy.Stats{Methods: []proxy.MethodStats{m}}, []proxy.SourceStats{{Source: "pod-1", Calls: calls}}}
}

func table(t *testing.T, services ...string) *route.Table {
	t.Helper()
	s := &registry.Snapshot{Services: map[string]*registry.Service{}}
	for _, name := range services {
		s.Services[name] = &registry.Service{Name: name}
	}
	out, err := route.Compile(s, nil, route.Options{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestCompare(t *testing.T) {
	start := time.Unix(0, 0)
	first, second := look(start, 100, 10, 20), look(start.Add(2*time.Second), 500, 30, 20)
	s := compare(first, second, table(t, "demo.A", "demo.B"), []proxy.EndpointStats{
		{Service: "demo.A", Endpoint: "127.0.0.1:1"}, {Service: remotesName, Endpoint: "127.0.0.1:2"},
	})
	if len(s.Services) != 2 || s.Services[1].Name != "demo.B" || len(s.Remotes) != 1 || s.WindowS != 2 {
		t.Fatalf("%+v", s)
	}
	a := s.Services[0]
	if a.Calls != 500 || a.Failed != 30 || a.PerSecond != 200 || a.FailPerS != 10 || a.FailedBy["deadline"] != 30 || a.P50us != proxy.Bound(20) {
		t.Errorf("%+v", a)
	}
	if s.Total.PerSecond != 200 || s.Sources[0].PerSecond != 200 {
		t.Errorf("%+v, %+v", s.Total, s.Sources)
	}
}

// TestCompareQuiet: without a call in the window the quantiles are those since the start.
func TestCompareQuiet(t *testing.T) {
	at := time.Unix(0, 0)
	s := compare(look(at, 100, 0, 30), look(at.Add(time.Second), 100, 0, 30), table(t, "demo.A"), nil)
	if v := s.Services[0]; v.PerSecond != 0 || v.P99us != proxy.Bound(30) {
		t.Errorf("%+v", v)
	}
	s = compare(look(at, 0, 0, 30), look(at.Add(time.Second), 0, 0, 30), table(t, "demo.A"), nil)
	if v := s.Services[0]; v.P50us != 0 {
		t.Errorf("no call ever: %+v", v)
	}
}

// TestCompareForgottenSource: a source whose counters began anew has no negative rate.
func TestCompareForgottenSource(t *testing.T) {
	at := time.Unix(0, 0)
	s := compare(look(at, 100, 0, 30), look(at.Add(time.Second), 200, 0, 30), table(t), nil)
	if got := s.Sources[0].PerSecond; got != 100 {
		t.Errorf("%v calls/s", got)
	}
	first, second := look(at, 100, 0, 30), look(at.Add(time.Second), 200, 0, 30)
	second.sources[0].Calls = 7
	if got := compare(first, second, table(t), nil).Sources[0].PerSecond; got != 0 {
		t.Errorf("%v calls/s after its counters began anew", got)
	}
}
