package proxy

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/registry"
)

// TestQuarantineDoubles: it lasts twice as long each time, up to a bound; good conduct halves it; connections are refused
// while it lasts, those of others are not; one line is logged each time.
func TestQuarantineDoubles(t *testing.T) {
	var log bytes.Buffer
	var who string
	r := newRig(t, func(c *Config) {
		c.Quarantine = Quarantine{Strikes: 2, Window: time.Second, First: time.Second, Most: 8 * time.Second}
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
		c.Identify = func(net.Conn) (Identity, error) { return Identity{Source: who}, nil }
	}, &registry.Snapshot{})
	offend := func() {
		for range 2 {
			c := r.caller(&listener{ListenerConfig: ListenerConfig{Name: "test"}}, Identity{Source: "a"})
			c.bring([]byte("\x00\x00\x00\x05\x80\x01\x00\x01\xff nonsense"))
		}
	}
	refused := func(name string) bool {
		who = name
		src, err := r.p.join(nil)
		if err == nil {
			r.p.leave(src)
		}
		return err != nil
	}
	lasts := func(want time.Duration) {
		t.Helper()
		offend()
		if !refused("a") || refused("b") {
			t.Fatal("a is not kept out, or b is")
		}
		if r.pass(want - 1); !refused("a") {
			t.Fatalf("it lasted less than %s", want)
		}
		if r.pass(1); refused("a") {
			t.Fatalf("it lasted more than %s", want)
		}
	}
	for _, want := range []time.Duration{1, 2, 4, 8, 8} {
		lasts(want * time.Second)
	}
	r.pass(8 * time.Second) // the next would have had 8 s
	lasts(4 * time.Second)
	r.pass(time.Minute)
	lasts(time.Second)
	if n := strings.Count(log.String(), "source quarantined"); n != 7 || r.p.quarantines.Load() != 7 {
		t.Errorf("%d lines logged, %d quarantines counted, want 7", n, r.p.quarantines.Load())
	}
	if n := strings.Count(log.String(), "connection refused"); n != 0 {
		t.Errorf("%d refused connections are logged one by one", n)
	}
	for _, s := range r.p.Sources() {
		if s.Source == "a" && (s.Quarantines != 7 || s.Quarantined != 0) {
			t.Errorf("its stats say %d quarantines, %s yet", s.Quarantines, s.Quarantined)
		}
	}
}

// TestPanicsQuarantine: a source whose calls bring out a defect is kept out after three of them, whatever runs them.
func TestPanicsQuarantine(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Quarantine = DefaultQuarantine() }, &registry.Snapshot{})
	for f, c := range r.p.codecs {
		if c != nil {
			r.p.codecs[f] = faulty{c}
		}
	}
	l := &listener{ListenerConfig: ListenerConfig{Name: "test"}}
	stands := r.caller(l, Identity{Source: "bad"})
	for range 3 {
		r.caller(l, Identity{Source: "bad"}).bring(frame("Echo:boom", 1, 8, 1, "x"))
	}
	if !stands.ctx.(*downstream).src.quarantined(r.now) || r.w.stats.panics != 3 {
		t.Errorf("after %d panics the source is not kept out", r.w.stats.panics)
	}
}

// TestQuarantineRemembers: what a source has done is not forgotten with its last connection, also when as many sources are
// remembered as may be; and sources that did nothing wrong make room.
func TestQuarantineRemembers(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Limits.MaxSources = 2
		c.Quarantine = Quarantine{Strikes: 3, Window: 10 * time.Second, First: time.Second, Most: 8 * time.Second}
	}, &registry.Snapshot{})
	l := &listener{ListenerConfig: ListenerConfig{Name: "test"}}
	for i := range 100 {
		r.caller(l, Identity{Source: fmt.Sprint("s", i)}).drop()
	}
	offend := func(source string) *source {
		for range 3 {
			r.caller(l, Identity{Source: source}).bring([]byte("\x00\x00\x00\x05\x80\x01\x00\x01\xff nonsense"))
		}
		return r.p.sources.byKey[source]
	}
	if src := offend("bad"); src == nil || !src.quarantined(r.now) {
		t.Error("a source with one connection at a time is not quarantined")
	}
	for i := range 100 {
		offend(fmt.Sprint("bad", i))
	}
	r.pass(time.Hour)
	for i := range 100 {
		r.caller(l, Identity{Source: fmt.Sprint("t", i)}).drop()
	}
	if n, m := len(r.p.sources.byKey), len(r.p.sources.crews); n > 2 || m > 2 {
		t.Errorf("%d sources and %d workloads are remembered, want 2", n, m)
	}
}

// TestCrowdIsNotQuarantined: of callers that can't be told apart each offender loses its connection, and nobody else anything.
func TestCrowdIsNotQuarantined(t *testing.T) {
	who := Identity{Source: "node", Crowd: true}
	r := newRig(t, func(c *Config) {
		c.Quarantine = Quarantine{Strikes: 2, Window: time.Second, First: time.Second, Most: 8 * time.Second}
		c.Identify = func(net.Conn) (Identity, error) { return who, nil }
	}, &registry.Snapshot{})
	for range 20 {
		c := r.caller(&listener{ListenerConfig: ListenerConfig{Name: "test"}}, who)
		if c.bring([]byte("\x00\x00\x00\x05\x80\x01\x00\x01\xff nonsense")); !c.gone {
			t.Fatal("who sent nonsense kept its connection")
		}
	}
	src, err := r.p.join(nil)
	if err != nil {
		t.Fatalf("a neighbour is refused: %v", err)
	}
	r.p.leave(src)
}
