package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// voice is a source that says what a test tells it to.
type voice struct {
	name   string
	intent bool
	say    chan Update
	fail   chan error
}

func newVoice(name string) *voice {
	return &voice{name: name, say: make(chan Update), fail: make(chan error)}
}

func (v *voice) Name() string        { return v.name }
func (v *voice) Authoritative() bool { return v.intent }

func (v *voice) Run(ctx context.Context, publish func(Update)) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case u := <-v.say:
			publish(u)
		case err := <-v.fail:
			return err
		}
	}
}

// stage is a running manager and every snapshot that it handed out. It lives in a synctest bubble: time passes only when
// everybody waits, and then at once.
type stage struct {
	t     *testing.T
	m     *Manager
	seen  []*Snapshot
	log   *logBuffer
	stop  func()
	began time.Time
}

func run(t *testing.T, cfg ManagerConfig, sources ...Source) *stage {
	s := &stage{t: t, log: &logBuffer{}, began: time.Now()}
	cfg.Log = slog.New(slog.NewTextHandler(s.log, nil))
	s.m = NewManager(cfg, sources...)
	if err := s.m.LoadLastKnownGood(); err != nil {
		fmt.Fprintln(s.log, err)
	}
	s.m.OnChange(func(snap *Snapshot) { s.seen = append(s.seen, snap) })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.m.Run(ctx) }()
	s.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run returned %v", err)
		}
	}
	synctest.Wait()
	return s
}

// logBuffer is a log that is read while it is written.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// pass lets time go by.
func (s *stage) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// shows compares the snapshot, written as "service=addr,addr service=… remotes=addr", in order.
func (s *stage) shows(want string) {
	s.t.Helper()
	if got := text(s.m.Snapshot()); got != want {
		s.t.Fatalf("after %v the snapshot is\n  %s\nwant\n  %s\nlog: %s", time.Since(s.began), got, want, s.log)
	}
}

func text(snap *Snapshot) string {
	var out []string
	for name, svc := range snap.Services {
		var addrs []string
		for _, e := range svc.Endpoints {
			addrs = append(addrs, e.Addr)
		}
		out = append(out, name+"="+strings.Join(addrs, ","))
	}
	slices.Sort(out)
	if len(snap.Remotes) > 0 {
		var addrs []string
		for _, r := range snap.Remotes {
			addrs = append(addrs, r.Addr)
		}
		out = append(out, "remotes="+strings.Join(addrs, ","))
	}
	return strings.Join(out, " ")
}

// is builds an update from the same words; a service may be "name" alone.
func is(words string) Update {
	u := Update{Services: map[string]*Service{}}
	for _, w := range strings.Fields(words) {
		name, list, _ := strings.Cut(w, "=")
		var addrs []string
		if list != "" {
			addrs = strings.Split(list, ",")
		}
		if name == "remotes" {
			for _, a := range addrs {
				u.Remotes = append(u.Remotes, Remote{Addr: a})
			}
			continue
		}
		s := &Service{Name: name}
		for _, a := range addrs {
			s.Endpoints = append(s.Endpoints, Endpoint{Addr: a})
		}
		u.Services[name] = s
	}
	return u
}

func TestSnapshotIsThereBeforeAnyUpdate(t *testing.T) {
	snap := NewManager(ManagerConfig{}).Snapshot()
	if snap == nil || snap.Services == nil || snap.Version != 0 || !snap.Taken.IsZero() {
		t.Errorf("the first snapshot is %+v; want an empty one", snap)
	}
}

func TestFirstUpdateAtOnceThenOnePerWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVoice("v")
		s := run(t, ManagerConfig{CoalesceWindow: time.Second}, v)
		v.say <- is("a=h:1")
		synctest.Wait()
		s.shows("a=h:1") // no time has passed
		if !s.m.Snapshot().Taken.Equal(s.began) {
			t.Errorf("taken at %v; want %v", s.m.Snapshot().Taken, s.began)
		}
		for i := range 9 {
			s.pass(100 * time.Millisecond)
			v.say <- is(fmt.Sprintf("a=h:%d", i+2))
		}
		synctest.Wait()
		s.shows("a=h:1")
		s.pass(100 * time.Millisecond)
		s.shows("a=h:10") // the newest of nine
		if len(s.seen) != 2 || s.seen[0].Version != 1 || s.seen[1].Version != 2 {
			t.Errorf("%d snapshots were handed out; want versions 1 and 2", len(s.seen))
		}
		if st := s.m.Stats(); st.Updates != 2 || st.Services != 1 || st.Endpoints != 1 || st.LastGoodUnix != time.Now().Add(-100*time.Millisecond).Unix() {
			t.Errorf("stats are %+v", st)
		}
		s.stop()
	})
}

func TestSourcesAreUnited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := newVoice("one"), newVoice("two")
		s := run(t, ManagerConfig{HoldRemoved: -1}, one, two)
		u := is("a=h:3,h:1,h:1,h:1 b=h:9 remotes=r:2,r:1")
		u.Services["a"].Timeout = time.Second
		u.Services["a"].Endpoints[0].Zone = "first"
		one.say <- u
		u = is("a=h:2,h:3 c=h:5 remotes=r:1,r:0")
		u.Services["a"].Timeout, u.Services["a"].Framing, u.Services["a"].Ordered = time.Minute, "osp", true
		u.Services["a"].Endpoints[1].Zone = "second"
		u.Services["a"].Oneway = []string{"log"}
		two.say <- u
		s.pass(time.Second)
		s.shows("a=h:1,h:2,h:3 b=h:9 c=h:5 remotes=r:0,r:1,r:2")
		a := s.m.Snapshot().Services["a"]
		if a.Timeout != time.Second || a.Framing != "osp" || !a.Ordered || !slices.Equal(a.Oneway, []string{"log"}) {
			t.Errorf("the settings are %+v; want the first source's, and the second's where the first says nothing", a)
		}
		if e := a.Endpoints[2]; e.Zone != "first" || e.Weight != 100 {
			t.Errorf("the endpoint is %+v; want the first source's, with the default weight", e)
		}
		two.say <- is("c=h:5")
		s.pass(time.Second)
		s.shows("a=h:1,h:3 b=h:9 c=h:5 remotes=r:1,r:2") // one's part was not written to by the merge
		two.say <- is("a=h:2,h:3 c=h:5 remotes=r:1,r:0")
		one.say <- is("b=h:9")
		s.pass(time.Second)
		s.shows("a=h:2,h:3 b=h:9 c=h:5 remotes=r:0,r:1") // nor two's
		s.stop()
	})
}

func TestUnchangedServicesKeepTheirPointer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := newVoice("one"), newVoice("two")
		s := run(t, ManagerConfig{}, one, two)
		one.say <- is("a=h:1,h:2 b=h:1")
		two.say <- is("a=h:3")
		s.pass(time.Second)
		before, handed := s.m.Snapshot(), len(s.seen)
		one.say <- is("a=h:2,h:1 b=h:1")
		s.pass(time.Second)
		if after := s.m.Snapshot(); after.Version != before.Version || len(s.seen) != handed || !after.Taken.After(before.Taken) {
			t.Errorf("an update that changes nothing made version %d of %d; only Taken should move", after.Version, before.Version)
		}
		one.say <- is("a=h:2,h:1 b=h:2")
		s.pass(time.Second)
		after := s.m.Snapshot()
		if after.Services["a"] != before.Services["a"] || after.Services["b"] == before.Services["b"] {
			t.Error("a is the same and should keep its pointer, b is another and should not")
		}
		s.stop()
	})
}

func TestBrokenUpdateIsRejectedWhole(t *testing.T) {
	long := strings.Repeat("x", 1025)
	for want, u := range map[string]Update{
		`service \"b\" is nil`:                {Services: map[string]*Service{"a": {}, "b": nil}},
		"a name of 0 bytes":                   is("=h:1"),
		"a name of 1025 bytes":                is(long),
		"an address of 1025 bytes":            is("a=" + long),
		"endpoint h:1 has the weight 1001":    {Services: map[string]*Service{"a": {Endpoints: []Endpoint{{Addr: "h:1", Weight: 1001}}}}},
		"it has 4 endpoints; the bound is 3":  is("a=h:1,h:2 b=h:1,h:2"),
		"it has 3 services; the bound is 2":   is("a b c"),
		"a remote has an address of 0 bytes;": {Remotes: []Remote{{}}},
	} {
		t.Run(want, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVoice("v")
				s := run(t, ManagerConfig{MaxEndpoints: 3, MaxServices: 2}, v)
				v.say <- is("good=h:1")
				s.pass(time.Second)
				v.say <- u
				s.pass(time.Second)
				s.shows("good=h:1")
				if st := s.m.Stats(); st.RejectedUpdates != 1 || st.Updates != 1 || len(s.seen) != 1 {
					t.Errorf("stats are %+v after %d snapshots; want one taken and one rejected", st, len(s.seen))
				}
				if !strings.Contains(s.log.String(), want) {
					t.Errorf("the log lacks %q: %s", want, s.log)
				}
				s.stop()
			})
		})
	}
}

func TestFailedSourceIsRunAgainAndItsWordStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVoice("v")
		s := run(t, ManagerConfig{}, v)
		v.say <- is("a=h:1")
		v.fail <- errors.New("session lost")
		s.pass(10 * time.Millisecond)
		s.shows("a=h:1")
		select {
		case v.say <- is("a=h:2"):
			t.Error("the source runs again at once; want a pause")
		default:
		}
		v.say <- is("a=h:3") // taken when it runs again
		if d := time.Since(s.began); d < firstRetry/2 || d > 2*firstRetry {
			t.Errorf("it ran again after %v; want about %v", d, firstRetry)
		}
		s.pass(time.Second)
		s.shows("a=h:3")
		if st := s.m.Stats(); st.SourceErrors != 1 || !strings.Contains(s.log.String(), "session lost") {
			t.Errorf("stats are %+v, log %s", st, s.log)
		}
		v.fail <- nil
		s.pass(time.Hour)
		s.shows("a=h:3")
		s.stop()
	})
}

func TestPauseOfAFailingSourceGrowsToItsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVoice("v")
		s := run(t, ManagerConfig{}, v)
		for n, want := range []time.Duration{0, 1, 2, 4, 8, 16, 30, 30} {
			began := time.Now()
			v.fail <- errors.New("refused")
			if d, want := time.Since(began), want*time.Second; d < want/2 || d > want {
				t.Errorf("run %d came after %v; want between half of %v and all", n, d, want)
			}
		}
		s.pass(time.Minute)
		s.pass(time.Minute) // it ran well for a while: the next pause is a short one
		v.fail <- errors.New("refused")
		began := time.Now()
		v.fail <- errors.New("refused")
		if d := time.Since(began); d > firstRetry {
			t.Errorf("after a good while it ran again after %v; want at most %v", d, firstRetry)
		}
		s.stop()
	})
}

// benchUpdate has 2,000 services with ten endpoints each.
func benchUpdate(zone string) Update {
	u := Update{Services: map[string]*Service{}}
	for i := range 2000 {
		s := &Service{Framing: "framed-binary"}
		for e := range 10 {
			s.Endpoints = append(s.Endpoints, Endpoint{Addr: fmt.Sprintf("10.%d.%d.%d:9090", i/250, i%250, e+1), Zone: zone})
		}
		u.Services[fmt.Sprintf("bench.Service%d", i)] = s
	}
	return u
}

func BenchmarkMerge(b *testing.B) {
	updates := []Update{benchUpdate("a"), benchUpdate("b")} // every service changes every time
	m := NewManager(ManagerConfig{}, newVoice("v"))
	p := m.parts[0]
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		now := time.Now()
		if !m.take(p, letter{updates[i%2], now}, now) || !m.rebuild(false) {
			b.Fatal("the update was not taken")
		}
	}
}

// BenchmarkHeld is a step while 20,000 endpoints are held: with nothing to do, with an update that says the same again,
// with one endpoint let go, and with everything held and named again.
func BenchmarkHeld(b *testing.B) {
	begin := func(b *testing.B) (*Manager, *part) {
		cfg := ManagerConfig{Log: slog.New(slog.DiscardHandler), LastSuccess: func(_, _ string) time.Time { return time.Time{} }}
		m := NewManager(cfg, newVoice("v"))
		p, now := m.parts[0], time.Now()
		m.take(p, letter{benchUpdate("a"), now}, now)
		m.take(p, letter{Update{}, now}, now)
		m.rebuild(true)
		if m.watch.count != 20_000 {
			b.Fatalf("%d are held", m.watch.count)
		}
		b.ReportAllocs()
		return m, p
	}
	b.Run("idle", func(b *testing.B) {
		m, _ := begin(b)
		for b.Loop() {
			m.watch.work(b.Context(), time.Now())
		}
	})
	b.Run("the same", func(b *testing.B) {
		m, p := begin(b)
		for b.Loop() {
			now := time.Now()
			m.take(p, letter{Update{}, now}, now)
			if m.rebuild(false) {
				b.Fatal("something changed")
			}
		}
	})
	b.Run("one goes", func(b *testing.B) {
		m, p := begin(b)
		for b.Loop() {
			var h *hold
			for _, h = range p.held["bench.Service1"].holds {
				break
			}
			m.watch.release(h, failedProbes)
			m.rebuild(false)
			h.over = false
			m.watch.keep(h, p.settings("bench.Service0"), h.since)
		}
	})
	b.Run("all go and return", func(b *testing.B) {
		m, p := begin(b)
		u := benchUpdate("a")
		for b.Loop() {
			now := time.Now()
			m.take(p, letter{u, now}, now)
			m.rebuild(false)
			m.take(p, letter{Update{}, now}, now)
			m.rebuild(false)
		}
	})
}
