package registry

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What is held is held on after a restart, also where the rest would make a small removal of it; the time goes on.
func TestHoldsOutliveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		cfg := w.in(ManagerConfig{LastKnownGood: lkg(t), HoldRemoved: time.Minute})
		v := newVoice("v")
		s := run(t, cfg, v)
		const all = "a=h:1,h:2,h:3,h:4 b=h:5 remotes=r:1"
		v.say <- is(all)
		s.pass(time.Second)
		v.say <- is("a=h:1,h:2 b")
		s.pass(10 * time.Second)
		s.stop()
		file, err := os.ReadFile(cfg.LastKnownGood)
		if err != nil || strings.Count(string(file), `"why":`) != 4 {
			t.Fatalf("the file is %s, %v", file, err)
		}

		v = newVoice("v")
		s = run(t, cfg, v)
		s.shows(all)
		if p := s.m.Protected(); len(p) != 3 || p[0].Why+p[1].Why+p[2].Why != "last-endpointmass-removalmass-removal" || time.Since(p[0].Since) != 10*time.Second {
			t.Errorf("protected are %+v", p)
		}
		w.kill("h:4") // it is probed before the source has said anything
		s.pass(10 * time.Second)
		s.shows(strings.ReplaceAll(all, ",h:4", ""))
		s.pass(40 * time.Second)
		s.shows(strings.ReplaceAll(all, ",h:4", "")) // the hold is over, and the source has not spoken yet
		v.say <- is("a=h:1,h:2,h:6 b")
		s.pass(5 * time.Second)
		s.shows("a=h:1,h:2,h:6 b=")
		s.decided(map[string]uint64{"probe": 1, "confirmed": 3})
		s.stop()

		s = run(t, cfg, newVoice("v"))
		s.shows("a=h:1,h:2,h:6 b=")
		s.stop()
	})
}

// What was on disk and is not named at the first update is judged like anything else; a source that has become
// authoritative is believed.
func TestFirstUpdateAfterARestartIsJudged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		cfg := w.in(ManagerConfig{LastKnownGood: lkg(t)})
		v := newVoice("v")
		s := run(t, cfg, v)
		u := owned("a=h:1,h:2,h:3@x b=h:5@x")
		u.Services["b"].Endpoints[0].Terminating = true
		v.say <- u
		s.pass(time.Second)
		s.stop()
		v = newVoice("v")
		s = run(t, cfg, v)
		s.shows("a=h:1,h:2,h:3 b=h:5")
		w.kill("h:1")
		v.say <- owned("c=h:3@y")
		s.pass(10 * time.Second)
		s.shows("a=h:2 c=h:3")
		s.decided(map[string]uint64{"held": 3, "terminating": 1, "probe": 1, "reused": 1})
		s.stop()
		v = newVoice("v")
		v.intent = true
		s = run(t, cfg, v)
		s.shows("a=h:2 c=h:3")
		if got := s.m.Stats().HeldEndpoints; got != 0 {
			t.Errorf("%d are held for an authoritative source", got)
		}
		v.say <- is("c=h:3")
		synctest.Wait()
		s.shows("c=h:3")
		s.stop()
	})
}

func TestMarksThatMeanNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := ManagerConfig{LastKnownGood: lkg(t)}
		const file = `{"version":1,"sources":[{"name":"v","services":[{"name":"a","endpoints":[{"addr":"h:1"}]}],"held":[
			{"service":"b","addr":"h:1"},{"service":"a","addr":"h:2"},{"addr":"h:1"},{"service":"a","addr":"h:1","since":"2999-01-01T00:00:00Z","why":"?"}]}]}`
		if err := os.MkdirAll(filepath.Dir(cfg.LastKnownGood), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(cfg.LastKnownGood, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		v := newVoice("v")
		s := run(t, cfg, v)
		s.shows("a=h:1")
		if p := s.m.Protected(); len(p) != 1 || p[0].Endpoints != 1 || p[0].Since.After(time.Now()) || p[0].Why != "mass-removal" {
			t.Errorf("protected are %+v", p)
		}
		v.say <- is("a=h:1")
		s.pass(time.Second)
		s.decided(map[string]uint64{"named": 1})
		s.stop()
	})
}

func TestLastAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := ManagerConfig{LastKnownGood: lkg(t)}
		one, two := &witness{voice: newVoice("one")}, newVoice("two")
		s := run(t, cfg, one, two)
		began := time.Now()
		one.say <- is("a=h:1 b=h:2")
		two.say <- is("b=h:2 c=h:3")
		s.pass(time.Hour)
		expect := func(a, b, c time.Time) {
			t.Helper()
			got := s.m.LastAnswers()
			if len(got) != 3 || !got["a"].Equal(a) || !got["b"].Equal(b) || !got["c"].Equal(c) {
				t.Errorf("the last answers are %v; want %v, %v, %v", got, a, b, c)
			}
		}
		expect(time.Time{}, began, began)
		one.check(time.Now())
		expect(time.Now(), time.Now(), began)
		one.say <- is("b=h:2")
		two.say <- is("b=h:2 c=h:3")
		s.pass(time.Second)
		expect(time.Now().Add(-time.Second), time.Now().Add(-time.Second), time.Now().Add(-time.Second))
		s.stop()
		s = run(t, cfg, newVoice("one"), newVoice("two"))
		expect(time.Time{}, time.Time{}, time.Time{})
		s.stop()
	})
}
