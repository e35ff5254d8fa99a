package registry

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// All children of a service vanish while its servers live: nothing goes until the hold is over.
func TestForgottenServersStayWhileTheyLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, v := newWorld(), newVoice("v")
		s := run(t, w.in(ManagerConfig{}), v)
		v.say <- is("a=h:1,h:2,h:3 b=h:4")
		s.pass(time.Second)
		w.set(func() { w.flow["h:3"] = true })
		v.say <- is("b=h:4")
		s.pass(time.Second)
		p := s.m.Protected()
		if len(p) != 1 || p[0].Service != "a" || p[0].Source != "v" || p[0].Endpoints != 3 || p[0].Why != "mass-removal" ||
			!slices.Equal(p[0].Addrs, []string{"h:1", "h:2", "h:3"}) || time.Since(p[0].Since) != time.Second {
			t.Errorf("protected are %+v", p)
		}
		s.pass(10*time.Minute - time.Second - time.Nanosecond)
		s.shows("a=h:1,h:2,h:3 b=h:4")
		all, service := w.asks()
		if w.asked("h:1") < 100 || w.asked("h:2") < 100 || w.asked("h:1")+w.asked("h:2") != all || service != "a" {
			t.Errorf("%d probes, the last one of %q; want many where no call succeeds, and none elsewhere", all, service)
		}
		if st := s.m.Stats(); int(st.ProbesOK) != all || st.ProbesFailed+st.ProbesVoid != 0 || st.ProbesSkipped < 50 {
			t.Errorf("stats are %+v after %d probes", st, all)
		}
		s.pass(time.Nanosecond)
		s.shows("b=h:4")
		s.decided(map[string]uint64{"held": 3, "confirmed": 3})
		if p := s.m.Protected(); len(p) != 0 {
			t.Errorf("protected are %+v; want none", p)
		}
		s.stop()
	})
}

// They vanish and die: each goes by itself, within 10 s of its first failed probe, and long before the hold is over.
func TestForgottenServersGoWhenTheyDie(t *testing.T) {
	for _, mute := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w, v := newWorld(), newVoice("v")
			w.mute = mute // before anybody looks
			s := run(t, w.in(ManagerConfig{}), v)
			v.say <- is("a=h:1,h:2,h:3")
			s.pass(time.Second)
			w.kill("h:1")
			v.say <- is("a")
			s.pass(10 * time.Second)
			s.shows("a=h:2,h:3")
			s.decided(map[string]uint64{"held": 3, "probe": 1})
			s.pass(time.Minute)
			s.shows("a=h:2,h:3")
			w.set(func() { w.called["h:2"] = time.Now() })
			w.kill("h:2", "h:3")
			s.pass(10*time.Second - time.Nanosecond)
			s.shows("a=h:2") // a call succeeded there in the last 10 s
			s.pass(6 * time.Second)
			s.shows("a=")
			s.decided(map[string]uint64{"held": 3, "probe": 3})
			if st := s.m.Stats(); st.ProbesFailed != 6 {
				t.Errorf("%d probes failed; want two for each endpoint", st.ProbesFailed)
			}
			s.stop()
		})
	}
}

// One failed probe is no evidence, nor is one that failed for a reason of this host.
func TestProbesThatProveNothing(t *testing.T) {
	for _, err := range []error{
		fmt.Errorf("dial: %w", unix.EMFILE), &net.OpError{Err: unix.EADDRNOTAVAIL}, context.Canceled,
		&net.OpError{Err: &net.DNSError{IsTimeout: true}},
	} {
		synctest.Test(t, func(t *testing.T) {
			w, v := newWorld(), newVoice("v")
			w.err = err
			s := run(t, w.in(ManagerConfig{}), v)
			v.say <- is("a=h:1")
			s.pass(time.Second)
			w.kill("h:1")
			v.say <- is("a")
			s.pass(time.Minute)
			s.shows("a=h:1")
			if st := s.m.Stats(); st.ProbesVoid < 10 || st.ProbesFailed != 0 {
				t.Errorf("%v: stats are %+v", err, st)
			}
			w.set(func() { w.err = &net.DNSError{IsNotFound: true} })
			s.pass(10 * time.Second)
			s.shows("a=")
			s.stop()
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w, v := newWorld(), newVoice("v")
		s := run(t, w.in(ManagerConfig{}), v)
		v.say <- is("a=h:1")
		s.pass(time.Second)
		w.kill("h:1")
		v.say <- is("a")
		for s.m.Stats().ProbesFailed == 0 {
			s.pass(time.Millisecond)
		}
		w.set(func() { clear(w.dead) })
		s.pass(time.Minute)
		s.shows("a=h:1")
		s.stop()
	})
}

// The registry is down when the hold ends: what is held stays until it was asked again, and dies by probes meanwhile.
func TestHoldEndsWithTheSourcesConfirmationOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, v := newWorld(), &witness{voice: newVoice("v")}
		s := run(t, w.in(ManagerConfig{HoldRemoved: time.Minute}), v)
		v.say <- is("a=h:1,h:2,h:3 remotes=r:1")
		s.pass(time.Second)
		v.check(time.Now())
		v.say <- is("")
		s.pass(59 * time.Second)
		v.check(time.Now()) // within the hold: says nothing about its end
		s.pass(time.Hour)
		s.shows("a=h:1,h:2,h:3 remotes=r:1")
		w.kill("h:2")
		s.pass(10 * time.Second)
		s.shows("a=h:1,h:3 remotes=r:1")
		v.check(time.Now())
		s.pass(5 * time.Second)
		s.shows("")
		s.decided(map[string]uint64{"held": 4, "probe": 1, "confirmed": 3})
		s.stop()
	})
}

// An answer at an address that others are given is no evidence: a call's success is, a failed probe is, and time.
func TestOwnedEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, v := newWorld(), &witness{voice: newVoice("v")}
		s := run(t, w.in(ManagerConfig{HoldRemoved: time.Minute}), v)
		v.say <- owned("a=h:1@x,h:2@y,h:3@z")
		s.pass(time.Second)
		w.set(func() { w.flow["h:1"] = true })
		w.kill("h:3")
		v.say <- is("a")
		s.pass(10 * time.Second)
		s.shows("a=h:1,h:2")
		s.pass(50*time.Second - time.Nanosecond)
		s.shows("a=h:1,h:2")
		s.pass(time.Nanosecond)
		s.shows("a=h:1") // the registry is down: only calls speak for it
		s.pass(time.Hour)
		s.shows("a=h:1")
		w.set(func() { w.flow["h:1"] = false })
		s.pass(15 * time.Second)
		s.shows("a=")
		s.decided(map[string]uint64{"held": 3, "probe": 1, "expired": 2})
		s.stop()
	})
}

// TestAddressesOfOthers: each case is what two sources say first, and the first one then; after it, and what is left.
func TestAddressesOfOthers(t *testing.T) {
	for name, c := range map[string]struct {
		first, then, later, want string
		other                    string
		decided                  map[string]uint64
	}{
		"the pod's successor in the same update": {
			first: "a=h:1@x b=h:9@o", then: "a b=h:1@y,h:9@o", want: "a= b=h:1,h:9", decided: map[string]uint64{"held": 1, "reused": 1},
		},
		"the pod's successor came first": {
			first: "a=h:1@x b=h:1@y", then: "b=h:1@y", want: "b=h:1", decided: map[string]uint64{"held": 1, "reused": 1},
		},
		"the pod's successor comes later": {
			first: "a=h:1@x b=h:9@o", then: "b=h:9@o", later: "b=h:1@y,h:9@o", want: "b=h:1,h:9", decided: map[string]uint64{"held": 1, "reused": 1},
		},
		"another pod of the same service": {
			first: "a=h:1@x,h:2@z", then: "", later: "a=h:1@y", want: "a=h:1,h:2", decided: map[string]uint64{"held": 2, "named": 1},
		},
		"one pod with two services": {
			first: "a=h:1@x b=h:9@o", then: "b=h:9@o", later: "b=h:1@x,h:9@o", want: "a=h:1 b=h:1,h:9", decided: map[string]uint64{"held": 1},
		},
		"one server with two services": {
			first: "a=h:1 b=h:1", then: "b=h:1", want: "a=h:1 b=h:1", decided: map[string]uint64{"held": 1},
		},
		"one server with two services that both come back": {
			first: "a=h:1 b=h:1", then: "", later: "b=h:1", want: "a=h:1 b=h:1", decided: map[string]uint64{"held": 2, "named": 1},
		},
		"another service's server": {
			first: "a=h:1 b=h:9", then: "b=h:9", later: "b=h:1,h:9", want: "b=h:1,h:9", decided: map[string]uint64{"held": 1, "reused": 1},
		},
		"a new service's server": {
			first: "a=h:1", then: "c=h:1", want: "c=h:1", decided: map[string]uint64{"held": 1, "reused": 1},
		},
		"another source has the pod's successor": {
			first: "a=h:1@x", then: "", other: "c=h:1@y", want: "c=h:1", decided: map[string]uint64{"held": 1, "reused": 1},
		},
		"another source names the same": {
			first: "a=h:1,h:2", then: "", other: "a=h:1@x", want: "a=h:1,h:2", decided: map[string]uint64{"held": 2, "elsewhere": 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, one, two := newWorld(), newVoice("one"), newVoice("two")
				s := run(t, w.in(ManagerConfig{}), one, two)
				one.say <- owned(c.first)
				two.say <- owned(c.other)
				s.pass(time.Second)
				one.say <- owned(c.then)
				s.pass(time.Second)
				if c.later != "" {
					one.say <- owned(c.later)
					s.pass(time.Second)
				}
				s.shows(c.want)
				s.decided(c.decided)
				s.stop()
			})
		})
	}
}

func TestWhatIsSureGoesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, v := newWorld(), newVoice("v")
		s := run(t, w.in(ManagerConfig{}), v)
		first := is("a=h:1,h:2,h:3 b=h:4,h:5 c=h:6")
		for i := range first.Services["a"].Endpoints {
			first.Services["a"].Endpoints[i].Terminating = i < 2
		}
		v.say <- first
		s.pass(time.Second)
		then := is("a b c=h:6")
		then.Final = map[string]bool{"b": true}
		v.say <- then
		synctest.Wait()
		s.shows("a=h:3 b= c=h:6") // the last of a was not on its way out
		s.decided(map[string]uint64{"terminating": 2, "final": 2, "held": 1})
		then = is("b c=h:6")
		then.Final = map[string]bool{"a": true} // said of what is held already
		v.say <- then
		s.pass(time.Second)
		s.shows("b= c=h:6")
		s.decided(map[string]uint64{"terminating": 2, "final": 3, "held": 1})
		s.stop()
	})
}

// A registry that forgets one by one has forgotten all in the end.
func TestForgettingOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, v := newWorld(), newVoice("v")
		s := run(t, w.in(ManagerConfig{}), v)
		all := []string{"h:0", "h:1", "h:2", "h:3", "h:4", "h:5", "h:6", "h:7", "h:8", "h:9"}
		for i := range all {
			v.say <- is("a=" + strings.Join(all[i:], ","))
			s.pass(time.Second)
		}
		v.say <- is("a")
		s.pass(time.Minute)
		s.shows("a=h:3,h:4,h:5,h:6,h:7,h:8,h:9") // three were few
		s.decided(map[string]uint64{"ordinary": 3, "held": 7})
		s.stop()
	})
	synctest.Test(t, func(t *testing.T) { // while one that rolls is replaced as it goes
		w, v := newWorld(), newVoice("v")
		s := run(t, w.in(ManagerConfig{}), v)
		all := []string{"h:0", "h:1", "h:2", "h:3", "h:4"}
		v.say <- is("a=" + strings.Join(all, ","))
		s.pass(time.Second)
		for i := range all {
			v.say <- is("a=" + strings.Join(slices.Delete(slices.Clone(all), i, i+1), ","))
			s.pass(time.Second)
			all[i] = fmt.Sprintf("n:%d", i)
			v.say <- is("a=" + strings.Join(all, ","))
			s.pass(time.Second)
		}
		s.shows("a=n:0,n:1,n:2,n:3,n:4")
		s.decided(map[string]uint64{"ordinary": 5})
		s.stop()
	})
}

// A service moves from one registry to another: while both name its servers nothing is held, and what only the old one
// named lives as long as it answers.
func TestMigrationLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, zk, kube := newWorld(), newVoice("zk"), newVoice("kube")
		s := run(t, w.in(ManagerConfig{}), zk, kube)
		old := is("a=h:1,h:2,h:3")
		old.Services["a"].Endpoints[0].Weight, old.Services["a"].Timeout = 10, time.Second
		zk.say <- old
		s.pass(time.Second)
		next := owned("a=h:1@x,h:2@y,p:1@z")
		next.Services["a"].Endpoints[0].Weight, next.Services["a"].Timeout = 20, time.Minute
		next.Services["a"].Endpoints[0].Labels = map[string]string{"from": "kube"}
		kube.say <- next
		s.pass(time.Second)
		s.shows("a=h:1,h:2,h:3,p:1")
		if a := s.m.Snapshot().Services["a"]; a.Timeout != time.Second || a.Endpoints[0].Weight != 10 || a.Endpoints[0].Labels != nil {
			t.Errorf("the service is %+v; want the first source's word on it and on h:1", a)
		}
		zk.say <- is("")
		s.pass(time.Second)
		s.shows("a=h:1,h:2,h:3,p:1")
		a := s.m.Snapshot().Services["a"]
		if e := a.Endpoints[0]; e.Weight != 20 || e.Labels["from"] != "kube" || e.Owner != "x" {
			t.Errorf("h:1 is %+v; want what the source says that still names it", e)
		}
		s.decided(map[string]uint64{"held": 3, "elsewhere": 2})
		s.pass(time.Minute)
		s.shows("a=h:1,h:2,h:3,p:1")
		w.kill("h:3") // the old place is switched off
		s.pass(10 * time.Second)
		s.shows("a=h:1,h:2,p:1")
		if got := s.m.Snapshot().Services["a"].Timeout; got != time.Minute {
			t.Errorf("the timeout is %v; want that of the only source left", got)
		}
		s.stop()
	})
}

func TestHeldRemoteProxiesAreProbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, v := newWorld(), newVoice("v")
		s := run(t, w.in(ManagerConfig{}), v)
		v.say <- is("remotes=r:1,r:2,r:3")
		s.pass(time.Second)
		w.kill("r:2")
		w.set(func() { w.flow["r:3"] = true })
		v.say <- is("")
		s.pass(10 * time.Second)
		s.shows("remotes=r:1,r:3")
		if p := s.m.Protected(); len(p) != 1 || p[0].Service != "" || p[0].Endpoints != 2 {
			t.Errorf("protected are %+v", p)
		}
		if _, service := w.asks(); w.asked("r:1") == 0 || w.asked("r:3") != 0 || service != "" {
			t.Errorf("r:1 was probed %d times, r:3 %d times, of %q", w.asked("r:1"), w.asked("r:3"), service)
		}
		s.pass(10 * time.Minute)
		s.shows("")
		s.decided(map[string]uint64{"held": 3, "probe": 1, "confirmed": 2})
		s.stop()
	})
}

// 5,000 are held at once: 50 probes begin in a second and no more, the dead ones go one by one, and calls need none.
func TestProbesAreFew(t *testing.T) {
	for name, c := range map[string]struct{ dead, called, mute bool }{
		"all live": {}, "all dead": {dead: true}, "all silent": {dead: true, mute: true}, "all called": {called: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, v := newWorld(), newVoice("v")
				w.mute = c.mute
				s := run(t, w.in(ManagerConfig{MaxEndpoints: 10_000}), v)
				u := Update{Services: map[string]*Service{}}
				for i := range 500 {
					svc := &Service{}
					for e := range 10 {
						addr := fmt.Sprintf("10.0.%d.%d:90", i, e)
						svc.Endpoints = append(svc.Endpoints, Endpoint{Addr: addr})
						w.set(func() { w.dead[addr], w.flow[addr] = c.dead, c.called })
					}
					u.Services[fmt.Sprintf("s%d", i)] = svc
				}
				v.say <- u
				s.pass(time.Second)
				v.say <- Update{}
				s.pass(20 * time.Second)
				w.expectPace(t)
				n, _ := w.asks()
				st := s.m.Stats()
				if want := 1000; c.called && n != 0 || !c.called && (n < want-100 || n > want+1) {
					t.Errorf("%d probes in 20 s", n)
				}
				if want := 5000 - int(st.ProbesFailed/2); st.HeldEndpoints < want || c.dead && st.HeldEndpoints > 4700 {
					t.Errorf("%d are held after %d probes failed", st.HeldEndpoints, st.ProbesFailed)
				}
				if p := s.m.Protected(); len(p) != maxProtections || len(p[0].Addrs) > maxProtectedAddrs {
					t.Errorf("%d services are reported as protected; want %d", len(p), maxProtections)
				}
				if lines := strings.Count(s.log.String(), "decision=held"); lines != logLines || !strings.Contains(s.log.String(), "services=480 endpoints=4800") {
					t.Errorf("%d lines about what is held; want %d and a sum", lines, logLines)
				}
				s.stop()
			})
		})
	}
}
