package status

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/proxy"
	"github.com/bellhop-mesh/bellhop/proxy/govern"
)

func explained() *proxy.Explanation {
	at := time.Date(2026, 11, 25, 14, 32, 5, 0, time.UTC)
	sent := proxy.Verdict{Outcome: proxy.OutcomeSent, Endpoint: "10.0.0.1:9090", Code: "ok", Why: "sent to 10.0.0.1:9090, on a connection that is free"}
	usual, warm := proxy.EndpointHealth{State: "closed", Share: 1}, proxy.EndpointHealth{State: "closed", Share: 0.4}
	held := proxy.EndpointHealth{
		State: "open", Reason: "errors", Since: at.Add(-time.Second), Until: at.Add(4 * time.Second), Times: 2, Share: 1,
		Why: "9 of 20 calls of hello failed for shop/cart; of its siblings' 0 of 71",
	}
	return &proxy.Explanation{
		Breaker: &proxy.EndpointHealth{State: "half-open", Until: at, Why: "rule trips: of 40 calls 30 failed and 0 were slow"}, Panicking: true,
		Query: proxy.Query{
			Service: "com.example.Hello", Method: "hello", Version: "1.2", Source: "2f0c5c1e", Caller: "till\x1b[2J", Header: map[string]string{"user": "7", "area": "eu"},
		},
		At: at, Known: true, Verdict: sent,
		Workers: []proxy.Verdict{sent, {Worker: 1, Outcome: proxy.OutcomeRefused, Code: "queue_full", Why: "every endpoint of service com.example.Hello has a full queue (max_pending)"}},
		Rules: []govern.Judgement{
			{Rule: "till", Key: "service", Why: `is "com.example.Hello"; it must be till.*`},
			{Rule: "batch", Key: "workload", Why: `is "shop/cart"; it must be batch/*`},
			{Rule: "fast", Matches: true, Decides: []string{"deadline", "retry"}},
			{Rule: "fair-use", Matches: true, Decides: []string{"limit"}, Passed: []string{"deadline"}},
		},
		Policy: []govern.Said{{Action: "deadline", Value: "200ms", Rule: "fast"}, {Action: "retry", Value: "at most 2 after lost, raced", Rule: "fast"}},
		Limits: []proxy.LimitState{
			{Rule: "fair-use", Key: "source 2f0c5c1e", Limit: "100 calls a second", Left: 12, InFlight: 3, Excess: "overflow"},
			{Rule: "all", Key: "all", Limit: "5 in flight", Left: -1, InFlight: 5, Waiting: 2, WaitMS: -1, Excess: "queue"},
		},
		Settings: []proxy.Setting{
			{Name: "timeout", Value: "1s", From: "registry"},
			{Name: "mode", Value: "exclusive", From: "the framing"},
			{Name: "balancer", Value: "p2c", From: "rules"},
			{Name: "ordered", Value: "no", From: proxy.FromDefault},
		},
		Source: proxy.SourceState{
			SourceStats: proxy.SourceStats{
				Source: "2f0c5c1e", Workload: "shop/cart", Conns: 8, InFlight: 12, Bytes: 2048, Queued: 7, Weight: 1, WorkloadWeight: 2,
				Quarantined: 1500 * time.Millisecond, Quarantines: 2,
			},
			Excess: 0.25, Moved: true, Privileged: true,
			Known: true, MostCalls: 1024, Share: 800, MostBytes: 64 << 20, MostQueued: 1024,
		},
		Tiers: []proxy.Tier{
			{Near: "host", Healthy: 1, Share: 0.7, Endpoints: []proxy.Candidate{
				{Endpoint: "10.0.0.1:9090", Weight: 100, Conns: 4, MostConns: 1024, InFlight: 3, LatencyUS: 447, AgoMS: 220, Version: "1.2", Health: usual},
			}},
			{Near: "far", Share: 0.3, Endpoints: []proxy.Candidate{
				{Endpoint: "10.0.0.2:9090", Weight: 50, MostConns: 1024, Waiting: 7, AgoMS: -1, BackOffMS: 290, Failures: 3, Health: held},
			}},
		},
		Remotes:  []proxy.Candidate{{Endpoint: "10.1.0.7:7300", Weight: 100, Conns: 1, MostConns: 2, AgoMS: 61000, LatencyUS: 1800, Health: warm, Granted: 200}},
		Pressure: proxy.Pressure{On: true, Number: 3, Level: "hand_over", Reason: "cpu", Next: "excess goes to the remote tier within its grant", ToRemoteS: 61},
		Budgets:  []proxy.Budget{{Name: "retries", Left: 10, Share: 0.2, PerSecond: 10}, {Name: "requeues", Left: 1000, Share: 0.5, PerSecond: 1000}},
		Calls:    map[string]uint64{"ok": 123435, "deadline": 20, "lost": 1},
		Failed: []proxy.FailedCall{
			{
				At: at.Add(-time.Second), Code: "deadline", Text: "service com.example.Hello did not answer hello within 200ms (rule fast)", Source: "2f0c5c1e", Caller: "till",
				Rule: "fast", TookUS: 200_400, QueuedUS: 1500,
				Attempts: []proxy.FailedTry{{Endpoint: "10.0.0.2:9090", Class: "lost", TookUS: 45_000}, {Endpoint: "10.0.0.3:9090", Class: "connect"}, {Endpoint: "10.0.0.4:9090", Class: "turned_away", Code: "queue_full"}, {Endpoint: "10.0.0.1:9090", Class: "unknown"}}, More: 1,
			},
			{At: at.Add(-time.Minute), Code: "no_endpoint", Text: "bad\nnews", Source: "uid:0", Handed: true, Oneway: true},
		},
	}
}

// sample is the one of docs/operations.md.
func sample() *proxy.Explanation {
	x := explained()
	q, s := &x.Query, &x.Source
	q.Version, q.Caller, q.Header = "", "", map[string]string{"user": "7"}
	s.Quarantined, s.Excess, s.Moved, s.Privileged, s.Delay.P99 = 0, 0, false, false, 900*time.Microsecond
	x.Pressure, x.Breaker, x.Panicking, x.Workers = proxy.Pressure{}, nil, false, x.Workers[:1]
	x.Tiers[1].Endpoints[0].BackOffMS = 0
	x.Tiers[0].Share, x.Tiers[1].Share = 1, 0
	x.Remotes[0].Health.Share = 1
	x.Limits = x.Limits[:1]
	x.Failed = x.Failed[:1]
	x.Failed[0].Caller, x.Failed[0].More, x.Failed[0].QueuedUS = "", 0, 0
	x.Failed[0].Attempts = []proxy.FailedTry{{Endpoint: "10.0.0.2:9090", Class: "lost", TookUS: 45_000}, {Endpoint: "10.0.0.1:9090", Class: "deadline", TookUS: 155_000}}
	return x
}

func unknown() *proxy.Explanation {
	return &proxy.Explanation{
		Query: proxy.Query{Service: "com.example.Helo", Method: "hello"}, At: explained().At, Near: []string{"com.example.Hello"},
		Verdict: proxy.Verdict{Outcome: proxy.OutcomeRefused, Code: "no_service", Why: "service com.example.Helo is not known here: is it in the registry?"},
	}
}

// TestExplain compares with testdata, byte for byte.
func TestExplain(t *testing.T) {
	for name, x := range map[string]*proxy.Explanation{"explain": explained(), "explain-unknown": unknown(), "explain-sample": sample()} {
		var b strings.Builder
		if err := Explain(&b, x, Options{}); err != nil {
			t.Fatal(err)
		}
		asBefore(t, name, b.String())
		if strings.ContainsRune(b.String(), '\x1b') {
			t.Errorf("%s: a terminal's words come through", name)
		}
	}
}

// TestExplainSample: what the documentation shows is what is printed.
func TestExplainSample(t *testing.T) {
	var b strings.Builder
	if err := Explain(&b, sample(), Options{}); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for line := range strings.Lines(b.String()) {
		if line != "\n" {
			want.WriteString("    ")
		}
		want.WriteString(line)
	}
	if !strings.Contains(string(page), want.String()) {
		t.Errorf("docs/operations.md does not show this:\n%s", want.String())
	}
}

// TestExplainMany: of a large tier the endpoint that would be called and those in trouble are shown.
func TestExplainMany(t *testing.T) {
	x := explained()
	tier := &x.Tiers[0]
	usual := tier.Endpoints[0]
	usual.Endpoint, tier.Endpoints = "10.0.0.9:9090", nil
	for range 100 {
		tier.Endpoints = append(tier.Endpoints, usual)
	}
	tier.Endpoints[90].Endpoint, tier.Endpoints[91].Endpoint, tier.Endpoints[91].BackOffMS = x.Verdict.Endpoint, "10.0.0.5:9090", 100
	var b strings.Builder
	if err := Explain(&b, x, Options{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{x.Verdict.Endpoint + " (1.2)", "10.0.0.5:9090", "and 70 more in this tier"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if n := strings.Count(b.String(), "10.0.0.9:9090"); n != mostShown-2 {
		t.Errorf("%d of the others are shown, want %d", n, mostShown-2)
	}
}

// TestExplainColor: colours are about the same text, and the columns stay where they are.
func TestExplainColor(t *testing.T) {
	var plain, colored strings.Builder
	if err := Explain(&plain, explained(), Options{}); err != nil {
		t.Fatal(err)
	}
	if err := Explain(&colored, explained(), Options{Color: true}); err != nil {
		t.Fatal(err)
	}
	text := colored.String()
	if !strings.Contains(text, "\x1b[32mSENT\x1b[0m") {
		t.Error("the verdict has no colour")
	}
	for _, c := range []string{bold, red, green, yellow, "0"} {
		text = strings.ReplaceAll(text, "\x1b["+c+"m", "")
	}
	if text != plain.String() {
		t.Errorf("with colours:\n%s\nwithout:\n%s", text, plain.String())
	}
}
