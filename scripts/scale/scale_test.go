package main

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// round are inputs with which the arithmetic can be done in the head.
func round() (measured, plan) {
	var m measured
	m.Wire = wire{Session: both{50, 50}, Ping: both{10, 20}, List10: both{60, 340}, Read: both{80, 120}, Exists: both{60, 90}, Event: both{0, 100}}
	m.Memory = memory{Heap: 1e6, Session: 4000, Watch: 200, Ephemeral: 500}
	m.List10.Micros, m.Read.Micros, m.Exists.Micros, m.Open.Micros = 30, 20, 20, 1000
	m.Paced = []cost{{100, 200}, {300, 100}}
	m.FanOut.Micros = 100
	m.Loss = loss{WatchesOf: 10, Micros: 1000}
	m.Leader.SessionsMs = 3000
	m.Write = writes{PerSecond: 1000, LeaderMicros: 200}
	p := plan{
		Services: 20, PerHost: 10, Instances: 5, Changes: 4, Session: 30, Audit: 40, Reconnect: 1, Grace: 1, RollingHour: 100,
		RolloutEvery: 1, Servers: 3, Cores: 2,
	}
	p.Bounds.Bytes = 1e6
	return m, p
}

// even are hosts that all use the same ten services.
func even(hosts int) []int {
	users := make([]int, 20)
	for i := range 10 {
		users[i] = hosts
	}
	return users
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-9*max(1, math.Abs(want)) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestArithmetic(t *testing.T) {
	m, p := round()
	w := with(m, p, 300, 3, even(300))
	near(t, "sessions of a server", float64(w.sessions()), 100)
	near(t, "watches of a server", float64(w.watches()), 1000)
	near(t, "heap", w.heap(), 1e6+100*4000+1000*200+100*500)
	near(t, "audits", w.audits(), 100) // 3,000 services after 30 s
	near(t, "pings", w.pings(), 30)
	near(t, "hosts that hear of changes", w.told(), 600) // 4 changes, at 150 hosts in the middle
	near(t, "bytes of a change", w.perChange(), 100+400+100)
	near(t, "bytes of a start", w.perStart(), 100+10*400+50*200)
	near(t, "requests of a start", w.startRequests(), 60)
	near(t, "restarts", w.restarted(), 3)
	near(t, "bytes", w.steadyBytes(), 100*150+30*30+600*600+3*14_100)
	near(t, "bytes of a rollout", w.rolloutBytes(), 2*300*600)
	near(t, "writes", w.writes(), 4+2+6)
	near(t, "work of a start", w.startWork(), (1000+10*30+50*20)/1e6)
	alone := 130.0 / 3
	near(t, "CPU", w.cpu(), (alone*200e-6+(600+600)/3.0*140e-6+0.0023+12*200e-6)/2)
	_, bytes, written := w.powerLoss()
	near(t, "network after a power loss", bytes, 100*14_100/2e6)
	near(t, "writes after a power loss", written, 2*(300+100)/1000.0)
}

func TestSingleRequestsAreInterpolated(t *testing.T) {
	m, p := round()
	w := with(m, p, 300, 3, even(300))
	for rate, want := range map[float64]float64{1: 200e-6, 100: 200e-6, 200: 150e-6, 300: 100e-6, 5000: 100e-6} {
		near(t, "cost", w.single(rate), want)
	}
	w.m.Paced = nil
	near(t, "cost without a measurement", w.single(7), 20e-6)
}

func TestServe(t *testing.T) {
	// Two cores: the third waits for the first core that is free, the fourth comes to an idle server.
	done := serve([]job{{0, 3}, {10, 1}, {0, 1}, {0.5, 1}}, 2)
	if want := []float64{1, 2, 3, 11}; !slices.Equal(done, want) {
		t.Errorf("done at %v, want %v", done, want)
	}
	if last(serve(nil, 2)) != 0 {
		t.Error("nothing to do took time")
	}
}

func TestFanOutIsOneThread(t *testing.T) {
	m, p := round()
	w := with(m, p, 300, 3, even(300)) // 100 watchers of a server, 100 µs each, then 50 µs of the last
	near(t, "fan-out", w.fanOut(), 100*100e-6+50e-6)
}

func TestLosses(t *testing.T) {
	m, p := round()
	w := with(m, p, 300, 3, even(300))
	back, looked := w.loseFollower()
	if back < 0.9 || back > 1.1 || looked < back+0.4 || looked > 2.1 {
		t.Errorf("a lost server: %v and %v s, want about 1 and at most 2", back, looked)
	}
	led, _ := w.loseLeader()
	if led < 3.9 || led > 4.1 {
		t.Errorf("a lost leader: %v s, want about 4", led)
	}
	w = with(m, p, 30_000, 3, even(30_000)) // 5,000 sessions for a server, 5 s of work for two cores
	if back, _ = w.loseFollower(); back < 2.5 || back > 2.6 {
		t.Errorf("a lost server with more sessions than it can take in a second: %v s, want 2.5", back)
	}
}

func TestPopularity(t *testing.T) {
	_, p := round()
	users := popularity(p, 1000)
	sum := 0
	for _, n := range users {
		if n > 1000 {
			t.Fatal("more hosts use a service than there are")
		}
		sum += n
	}
	if sum != 10_000 || users[0] <= users[19] || !slices.Equal(users, popularity(p, 1000)) {
		t.Errorf("%d uses, %d of the first and %d of the last service, want 10,000, more of the first, every time the same", sum, users[0], users[19])
	}
}

func TestBounds(t *testing.T) {
	m, p := round()
	b := use{of: func(w world) float64 { return float64(w.sessions()) / 100 }}
	if n := reached(m, p, 3, b, even); n < 298 || n > 300 {
		t.Errorf("100 sessions of a server are reached with %d hosts, want 298", n)
	}
	if n := reached(m, p, 3, use{of: func(world) float64 { return 0.5 }}, even); n != 0 {
		t.Errorf("a bound that nothing reaches is reached with %d hosts", n)
	}
	a := use{name: "a", of: func(world) float64 { return 0.2 }}
	z := use{name: "z", of: func(world) float64 { return 0.3 }}
	if most, taken := first(world{}, []use{a, z, a}); most.name != "z" || taken != 0.3 {
		t.Errorf("first is %s with %v, want z", most.name, taken)
	}
	p.Bounds = bounds{Sessions: 50, Heap: 1e12, Share: 1e9, Bytes: 1e12, FanOut: 1e9, Loss: 1e9, PowerLoss: 1e9, Writes: 1e-9}
	if n := needed(m, p, 300); n != 6 { // the writes are beyond their bound, and no server helps
		t.Errorf("300 hosts need %d servers of 50 sessions, want 6", n)
	}
}

func TestNumbers(t *testing.T) {
	for got, want := range map[string]string{
		count(1234567): "1,234,567", count(0): "0", number(99.44): "99.4", number(7): "7", number(1234.5): "1,234",
		size(999): "999 B", size(62.5e6): "62.5 MB", seconds(0.0027): "2.7 ms", seconds(0.5): "500 ms", seconds(12.34): "12.3 s",
		about(298_765): "290,000", about(7): "7", about(0): "over 1,000,000",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// The page says what the program prints.
func TestPage(t *testing.T) {
	m, err := load()
	if err != nil {
		t.Fatal(err)
	}
	printed := tables(m, thePlan)
	if err := compare("../../docs/scale.md", printed); err != nil {
		t.Error(err)
	}
	page := filepath.Join(t.TempDir(), "page.md")
	for text, want := range map[string]string{
		begins + printed + ends:                               "",
		begins + strings.Replace(printed, "3", "4", 1) + ends: "line 1 ",
		begins + printed + "one more\n" + ends:                "is not as",
		printed:                                               "no part between",
	} {
		if err := os.WriteFile(page, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := compare(page, printed); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
