package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/proxy"
)

// explained is what `bellhop explain --json` says.
func explained(t *testing.T, h *host, args ...string) *proxy.Explanation {
	t.Helper()
	code, text, errs := once(t, append([]string{"explain", "--json", "--run-dir", h.path("local")}, args...)...)
	var x proxy.Explanation
	if err := json.Unmarshal([]byte(text), &x); err != nil || code != exitOK {
		t.Fatalf("%d, %v: %s", code, err, errs)
	}
	return &x
}

// TestExplain: what is explained is what the running proxy does, and what became of calls that failed is remembered.
func TestExplain(t *testing.T) {
	h := newHost(t)
	server := echoServer(t, nil)
	h.write("services.d/demo.yaml", "services:\n  demo.Echo: {framing: osp, timeout: 2s, endpoints: [\""+server+"\"]}\n"+
		"  demo.Gone: {framing: osp, endpoints: [\"127.0.0.1:1\"]}\n")
	h.write("rules.yaml", `version: 1
rules:
  - {name: quick, match: {service: demo.*, method: say}, deadline: 700ms}
  - {name: batch, match: {workload: batch/*}, deadline: 1m}
  - {name: secrets, match: {method: secret}, access: deny}
  - {name: till, match: {service: till}, access: deny}
`)
	begin(t, "local", "-c", h.quick("local", "workers: 2\nrules: {path: "+h.path("rules.yaml")+"}"))
	c := h.caller("local", h.await("local", serving))
	if _, err := c.Call("demo.Echo", "say", argument, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	for _, to := range [][2]string{{"demo.Echo", "secret"}, {"demo.Gone", "say"}} {
		if _, err := c.Call(to[0], to[1], argument, 5*time.Second); err == nil {
			t.Fatalf("%s:%s went well", to[0], to[1])
		}
	}
	x := explained(t, h, "demo.Echo", "say")
	if v := x.Verdict; !x.Known || v.Outcome != proxy.OutcomeSent || v.Endpoint != server || x.Calls["ok"] != 1 || len(x.Workers) != 2 || len(x.Failed) != 0 {
		t.Errorf("%+v", x)
	}
	from := map[string]string{}
	for _, s := range x.Settings {
		from[s.Name] = s.Value + " from " + s.From
	}
	if from["timeout"] != "2s from registry" || from["max_pending"] != "1024 from service_defaults.max_pending" {
		t.Errorf("settings %v", from)
	}
	if v := explained(t, h, "demo.Gone", "other").Verdict; v.Outcome != proxy.OutcomeSent && v.Code != "connect" {
		t.Errorf("%+v", v)
	}
	var sources []proxy.SourceStats
	if _, text := h.get("local", "/sources"); json.Unmarshal([]byte(text), &sources) != nil || len(sources) == 0 {
		t.Fatalf("sources: %s", text)
	}
	key := sources[0].Source // ours
	for _, w := range []struct {
		args []string
		want []string
	}{
		{[]string{"demo.Echo", "say"}, []string{
			"now: SENT to " + server, "quick    matches  decides deadline", "batch    no       workload is not there", "it must be batch/*", "and 1 for other services",
			"deadline", "700ms", "rule quick", "no source was named",
		}},
		{[]string{"demo.Echo:secret"}, []string{
			"REFUSED (denied): rule secrets denies", "[rule secrets]", "1 calls of the method have ended here, 1 of them failed (denied 1)",
			"THE LAST THAT FAILED", "denied after", ", rule secrets", "rule secrets denies source",
		}},
		{[]string{"demo.Gone", "say", "--failed", "1"}, []string{"THE LAST THAT FAILED", "connect after", "1. 127.0.0.1:1"}},
		{[]string{"demo.Ecko", "say", "--source", "nobody"}, []string{"REFUSED (no_service)", "names like it: demo.Echo", "source nobody has no connection here"}},
		{[]string{"demo.Echo", "sai"}, []string{"methods like it: say"}},
		{[]string{"demo.Echo", "say", "--source", key + "x"}, []string{"sources like it: " + key}},
	} {
		code, text, errs := once(t, append([]string{"explain", "--run-dir", h.path("local")}, w.args...)...)
		if code != exitOK || errs != "" {
			t.Errorf("%v: %d, %s", w.args, code, errs)
		}
		for _, want := range w.want {
			if !strings.Contains(text, want) {
				t.Errorf("%v: no %q in\n%s", w.args, want, text)
			}
		}
	}
}

// TestExplainUsage: what is wrong with the question is told, with what to write.
func TestExplainUsage(t *testing.T) {
	for _, w := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"demo.Echo"}, exitUsage, "write SERVICE METHOD"},
		{[]string{"demo.Echo:"}, exitUsage, "write SERVICE METHOD"},
		{[]string{"a", "b", "c"}, exitUsage, "write SERVICE METHOD"},
		{[]string{"a", "b", "--header", "x"}, exitUsage, "write k=v"},
		{[]string{"a", "b", "--failed", "-1"}, exitUsage, "from 0 to 1000"},
		{[]string{"a", "b", "--run-dir", t.TempDir()}, exitFailed, "is a proxy running with this run directory"},
	} {
		code, text, errs := once(t, append([]string{"explain"}, w.args...)...)
		if code != w.code || text != "" || !strings.Contains(errs, w.want) {
			t.Errorf("%v: %d %s%s; want %q", w.args, code, text, errs, w.want)
		}
	}
}
