package registry

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestEvidenceBeforeMassRemoval: each case is what one source says first and then, and what is known right after, and
// once the hold is over.
func TestEvidenceBeforeMassRemoval(t *testing.T) {
	for name, c := range map[string]struct {
		first, then, held, after string
		count                    int
		intent                   bool
	}{
		"three in ten may go":  {first: "a=h:0,h:1,h:2,h:3,h:4,h:5,h:6,h:7,h:8,h:9", then: "a=h:0,h:1,h:2,h:3,h:4,h:5,h:6", held: "a=h:0,h:1,h:2,h:3,h:4,h:5,h:6", after: "a=h:0,h:1,h:2,h:3,h:4,h:5,h:6"},
		"more than that":       {first: "a=h:1,h:2,h:3,h:4,h:5", then: "a=h:1,h:2,h:3", held: "a=h:1,h:2,h:3,h:4,h:5", after: "a=h:1,h:2,h:3", count: 2},
		"one of two":           {first: "a=h:1,h:2", then: "a=h:1", held: "a=h:1", after: "a=h:1"},
		"one of each of two":   {first: "a=h:1,h:2,h:3,h:4 b=h:5,h:6,h:7", then: "a=h:2,h:3,h:4 b=h:6,h:7", held: "a=h:2,h:3,h:4 b=h:6,h:7", after: "a=h:2,h:3,h:4 b=h:6,h:7"},
		"the last":             {first: "a=h:1", then: "a", held: "a=h:1", after: "a=", count: 1},
		"one moves":            {first: "a=h:1", then: "a=h:2", held: "a=h:2", after: "a=h:2"},
		"a service vanishes":   {first: "a=h:1,h:2,h:3 b=h:1,h:2,h:3,h:4", then: "b=h:1,h:2,h:3,h:4", held: "a=h:1,h:2,h:3 b=h:1,h:2,h:3,h:4", after: "b=h:1,h:2,h:3,h:4", count: 3},
		"a small one vanishes": {first: "a=h:1 b=h:1,h:2", then: "b=h:1,h:2", held: "a=h:1 b=h:1,h:2", after: "b=h:1,h:2", count: 1},
		"many small ones":      {first: "a=h:1 b=h:1 c=h:1 d=h:1", then: "d=h:1", held: "a=h:1 b=h:1 c=h:1 d=h:1", after: "d=h:1", count: 3},
		"a part of each":       {first: "a=h:1,h:2 b=h:3,h:4 c=h:5,h:6", then: "a=h:1 b=h:3 c=h:5", held: "a=h:1,h:2 b=h:3,h:4 c=h:5,h:6", after: "a=h:1 b=h:3 c=h:5", count: 3},
		"all replaced":         {first: "a=h:1,h:2,h:3", then: "a=h:4,h:5,h:6", held: "a=h:1,h:2,h:3,h:4,h:5,h:6", after: "a=h:4,h:5,h:6", count: 3},
		"remote proxies":       {first: "remotes=r:1,r:2,r:3", then: "", held: "remotes=r:1,r:2,r:3", after: "", count: 3},
		"the last remote":      {first: "remotes=r:1", then: "", held: "remotes=r:1", after: "", count: 1},
		"a remote moves":       {first: "remotes=r:1,r:2", then: "remotes=r:1,r:3", held: "remotes=r:1,r:3", after: "remotes=r:1,r:3"},
		"somebody's will":      {first: "a=h:1,h:2,h:3,h:4,h:5 remotes=r:1,r:2,r:3", then: "", held: "", after: "", intent: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVoice("v")
				v.intent = c.intent
				s := run(t, ManagerConfig{HoldRemoved: 30 * time.Second}, v)
				v.say <- is(c.first)
				s.pass(time.Second)
				v.say <- is(c.then)
				synctest.Wait()
				s.shows(c.held)
				if got := s.m.Stats().HeldEndpoints; got != c.count {
					t.Errorf("%d are held; want %d", got, c.count)
				}
				if warned := strings.Contains(s.log.String(), "decision=held"); warned != (c.count > 0) {
					t.Errorf("the log is %s", s.log)
				}
				s.pass(30*time.Second - time.Nanosecond)
				s.shows(c.held)
				s.pass(time.Nanosecond)
				s.shows(c.after)
				if st := s.m.Stats(); st.HeldEndpoints != 0 {
					t.Errorf("stats are %+v; want nothing held", st)
				}
				s.stop()
			})
		})
	}
}

func TestHeldEndpointsComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVoice("v")
		s := run(t, ManagerConfig{HoldRemoved: time.Minute}, v)
		first := is("a=h:1,h:2,h:3,h:4")
		first.Services["a"].Framing = "osp"
		v.say <- first
		s.pass(time.Second)
		v.say <- is("")
		s.pass(30 * time.Second)
		s.shows("a=h:1,h:2,h:3,h:4")
		if f := s.m.Snapshot().Services["a"].Framing; f != "osp" {
			t.Errorf("the held service has the framing %q; want its own", f)
		}
		again := is("a=h:2,h:3") // two are back; the other two keep their time
		again.Services["a"].Framing = "dapeng"
		v.say <- again
		s.pass(time.Second)
		s.shows("a=h:1,h:2,h:3,h:4")
		if f := s.m.Snapshot().Services["a"].Framing; f != "dapeng" {
			t.Errorf("the framing is %q; want what the source says now", f)
		}
		if got := s.m.Stats().HeldEndpoints; got != 2 {
			t.Errorf("%d are held; want 2", got)
		}
		before := s.m.Snapshot()
		again = is("a=h:2,h:3 b=h:9")
		again.Services["a"].Framing = "dapeng"
		v.say <- again
		s.pass(time.Second)
		if s.m.Snapshot().Services["a"] != before.Services["a"] {
			t.Error("a held service that did not change should keep its pointer")
		}
		s.pass(time.Minute)
		s.shows("a=h:2,h:3 b=h:9")
		s.stop()
	})
}

func TestHeldRemotesComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVoice("v")
		s := run(t, ManagerConfig{}, v)
		for _, c := range []struct {
			say  string
			held int
		}{{"remotes=r:1,r:2,r:3", 0}, {"", 3}, {"remotes=r:2", 2}, {"remotes=r:1,r:2,r:3", 0}} {
			v.say <- is(c.say)
			s.pass(time.Second)
			s.shows("remotes=r:1,r:2,r:3")
			if got := s.m.Stats().HeldEndpoints; got != c.held {
				t.Errorf("after %q %d are held; want %d", c.say, got, c.held)
			}
		}
		s.stop()
	})
}

func TestHoldingCanBeTurnedOffAndTuned(t *testing.T) {
	for _, c := range []struct {
		cfg  ManagerConfig
		want string
	}{
		{ManagerConfig{HoldRemoved: -1}, "a=h:1"},
		{ManagerConfig{MaxRemovalShare: 0.75}, "a=h:1"},
		{ManagerConfig{MinRemoval: 4}, "a=h:1"},
		{ManagerConfig{MaxRemovalShare: 0.74, MinRemoval: 3}, "a=h:1,h:2,h:3,h:4"},
	} {
		synctest.Test(t, func(t *testing.T) {
			v := newVoice("v")
			s := run(t, c.cfg, v)
			v.say <- is("a=h:1,h:2,h:3,h:4")
			s.pass(time.Second)
			v.say <- is("a=h:1")
			s.pass(time.Second)
			s.shows(c.want)
			s.stop()
		})
	}
}
