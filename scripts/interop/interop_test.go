package interop

import (
	"context"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const root = "../.."

// build builds the peers. It is the first thing of every test that needs them; they are built once.
func build(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs compilers and runtimes of five languages")
	}
	if out, err := exec.Command("./build.sh").CombinedOutput(); err != nil {
		t.Fatalf("build.sh: %v\n%s", err, out)
	}
}

func serveAll(t *testing.T, langs []Lang) []Target {
	t.Helper()
	servers, err := StartServers(context.Background(), root, langs)
	t.Cleanup(servers.Stop)
	if err != nil {
		t.Fatal(err)
	}
	return servers.Targets
}

// TestPeersDirect proves the peers themselves: what fails here is not the proxy's fault.
func TestPeersDirect(t *testing.T) {
	build(t)
	langs := Langs()
	combos := Direct(langs, serveAll(t, langs))
	var lines strings.Builder
	results, err := Run(context.Background(), root, combos, &lines)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Reason != "" || r.Checks != 19 {
			t.Errorf("%v: %d checks", r, r.Checks)
		}
	}
	if n := strings.Count(lines.String(), " passed\n"); n != len(combos) || n < 250 {
		t.Errorf("%d lines say passed, of %d combinations", n, len(combos))
	}
}

// TestMismatchFails: a caller that speaks another framing than its server must be seen to fail, in every language.
func TestMismatchFails(t *testing.T) {
	build(t)
	langs := Langs()
	targets := serveAll(t, []Lang{{Name: "go", Serves: []string{"framed-binary"}}})
	var combos []Combo
	for _, l := range langs {
		combos = append(combos, Combo{Caller: l.Name, Framing: "framed-compact", To: targets[0], Addr: targets[0].Addr})
		combos = append(combos, Combo{Caller: l.Name, Framing: "framed-binary", To: targets[0], Addr: "127.0.0.1:1"})
		combos = append(combos, Combo{Caller: l.Name, Framing: "morse", To: targets[0], Addr: targets[0].Addr})
	}
	results, err := Run(context.Background(), root, combos, &strings.Builder{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Reason == "" {
			t.Errorf("%v; want it failed", r)
		}
	}
	var out strings.Builder
	if failed := Summary(&out, results, time.Second); failed != len(combos) || !strings.HasSuffix(out.String(), "prove-interop: 0 passed, 15 failed\n") {
		t.Errorf("%d failed:\n%s", failed, out.String())
	}
}

// TestAttacksAreReal: without a proxy that looks into frames, the attacks reach other sources.
func TestAttacksAreReal(t *testing.T) {
	build(t)
	langs := []Lang{{Name: "go", Serves: []string{"framed-binary"}}, {Name: "cpp", Serves: []string{"framed-compact"}}}
	var out strings.Builder
	harm, err := Naive(serveAll(t, langs), &out)
	if err != nil || harm < 20 {
		t.Fatalf("%d attacks did harm (%v):\n%s", harm, err, out.String())
	}
	for _, want := range []string{"the victim's bytes", "the attacker's text", "somebody else's exception 1"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("nobody got %s:\n%s", want, out.String())
		}
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		text   string
		checks int
		reason string
	}{
		{"7 ok 19", 19, ""},
		{"7 ok 0", 0, "the caller said 7 ok 0"},
		{"8 ok 19", 0, "the caller said 8 ok 19"},
		{"7 FAIL add: got 1, want 2", 0, "add: got 1, want 2"},
		{"", 0, "the caller said "},
	} {
		if n, reason := parse(c.text, "7"); n != c.checks || reason != c.reason {
			t.Errorf("parse(%q) = %d, %q", c.text, n, reason)
		}
	}
}

func TestJudge(t *testing.T) {
	d := dialect{}
	reply := answer{kind: thrift.REPLY, seq: 3, text: "x"}
	fault := answer{kind: thrift.EXCEPTION, app: 7}
	leak := answer{kind: thrift.REPLY, raw: d.text("of the SECRET", 0)}
	echo := attack{want: answered, seqs: []int32{3}, texts: []string{"x"}}
	for _, c := range []struct {
		name   string
		a      attack
		got    []answer
		closed bool
		ok     bool
	}{
		{"refused by a fault", attack{}, []answer{fault}, false, true},
		{"refused by a fault and closed", attack{}, []answer{fault}, true, true},
		{"refused by closing", attack{}, nil, true, true},
		{"not refused", attack{}, nil, false, false},
		{"answered instead", attack{}, []answer{reply}, false, false},
		{"faulted twice", attack{}, []answer{fault, fault}, false, false},
		{"silence", attack{want: silence}, nil, false, true},
		{"oneway answered", attack{want: silence}, []answer{fault}, false, false},
		{"its own answer", echo, []answer{reply}, false, true},
		{"one too many", echo, []answer{reply, reply}, false, false},
		{"none", echo, nil, false, false},
		{"another sequence", echo, []answer{{kind: thrift.REPLY, seq: 4, text: "x"}}, false, false},
		{"another text", echo, []answer{{kind: thrift.REPLY, seq: 3, text: "y"}}, false, false},
		{"a leak", attack{want: anything}, []answer{leak}, false, false},
	} {
		if _, wrong := c.a.judge(c.got, c.closed, "SECRET"); (wrong == "") != c.ok {
			t.Errorf("%s: %q", c.name, wrong)
		}
	}
}

func TestStartedProcessThatDiesIsNamed(t *testing.T) {
	p, err := start("thing", "/bin/sh", "-c", "echo why >&2; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	if _, err := p.line(5 * time.Second); err == nil || err.Error() != "thing ended (exit status 3): why" {
		t.Errorf("line returned %v", err)
	}
	if _, err := start("nothing", "/does/not/exist"); err == nil || errors.Unwrap(err) == nil {
		t.Errorf("start returned %v", err)
	}
}

// buildProxy compiles the binary that the tests run against: the one in bin may be another commit's.
func buildProxy(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "bellhop")
	if out, err := exec.Command("go", "build", "-o", binary, root+"/cmd/bellhop").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

func proxyFor(t *testing.T, s Setup) *Proxy {
	t.Helper()
	p, err := StartProxy(context.Background(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p
}

// TestInterop is the matrix of `make prove-interop`.
func TestInterop(t *testing.T) {
	build(t)
	langs := Langs()
	targets := serveAll(t, langs)
	p := proxyFor(t, MatrixSetup(buildProxy(t), targets))
	results, err := Run(context.Background(), root, Through(p, langs, targets), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Reason != "" {
			t.Error(r)
		}
	}
	if len(results) < 1900 {
		t.Errorf("%d combinations; the matrix has shrunk", len(results))
	}
}

// TestIsolation is `make prove-isolation`.
func TestIsolation(t *testing.T) {
	build(t)
	fields := Fields(serveAll(t, Langs()))
	p := proxyFor(t, IsolationSetup(buildProxy(t), fields))
	var table strings.Builder
	failed, err := Isolate(context.Background(), p.Addr, fields, &table)
	if err != nil || failed > 0 {
		t.Errorf("%v, %d rows fell short:", err, failed)
		for row := range strings.Lines(table.String()) {
			if !strings.HasSuffix(row, " ok\n") {
				t.Log(row)
			}
		}
	}
	if rows := strings.Count(table.String(), "\n"); rows != len(fields)*len(attacks())+2 || len(fields) != 16 {
		t.Errorf("%d rows in %d fields", rows, len(fields))
	}
}
