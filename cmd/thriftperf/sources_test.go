package main

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/daemonset/addrfile"
	"github.com/bellhop-mesh/bellhop/protocol"
)

// TestArrivals: both kinds keep the rate; poisson gaps differ, are the same for the same seed, and have the spread of
// exponential ones.
func TestArrivals(t *testing.T) {
	const rate, n = 1000, 20000
	gaps := func(word string, seed uint64) (mean, deviation float64, first []time.Duration) {
		a, err := newArrivals(word, rate, seed, 0)
		if err != nil {
			t.Fatal(err)
		}
		var sum, squares float64
		last := a.next
		for range n {
			a.advance()
			g := (a.next - last).Seconds()
			last = a.next
			sum, squares = sum+g, squares+g*g
			if len(first) < 3 {
				first = append(first, a.next)
			}
		}
		mean = sum / n
		return mean, math.Sqrt(max(0, squares/n-mean*mean)), first
	}
	mean, deviation, _ := gaps("constant", 1)
	if math.Abs(mean*rate-1) > 0.001 || deviation*rate > 0.01 {
		t.Errorf("constant: mean %v, deviation %v", mean, deviation)
	}
	mean, deviation, one := gaps("poisson", 1)
	if math.Abs(mean*rate-1) > 0.03 || math.Abs(deviation*rate-1) > 0.05 {
		t.Errorf("poisson: mean %v, deviation %v", mean, deviation)
	}
	_, _, again := gaps("poisson", 1)
	_, _, other := gaps("poisson", 2)
	if one[2] != again[2] || one[2] == other[2] {
		t.Errorf("the same seed: %v and %v; another: %v", one, again, other)
	}
	a, _ := newArrivals("constant", rate, 1, 0)
	if late := a.missed(100 * time.Millisecond); late != 100 {
		t.Errorf("%d calls were due within 100 ms at %d a second", late, rate)
	}
	if _, err := newArrivals("sometimes", rate, 1, 0); err == nil {
		t.Error("an unknown kind was taken")
	}
}

// TestGrain: gathered calls are as many, never early, never later than the grid, and on it.
func TestGrain(t *testing.T) {
	const grain = time.Millisecond
	plain, _ := newArrivals("poisson", 3000, 7, 0)
	gathered, _ := newArrivals("poisson", 3000, 7, grain)
	for range 5000 {
		plain.advance()
		gathered.advance()
		if late := gathered.next - plain.next; late < 0 || late >= grain || (gathered.next-gathered.phase)%grain != 0 {
			t.Fatalf("a call that was drawn for %v begins at %v; the grid begins at %v", plain.next, gathered.next, gathered.phase)
		}
	}
}

// TestPoissonLoad: nothing that was due is left out.
func TestPoissonLoad(t *testing.T) {
	path := startServer(t, serveOptions{})
	r, err := loadFor(t, loadOptions{target: "unix:" + path, connections: 4, depth: 8, rate: 2000, arrivals: "poisson", seed: 3})
	if err != nil || r.NotStarted != 0 || r.Calls < 100 || r.Calls > 300 {
		t.Errorf("%v, %d calls, %d not started; 200 were to come", err, r.Calls, r.NotStarted)
	}
}

// TestStartAt: calls begin at the moment that was asked for, connections before.
func TestStartAt(t *testing.T) {
	path := startServer(t, serveOptions{})
	at := time.Now().Add(150 * time.Millisecond)
	_, err := loadFor(t, loadOptions{target: "unix:" + path, connections: 1, depth: 1, rate: 500, startAt: at.UnixMilli()})
	if took := time.Since(at); err != nil || took < 99*time.Millisecond {
		t.Errorf("%v; ended %v after the begin, and was to measure for 100 ms", err, took)
	}
}

// TestServersThatFail: each way to fail is told apart by the load, and happens as often as was asked for.
func TestServersThatFail(t *testing.T) {
	for _, c := range []struct{ fail, kind, framing string }{
		{"internal-error:0.5", "exception_6", "framed-binary"},
		{"loadshedding:0.5", "exception_11", "framed-compact"},
		{"declared:0.5", "declared", "framed-binary"},
		{"declared:0.5", "declared", "framed-compact"},
	} {
		t.Run(c.fail+" "+c.framing, func(t *testing.T) {
			path := startServer(t, serveOptions{fail: c.fail})
			r, err := loadFor(t, loadOptions{target: "unix:" + path, connections: 1, depth: 1, framing: c.framing})
			n := r.Failed[c.kind]
			if err == nil || n == 0 || n < r.Calls-2 || n > r.Calls+2 || len(r.Failed) != 1 || r.FailedLatency == nil {
				t.Errorf("%v; %d calls, failed %v", err, r.Calls, r.Failed)
			}
		})
	}
	path := startServer(t, serveOptions{fail: "close"})
	if r, err := loadFor(t, loadOptions{target: "unix:" + path, connections: 1, depth: 1}); err == nil || r.Failed["lost"] == 0 || r.Calls != 0 {
		t.Errorf("%v; %d calls, failed %v", err, r.Calls, r.Failed)
	}
	for _, word := range []string{"sometimes", "declared:2", "close:x"} {
		if _, err := parseFailing(word, false); err == nil {
			t.Errorf("--fail %s was taken", word)
		}
	}
}

// TestBadCalls: a server with --fail-bad fails the calls that are bad and no others.
func TestBadCalls(t *testing.T) {
	for _, framing := range []string{"framed-binary", "framed-compact"} {
		path := startServer(t, serveOptions{failBad: true})
		if r, err := loadFor(t, loadOptions{target: "unix:" + path, connections: 1, depth: 1, framing: framing}); err != nil {
			t.Errorf("%s: good calls: %v, %v", framing, err, r.Failed)
		}
		r, err := loadFor(t, loadOptions{target: "unix:" + path, connections: 1, depth: 1, framing: framing, bad: true})
		if err == nil || r.Calls != 0 || r.Failed["exception_6"] == 0 {
			t.Errorf("%s: bad calls: %d went well, failed %v", framing, r.Calls, r.Failed)
		}
	}
}

// TestHeaders: what --header says is in the call where the framing has a place for it, else it is an error.
func TestHeaders(t *testing.T) {
	o := loadOptions{framing: "theader-binary", method: "echo", size: 1, headers: []string{"experiment=b"}}
	sp, err := o.speech(0)
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := sp.call.Find("experiment"); !ok || string(v) != "b" {
		t.Errorf("experiment=%q", v)
	}
	o.framing = "framed-binary"
	if _, err := o.speech(0); err == nil {
		t.Error("framed-binary has headers")
	}
	o.headers = []string{"nothing"}
	if _, err := o.speech(0); err == nil {
		t.Error("a header without a value was taken")
	}
}

// hostOf writes an address file that names two servers.
func hostOf(t *testing.T, local, remote string, move ...addrfile.Move) string {
	t.Helper()
	dir := t.TempDir()
	for name, to := range map[string]string{"local": local, "remote": remote} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, addrfile.Name)
	b, err := json.Marshal(addrfile.File{
		Version: 1, Instance: "i", Generation: 1, State: addrfile.Serving, LeaseMS: 60000, Move: move,
		Local: []addrfile.Addr{{Net: addrfile.Unix, Addr: "local"}}, Remote: []addrfile.Addr{{Net: addrfile.Unix, Addr: "remote"}},
	})
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestAddressFile: calls go to the local tier; a source that is asked to move, and a call that was not executed, go to the
// remote one.
func TestAddressFile(t *testing.T) {
	good, other := startServer(t, serveOptions{}), startServer(t, serveOptions{})
	full := startServer(t, serveOptions{fail: "loadshedding"})
	asked := addrfile.Move{Key: "me", TTLMillis: 60000}
	load := func(local string, move ...addrfile.Move) (*report, error) {
		file := hostOf(t, local, other, move...)
		return loadFor(t, loadOptions{addrFile: file, source: "me", target: "unix:none", connections: 2, depth: 4, rate: 1000})
	}
	if r, err := load(good); err != nil || r.Calls == 0 || r.Remote != 0 {
		t.Errorf("at home: %v, %d calls, %d of them remote", err, r.Calls, r.Remote)
	}
	if r, err := load(good, asked); err != nil || r.Calls == 0 || r.Remote != r.Calls {
		t.Errorf("moved: %v, %d calls, %d of them remote", err, r.Calls, r.Remote)
	}
	if r, err := load(good, addrfile.Move{Key: "another", TTLMillis: 60000}); err != nil || r.Remote != 0 {
		t.Errorf("another is moved: %v, %d remote", err, r.Remote)
	}
	if r, err := load(full); err == nil || r.Again != 0 || r.Failed["exception_11"] == 0 { // busy, and does not say that it was not executed
		t.Errorf("busy: %v, %d sent again, %v", err, r.Again, r.Failed)
	}
	if _, err := followFile(filepath.Join(t.TempDir(), addrfile.Name), "me"); err == nil {
		t.Error("an address file that is not there")
	}
}

// TestNotExecuted: such a fault is known by its beginning.
func TestNotExecuted(t *testing.T) {
	for text, want := range map[string]bool{"not executed: full": true, "full": false} {
		if got := errors.Is(&appError{text: text, typ: protocol.AppLoadshedding}, errNotExecuted); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// TestSourceOptions: what cannot be together is refused before anything is done.
func TestSourceOptions(t *testing.T) {
	for name, o := range map[string]loadOptions{
		"poisson in a closed loop":      {arrivals: "poisson"},
		"an address file and users":     {addrFile: "x", rate: 1, uids: "1-2"},
		"an address file, closed loop":  {addrFile: "x"},
		"a unit that is no service":     {unit: "x.slice", rate: 1},
		"a unit somewhere else at once": {unit: "../x.service", rate: 1},
	} {
		o.framing, o.connections, o.depth, o.duration, o.timeout, o.target = "framed-binary", 1, 1, time.Second, time.Second, "unix:/nowhere"
		if err := runLoad(context.Background(), o, &strings.Builder{}, &strings.Builder{}); err == nil || strings.Contains(err.Error(), "/nowhere") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
