package admin

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/proxy"
	"github.com/bellhop-mesh/bellhop/proxy/cluster"
	"github.com/bellhop-mesh/bellhop/registry"
)

func TestExplainQuery(t *testing.T) {
	v, err := url.ParseQuery("service=demo.A&method=say&source=pod-1&caller=shop&version=1.0&header=user:7&header=path:/a:b&failed=3")
	if err != nil {
		t.Fatal(err)
	}
	q, err := explainQuery(v)
	if err != nil || q.Service != "demo.A" || q.Method != "say" || q.Source != "pod-1" || q.Caller != "shop" || q.Version != "1.0" ||
		q.Failed != 3 || len(q.Header) != 2 || q.Header["user"] != "7" || q.Header["path"] != "/a:b" {
		t.Errorf("%+v, %v", q, err)
	}
	for text, want := range map[string]string{
		"service=a":                      "write both",
		"method=a":                       "write both",
		"service=a&method=b&header=user": "write key:value",
		"service=a&method=b&failed=-1":   "a number from 0 to 1000",
		"service=a&method=b&failed=x":    "a number from 0 to 1000",
		"service=a&method=b&sauce=c":     "sauce: is not asked here",
		"service=a&method=b" + strings.Repeat("&header=a:b", 65): "at most 64",
	} {
		v, _ := url.ParseQuery(text)
		if _, err := explainQuery(v); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", text, err, want)
		}
	}
}

// TestSayWho: what the registry does not say, the rules do.
func TestSayWho(t *testing.T) {
	x := &proxy.Explanation{Query: proxy.Query{Method: "get"}, Settings: []proxy.Setting{
		{Name: "timeout", Value: "1s", From: proxy.FromService},
		{Name: "mode", Value: "exclusive", From: proxy.FromService},
		{Name: "depth", Value: "8", From: "service_defaults.depth"},
		{Name: "idempotent", Value: "yes", From: proxy.FromService},
	}}
	sayWho(x, &registry.Service{Timeout: time.Second, Mode: "multiplexed", Idempotent: []string{"get"}},
		&registry.Service{Timeout: time.Second, Mode: "exclusive", Idempotent: []string{"get"}})
	want := []string{fromRegistry, fromRules, "service_defaults.depth", fromRegistry}
	for i, s := range x.Settings {
		if s.From != want[i] {
			t.Errorf("%s: from %s, want %s", s.Name, s.From, want[i])
		}
	}
}

// TestSame: every setting that is told of a cluster is a key of the registry's.
func TestSame(t *testing.T) {
	a := &registry.Service{Name: "S", Ejection: registry.Ejection{Slow: 2}, Endpoints: []registry.Endpoint{{Addr: "a:1"}}}
	b := &registry.Service{Name: "S", Ejection: registry.Ejection{Slow: 3}, Idempotent: []string{"get"}}
	c, err := cluster.New(a, 1, cluster.Locality{}, cluster.Defaults{}, func(*cluster.Endpoint) *cluster.Endpoint { return nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range c.Settings("get") {
		if want := s.Name != "ejection" && s.Name != "idempotent"; same(a, b, s.Name, "get") != want {
			t.Errorf("%s: the same is %t", s.Name, !want)
		}
	}
}
