package main

import (
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/proxy"
)

// TestBreaker: with two servers one that is opened by hand gets no more calls, a method that is opened gets a fault; both are
// listed, and closed again; what can't be set is said.
func TestBreaker(t *testing.T) {
	h := newHost(t)
	var first, second atomic.Int64
	a := echoServer(t, func(string) { first.Add(1) })
	b := echoServer(t, func(string) { second.Add(1) })
	h.write("services.d/demo.yaml", "services:\n  demo.Echo: {framing: osp, endpoints: [\""+a+"\", \""+b+"\"]}\n")
	begin(t, "local", "-c", h.quick("local", ""))
	f := h.await("local", serving)
	c := h.caller("local", f)
	run := func(want int, args ...string) string {
		t.Helper()
		code, text, errs := once(t, append(args, "--run-dir", h.path("local"))...)
		if code != want {
			t.Fatalf("%v: %d: %s", args, code, errs)
		}
		return text + errs
	}
	mustHave(t, run(exitOK, "breaker", "list"), "every circuit breaker is closed")
	run(exitOK, "breaker", "open", "demo.Echo", a, "--for", "1h")
	before := first.Load()
	for range 20 {
		if _, err := c.Call("demo.Echo", "say", argument, 10*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if first.Load() != before || second.Load() < 20 {
		t.Errorf("the open one had %d calls, the other one %d", first.Load()-before, second.Load())
	}
	mustHave(t, run(exitOK, "breaker", "open", "demo.Echo", "twice"), "twice of demo.Echo is open")
	if _, err := c.Call("demo.Echo", "twice", argument, 10*time.Second); err == nil || !strings.Contains(err.Error(), "by hand") {
		t.Errorf("a call of the open method: %v", err)
	}
	mustHave(t, run(exitOK, "breaker", "list"), "WHY", a, "twice", "opened by hand")
	var list []proxy.BreakerStatus
	if err := json.Unmarshal([]byte(run(exitOK, "breaker", "list", "--json")), &list); err != nil || len(list) != 2 || list[0].State != "open" {
		t.Errorf("%v: %+v", err, list)
	} else if left := time.Until(list[0].Until); left < 55*time.Minute || left > time.Hour {
		t.Errorf("opened for an hour, it is open for %s more", left)
	}
	_, metrics := h.get("local", "/metrics")
	mustHave(t, metrics, `bellhop_service_endpoints_ejected{service="demo.Echo"} 1`, "bellhop_breakers_open 1")
	mustHave(t, run(exitOK, "breaker", "close", "demo.Echo", a, "--for", "1m"), "is closed for 1m0s")
	run(exitOK, "breaker", "close", "demo.Echo", "twice")
	mustHave(t, run(exitOK, "breaker", "list"), "kept closed by hand")
	if _, err := c.Call("demo.Echo", "twice", argument, 10*time.Second); err != nil {
		t.Error(err)
	}
	mustHave(t, run(exitFailed, "breaker", "open", "demo.Echo", "nowhere:1"), "no endpoint nowhere:1")
	mustHave(t, run(exitFailed, "breaker", "open", "demo.None", "say"), "not known here")
	for _, d := range []string{"-1m", "0s", "169h"} {
		mustHave(t, run(exitUsage, "breaker", "open", "demo.Echo", a, "--for", d), "write a duration up to 168h")
	}
}

// TestListBreakers: what the list says of each state.
func TestListBreakers(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	health := func(state string, until time.Duration, times int, share float64, kept bool, why string) proxy.EndpointHealth {
		h := proxy.EndpointHealth{State: state, Times: times, Share: share, Kept: kept, Why: why}
		if until > 0 {
			h.Until = now.Add(until)
		}
		return h
	}
	var b strings.Builder
	err := listBreakers(&b, []proxy.BreakerStatus{
		{Service: "S", Endpoint: "a:1", EndpointHealth: health("open", 7*time.Second, 3, 1, false, "it is slow")},
		{Service: "S", Endpoint: "b:1", EndpointHealth: health("half-open", 0, 1, 1, false, "it fails")},
		{Service: "S", Endpoint: "c:1", EndpointHealth: health("closed", 0, 0, 0.35, false, "")},
		{Service: "S", Method: "say", EndpointHealth: health("closed", time.Hour, 0, 1, true, "")},
	}, now)
	want := []string{
		"SERVICE TARGET STATE UNTIL WHY", "S a:1 open in 7s it is slow (3 times in a row)", "S b:1 half-open its probe it fails",
		"S c:1 closed - just back or new: has 35 % of its weight", "S say closed in 1h0m0s kept closed by hand",
	}
	for i, line := range strings.Split(strings.TrimSpace(b.String()), "\n") {
		if got := strings.Join(strings.Fields(line), " "); err != nil || i >= len(want) || got != want[i] {
			t.Errorf("line %d: %s (%v)", i, got, err)
		}
	}
}
