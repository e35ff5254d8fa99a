package registry

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// lkg returns the path of a last-known-good file in a private directory that does not exist yet.
func lkg(t *testing.T) string { return filepath.Join(t.TempDir(), "private", "registry.json") }

func TestLastKnownGoodServesUntilTheSourceAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := ManagerConfig{LastKnownGood: lkg(t)}
		one, two := newVoice("one"), newVoice("two")
		s := run(t, cfg, one, two)
		said := func() Update {
			u := is("a=h:1,h:2 remotes=r:1")
			u.Services["a"].Timeout = time.Second
			u.Services["a"].Endpoints[0].Labels = map[string]string{"team": "shop"}
			return u
		}
		one.say <- said()
		two.say <- is("b=h:2,h:3 c=h:4")
		s.pass(time.Second)
		was := s.m.Snapshot()
		s.stop()
		if st := s.m.Stats(); st.LKGWrites == 0 || st.LKGWriteErrors != 0 {
			t.Fatalf("stats are %+v; want a file, log %s", st, s.log)
		}

		one, two = newVoice("one"), newVoice("two")
		s = run(t, cfg, one, two)
		s.shows("a=h:1,h:2 b=h:2,h:3 c=h:4 remotes=r:1")
		a := s.m.Snapshot().Services["a"]
		if reuse(a, was.Services["a"]) == a || !s.m.Snapshot().Taken.IsZero() || len(s.seen) != 1 {
			t.Errorf("loaded %+v, taken %v, handed out %d times", a, s.m.Snapshot().Taken, len(s.seen))
		}
		s.pass(time.Second)
		if n := s.m.Stats().LKGWrites; n != 0 {
			t.Errorf("what was loaded was written back %d times", n)
		}
		two.say <- is("b=h:2 c=h:4")
		synctest.Wait()
		s.shows("a=h:1,h:2 b=h:2 c=h:4 remotes=r:1") // one has not answered yet: its part stands
		version := s.m.Snapshot().Version
		one.say <- said()
		s.pass(time.Second)
		s.shows("a=h:1,h:2 b=h:2 c=h:4 remotes=r:1")
		if len(s.seen) != 3 || s.m.Snapshot().Version != version+1 || s.m.Snapshot().Services["a"] != a {
			t.Errorf("handed out %d times; want a third snapshot with the same a, now that one has confirmed it", len(s.seen))
		}
		s.stop()
	})
}

// A registry that lost everything while the proxy was restarted must not win against the file.
func TestLastKnownGoodIsEvidenceToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := ManagerConfig{LastKnownGood: lkg(t), HoldRemoved: 30 * time.Second}
		v := newVoice("v")
		s := run(t, cfg, v)
		v.say <- is("a=h:1,h:2,h:3")
		s.pass(time.Second)
		v.say <- is("")
		s.pass(time.Second)
		s.stop() // while they are held

		v = newVoice("v")
		s = run(t, cfg, v)
		s.shows("a=h:1,h:2,h:3")
		v.say <- is("")
		s.pass(time.Second)
		s.shows("a=h:1,h:2,h:3")
		s.pass(30 * time.Second)
		s.shows("")
		s.stop()
		if data, err := os.ReadFile(cfg.LastKnownGood); err != nil || strings.Contains(string(data), "h:1") {
			t.Errorf("the file is %s, %v; what timed out should be gone", data, err)
		}
	})
}

func TestLastKnownGoodIsWrittenSparselyAndPrivately(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := ManagerConfig{LastKnownGood: lkg(t), SaveEvery: time.Minute}
		if err := os.Mkdir(filepath.Dir(cfg.LastKnownGood), 0o700); err != nil {
			t.Fatal(err)
		}
		stray := filepath.Join(filepath.Dir(cfg.LastKnownGood), ".registry.json.XYZ.tmp")
		if err := os.WriteFile(stray, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		v := newVoice("v")
		s := run(t, cfg, v)
		for range 5 {
			v.say <- is("a=h:1")
			s.pass(time.Second)
			v.say <- is("a=h:2")
			s.pass(time.Second)
		}
		if n := s.m.Stats().LKGWrites; n != 1 {
			t.Errorf("%d writes in ten seconds; want 1", n)
		}
		s.pass(time.Minute)
		if n := s.m.Stats().LKGWrites; n != 2 {
			t.Errorf("%d writes after a minute; want 2", n)
		}
		v.say <- is("a=h:9")
		s.pass(time.Second)
		s.stop() // the last state is written at the end
		names, err := os.ReadDir(filepath.Dir(cfg.LastKnownGood))
		if err != nil || len(names) != 1 {
			t.Errorf("the directory holds %v, %v; want the one file", names, err)
		}
		info, err := os.Stat(cfg.LastKnownGood)
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("the file is %v, %v; want mode 0600", info, err)
		}
		if data, err := os.ReadFile(cfg.LastKnownGood); err != nil || !strings.Contains(string(data), "h:9") {
			t.Errorf("the file is %s, %v", data, err)
		}
	})
}

func TestUnusableLastKnownGoodIsNamedAndIgnored(t *testing.T) {
	for want, write := range map[string]func(path string) error{
		"is corrupt": func(p string) error { return os.WriteFile(p, []byte(`{"version":1,"sources":[{"na`), 0o600) },
		"is corrupt and not used: service 0": func(p string) error {
			return os.WriteFile(p, []byte(`{"version":1,"sources":[{"name":"v","services":[null]}]}`), 0o600)
		},
		"invalid character": func(p string) error { return os.WriteFile(p, []byte("\x00\x00"), 0o600) },
		"version 2":         func(p string) error { return os.WriteFile(p, []byte(`{"version":2}`), 0o600) },
		"the bound is":      func(p string) error { return os.WriteFile(p, []byte(strings.Repeat(" ", 5000)), 0o600) },
		"not a regular":     func(p string) error { return os.Mkdir(p, 0o700) },
		"symbolic links":    func(p string) error { return os.Symlink("/dev/null", p) },
		"a name of 0 bytes": func(p string) error {
			return os.WriteFile(p, []byte(`{"version":1,"sources":[{"name":"v","services":[{"name":""}]}]}`), 0o600)
		},
	} {
		path := filepath.Join(t.TempDir(), "registry.json")
		if err := write(path); err != nil {
			t.Fatal(err)
		}
		m := NewManager(ManagerConfig{LastKnownGood: path, MaxLastKnownGood: 4096}, newVoice("v"))
		err := m.LoadLastKnownGood()
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v; want an error that names the file and says %q", err, want)
		}
		if got := text(m.Snapshot()); got != "" {
			t.Errorf("%s: the snapshot holds %s", want, got)
		}
	}
}

func TestLastKnownGoodThatCannotBeWrittenIsCounted(t *testing.T) {
	for want, prepare := range map[string]func(t *testing.T, cfg *ManagerConfig){
		"the bound is 40": func(_ *testing.T, cfg *ManagerConfig) { cfg.MaxLastKnownGood = 40 },
		"others can write": func(t *testing.T, cfg *ManagerConfig) {
			if err := os.Mkdir(filepath.Dir(cfg.LastKnownGood), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(filepath.Dir(cfg.LastKnownGood), 0o777); err != nil { // past the umask
				t.Fatal(err)
			}
		},
		"not a directory": func(t *testing.T, cfg *ManagerConfig) {
			if err := os.WriteFile(filepath.Dir(cfg.LastKnownGood), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			cfg := ManagerConfig{LastKnownGood: lkg(t)}
			prepare(t, &cfg)
			v := newVoice("v")
			s := run(t, cfg, v)
			v.say <- is("a=h:1")
			s.pass(time.Second)
			s.shows("a=h:1") // the data plane does not care
			s.stop()
			if st := s.m.Stats(); st.LKGWriteErrors != 1 || st.LKGWrites != 0 || !strings.Contains(s.log.String(), want) {
				t.Errorf("stats are %+v; want one error with %q; log %s", st, want, s.log)
			}
		})
	}
}
