package main

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/cmd/bellhop/admin"
	"github.com/bellhop-mesh/bellhop/protocol/osp/osppeer"
)

// shownRules are what `bellhop rules show` says.
func shownRules(t *testing.T, h *host) admin.RulesAnswer {
	t.Helper()
	code, text, errs := once(t, "rules", "show", "--json", "--run-dir", h.path("local"))
	var a admin.RulesAnswer
	if err := json.Unmarshal([]byte(text), &a); err != nil || code != exitOK {
		t.Fatalf("%d, %v: %s", code, err, errs)
	}
	return a
}

// configuredDigest is the digest in /config; "" when no rules are in force.
func configuredDigest(t *testing.T, h *host) string {
	t.Helper()
	_, text := h.get("local", "/config")
	var c struct {
		Rules struct {
			InForce struct{ Digest, Version string } `json:"in_force"`
		} `json:"rules"`
	}
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	if c.Rules.InForce.Digest != "" && c.Rules.InForce.Version == "" {
		t.Errorf("/config has a digest and no version: %s", text)
	}
	return c.Rules.InForce.Digest
}

// TestRules: a good document takes effect under a running proxy, a wrong one is refused and told, and changes nothing; after
// a restart without the document the rules are those of before.
func TestRules(t *testing.T) {
	h := newHost(t)
	var first, second atomic.Int64
	held := make(chan struct{})
	defer close(held)
	a := echoServer(t, func(method string) {
		first.Add(1)
		if method == "hang" {
			<-held
		}
	})
	b := echoServer(t, func(string) { second.Add(1) })
	h.write("services.d/demo.yaml", "services:\n  demo.Echo:\n    framing: osp\n    timeout: 1m\n    endpoints: [{addr: \""+a+"\", version: v1}, {addr: \""+b+"\", version: v2}]\n")
	path := h.path("rules.yaml")
	cfg := h.quick("local", "rules: {path: "+path+"}")
	p := begin(t, "local", "-c", cfg)
	c := h.caller("local", h.await("local", serving))
	if d := configuredDigest(t, h); d != "" {
		t.Errorf("digest %q before there is a document", d)
	}
	shift := func(text, in string) {
		h.write("rules.yaml", text)
		eventually(t, in, func() bool { return strings.Contains(p.out.String(), in) })
	}
	calls := func() (int64, int64) {
		t.Helper()
		first.Store(0)
		second.Store(0)
		for range 20 {
			if _, err := c.Call("demo.Echo", "say", argument, 5*time.Second); err != nil {
				t.Fatal(err)
			}
		}
		return first.Load(), second.Load()
	}
	shift("version: 1\nservices: {demo.*: {balancer: round-robin, weights: [{match: {version: v2}, weight: 0}]}}\n", "rules in force")
	if one, two := calls(); one != 20 || two != 0 {
		t.Errorf("with weight 0 the second endpoint had %d of %d calls", two, one+two)
	}
	digest := configuredDigest(t, h)
	if in := shownRules(t, h).InForce; in == nil || in.Digest != digest || in.From != path {
		t.Errorf("in force %+v, /config says %q", in, digest)
	}

	t.Run("refused", func(t *testing.T) {
		shift("version: 1\nservices:\n  demo.Echo: {timeout: 50}\n", "rules refused")
		mustHave(t, p.out.String(), "place="+path, "line=3", "key=services.demo.Echo.timeout")
		if one, two := calls(); one != 20 || two != 0 {
			t.Errorf("after a wrong document the second endpoint had %d of %d calls", two, one+two)
		}
		if now := configuredDigest(t, h); now != digest {
			t.Errorf("digest %q, was %q", now, digest)
		}
		_, text, _ := once(t, "rules", "show", "--run-dir", h.path("local"))
		mustHave(t, text, "in force: "+path, "digest "+digest, "THE DOCUMENT AS IT IS NOW IS REFUSED", path+":3: services.demo.Echo.timeout: is 50", "weight: 0")
		_, metrics := h.get("local", "/metrics")
		mustHave(t, metrics, "bellhop_rules_wrong 1", "bellhop_rules_refused_total 1", "bellhop_rules_applied_total 1", `digest="`+digest+`"`)
		_, text, _ = once(t, "status", "--run-dir", h.path("local"), "--window", "10ms")
		mustHave(t, text, "THE RULES ARE WRONG")
	})

	t.Run("mended", func(t *testing.T) {
		const mended = "version: 1\nservices: {demo.Echo: {timeout: 50ms, balancer: round-robin, weights: [{match: {version: v1}, weight: 100}, {match: {version: v2}, weight: 300}]}}\n"
		h.write("rules.yaml", mended)
		eventually(t, "the mended rules are in force", func() bool { return configuredDigest(t, h) != digest })
		eventually(t, "a table is made of them", func() bool { _, two := calls(); return two > 0 })
		if one, two := calls(); one < 4 || one > 6 {
			t.Errorf("by 100 to 300 the endpoints had %d and %d of 20 calls", one, two)
		}
		timedOut := false
		for range 8 { // one of four goes to the endpoint that hangs
			var re *osppeer.RetError
			_, err := c.Call("demo.Echo", "hang", argument, 0)
			timedOut = timedOut || errors.As(err, &re) && re.Reply.RetCode == "Err-Core-504"
		}
		if !timedOut {
			t.Error("no call met the deadline of the rules")
		}
		if a := shownRules(t, h); a.Wrong || a.Refused == nil || a.Document != mended {
			t.Errorf("%+v", a)
		}
		digest = configuredDigest(t, h)
	})

	t.Run("restart", func(t *testing.T) {
		_ = c.Close()
		if code := p.end(syscall.SIGTERM); code != exitOK {
			t.Errorf("exit code %d", code)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		p = begin(t, "local", "-c", cfg)
		h.await("local", serving)
		if a := shownRules(t, h); a.InForce == nil || a.InForce.Digest != digest || !a.InForce.LastGood || !a.Missing {
			t.Errorf("%+v", a)
		}
	})
}

// TestRulesForCalls: rules take hold of calls under a running proxy, are counted, and are there after a restart before any
// call is.
func TestRulesForCalls(t *testing.T) {
	h := newHost(t)
	h.write("services.d/demo.yaml", "services:\n  demo.Echo: {framing: osp, endpoints: ["+echoServer(t, nil)+"]}\n")
	path := h.write("rules.yaml", "version: 1\nrules:\n"+
		"  - {name: mine, match: {method: secret, source: \"*\", not: {caller: admin}}, access: deny}\n"+
		"  - {name: one a minute, match: {service: demo.*, method: rare}, limit: {rate: 1, per: 1m, by: [source]}}\n")
	cfg := h.quick("local", "rules: {path: "+path+"}")
	p := begin(t, "local", "-c", cfg)
	c := h.caller("local", h.await("local", serving))
	refused := func(method, code, words string) {
		t.Helper()
		var re *osppeer.RetError
		if _, err := c.Call("demo.Echo", method, argument, 5*time.Second); !errors.As(err, &re) || re.Reply.RetCode != code || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", method, err)
		}
	}
	for _, method := range []string{"say", "rare"} {
		if _, err := c.Call("demo.Echo", method, argument, 5*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	refused("rare", "Err-Core-429", "rule one a minute limits source ")
	refused("secret", "Err-Core-403", "rule mine denies source ")
	_, metrics := h.get("local", "/metrics")
	mustHave(t, metrics, "bellhop_rules_for_calls 2", `bellhop_rule_calls_total{action="access",rule="mine"} 1`, `bellhop_rule_calls_total{action="limit",rule="one a minute"} 2`,
		`bellhop_rule_limited_total{outcome="rejected",rule="one a minute"} 1`, `bellhop_rule_limit_keys{rule="one a minute"} 1`)
	h.write("rules.yaml", "version: 1\nrules: [{name: mine, match: {method: say}, access: deny}]\n")
	eventually(t, "the new rules are in force", func() bool {
		_, err := c.Call("demo.Echo", "say", argument, 5*time.Second)
		return err != nil
	})
	refused("say", "Err-Core-403", "rule mine denies source ")
	_ = c.Close()
	if code := p.end(syscall.SIGTERM); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	begin(t, "local", "-c", cfg)
	c = h.caller("local", h.await("local", serving))
	refused("say", "Err-Core-403", "rule mine denies source ")
}

// TestRulesCheck: every problem of every file, with line and key, and exit code 2.
func TestRulesCheck(t *testing.T) {
	h := newHost(t)
	good := h.write("good.yaml", "version: 1\nservices: {demo.*: {timeout: 1s}}\nrules: [{name: a, access: allow}, {name: b, deadline: 1s}]\n")
	bad := h.write("bad.yaml", "version: 1\nservices:\n  a: {timeout: 5}\n  b: {colour: red}\n")
	code, text, _ := once(t, "rules", "check", good)
	if code != exitOK {
		t.Errorf("exit code %d", code)
	}
	mustHave(t, text, "ok: "+good+", digest ", "1 services, 0 zones, 2 rules, 0 sources, 0 hosts")
	code, text, errs := once(t, "rules", "check", good, bad, h.path("none.yaml"))
	if code != exitUsage {
		t.Errorf("exit code %d", code)
	}
	mustHave(t, text, "ok: "+good)
	mustHave(t, errs, bad+":3: services.a.timeout: is 5", bad+":4: services.b.colour: is not a key", "none.yaml: no such file")
	code, text, _ = once(t, "rules", "check", "--json", good, bad)
	var out []checkedJSON
	if err := json.Unmarshal([]byte(text), &out); err != nil || code != exitUsage {
		t.Fatalf("%d, %v", code, err)
	}
	if len(out) != 2 || !out[0].OK || out[1].OK || len(out[1].Problems) != 2 || out[1].Problems[1].Line != 4 || out[1].Problems[1].Key != "services.b.colour" {
		t.Errorf("%+v", out)
	}
	stdin := command("rules", "check", "-")
	stdin.Stdin = strings.NewReader("version: 3\n")
	said, err := stdin.CombinedOutput()
	if err == nil || stdin.ProcessState.ExitCode() != exitUsage {
		t.Errorf("%v", err)
	}
	mustHave(t, string(said), "-:1: version: is 3; this program knows version 1")

	h.write("services.d/demo.yaml", "services: {demo.Echo: {seqid: positional, endpoints: [127.0.0.1:1]}}\n")
	for text, want := range map[string]string{
		"version: 1\nservices: {demo.Echo: {mode: multiplexed}}\n": "the rules do not fit the service demo.Echo",
		"version: 1\nservices: {demo.Echo: {mode: mux}}\n":         "rules.yaml:2: services.demo.Echo.mode: is \"mux\"",
	} {
		path := h.write("rules.yaml", text)
		code, _, errs := once(t, "check", "-c", h.quick("local", "rules: {path: "+path+"}"))
		if code != exitUsage {
			t.Errorf("exit code %d", code)
		}
		mustHave(t, errs, want)
	}
}

func TestRulesShowWithoutAny(t *testing.T) {
	h := newHost(t)
	begin(t, "local", "-c", h.quick("local", ""))
	h.await("local", serving)
	code, _, text := once(t, "rules", "show", "--run-dir", h.path("local"))
	if code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	mustHave(t, text, "no place of rules is configured")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"rules", "shwo"}, `unknown command "shwo"; see bellhop rules --help`},
		{[]string{"rules", "check"}, "see bellhop rules check --help"},
		{[]string{"local", "-c", h.write("zk.yaml", "run_dir: "+h.path("r")+"\nrules: {zookeeper: /bellhop/rules}\n")}, "rules.zookeeper: "},
	} {
		code, _, text := once(t, c.args...)
		if code != exitUsage {
			t.Errorf("%v: exit code %d", c.args, code)
		}
		mustHave(t, text, c.want)
	}
}
