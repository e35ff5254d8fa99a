package zookeeper

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/bellhop-mesh/bellhop/registry"
)

// keeper runs a registrar over a tree, in a bubble.
func keeper(t *testing.T, tr *tree, o RegistrarOptions, list ...Registration) (*Registrar, func()) {
	o.Log = quietLog()
	r := newRegistrar(tr, o)
	for _, g := range list {
		if err := r.Register(g); err != nil {
			t.Fatal(err)
		}
	}
	stop := begin(t, func(ctx context.Context) { _ = r.Run(ctx) })
	synctest.Wait()
	return r, stop
}

// TestRegistrarRetries: without a connection one try at a time, with growing pauses, for ever; a session begins at once.
func TestRegistrarRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTree()
		tr.fail = errCut
		r, stop := keeper(t, tr, RegistrarOptions{}, at(Bellhop, "/s/{service}", "A", "10.0.0.1:1"), at(Bellhop, "/s/{service}", "B", "10.0.0.1:1"))
		defer stop()
		pass(time.Hour)
		first := tr.count()
		if first < 120 || first > 260 { // every 15 to 30 s
			t.Errorf("%d tries in an hour", first)
		}
		for i, d := 1, time.Duration(0); i < 6; i++ {
			gap := tr.requests[i].Sub(tr.requests[i-1])
			if gap < d/2 || gap > firstRetry<<i {
				t.Errorf("pause %d is %s", i, gap)
			}
			d = gap
		}
		if st := r.Stats(); st.InPlace != 0 || st.Wanted != 2 || st.Failures != uint64(first) || !strings.Contains(st.Problem, errCut.Error()) {
			t.Errorf("stats %+v", st)
		}
		tr.set(func() { tr.fail = nil })
		tr.state(zk.StateHasSession)
		synctest.Wait()
		if st := r.Stats(); st.InPlace != 2 || st.Problem != "" {
			t.Errorf("with a session: %+v", st)
		}
	})
}

// TestRegistrarRefused: a refusal costs that registration alone, is told once, and is asked again.
func TestRegistrarRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTree()
		tr.put(0, "/s/Hand/10.0.0.1:1") // made by hand: refused alone
		r, stop := keeper(t, tr, RegistrarOptions{}, at(Bellhop, "/s/{service}", "Hand", "10.0.0.1:1"), at(Bellhop, "/s/{service}", "A", "10.0.0.1:1"))
		defer stop()
		if st := r.Stats(); st.InPlace != 1 || st.Wanted != 2 {
			t.Errorf("stats %+v", st)
		}
		tr.set(func() { tr.refuse = zk.ErrNoAuth })
		before := len(tr.changes)
		if err := r.Register(at(Bellhop, "/s/{service}", "B", "10.0.0.1:1")); err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Minute)
		if n := len(tr.changes) - before; n < 20 || n > 50 {
			t.Errorf("%d tries in 10 minutes", n)
		}
		tr.set(func() { tr.refuse = nil })
		tr.remove("/s/Hand/10.0.0.1:1")
		pass(31 * time.Second)
		if st := r.Stats(); st.InPlace != 3 || st.Problem != "" {
			t.Errorf("when it may: %+v", st)
		}
	})
}

// TestRegistrarAudit: nodes that vanish without an event are found, made again and counted; an expired session is no
// correction; what is withdrawn stays away.
func TestRegistrarAudit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTree()
		g := at(Bellhop, "/s/{service}", "A", "10.0.0.1:1")
		p := "/s/A/10.0.0.1:1"
		r, stop := keeper(t, tr, RegistrarOptions{}, g)
		defer stop()
		pass(2 * time.Minute)
		if st := r.Stats(); st.InPlace != 1 || st.Corrected != 0 || len(tr.changes) > 6 {
			t.Fatalf("%d changes, %+v", len(tr.changes), st)
		}
		tr.set(func() { tr.lost = true })
		tr.remove(p)
		tr.remove("/s/A")
		pass(26 * time.Second)
		if st := r.Stats(); tr.owner(p) != 1 || st.Corrected != 1 || st.InPlace != 1 {
			t.Errorf("without an event: %+v", st)
		}
		tr.set(func() { tr.lost = false })
		pass(26 * time.Second) // the watch stands again
		tr.remove(p)
		pass(time.Second)
		if st := r.Stats(); tr.owner(p) != 1 || st.Corrected != 2 {
			t.Errorf("with an event: %+v", st)
		}
		tr.state(zk.StateExpired)
		tr.remove(p)
		tr.set(func() { tr.session = 2 })
		tr.state(zk.StateHasSession)
		pass(time.Second)
		if st := r.Stats(); tr.owner(p) != 2 || st.Corrected != 2 || st.InPlace != 1 {
			t.Errorf("a new session: %+v", st)
		}
		gone := r.Withdraw(g)
		synctest.Wait()
		select {
		case <-gone:
		default:
			t.Error("it is not said to be gone")
		}
		pass(time.Hour)
		if st := r.Stats(); tr.owner(p) != 0 || st.Wanted != 0 || st.Leaving != 0 {
			t.Errorf("withdrawn: %+v", st)
		}
	})
}

// TestContest: a node that others keep taking over is taken back ever later; it is never taken from a predecessor late.
func TestContest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTree()
		p := "/s/A/10.0.0.1:1"
		tr.put(7, p)
		r, stop := keeper(t, tr, RegistrarOptions{}, at(Bellhop, "/s/{service}", "A", "10.0.0.1:1"))
		defer stop()
		if tr.owner(p) != 1 || r.Stats().TakenOver != 1 {
			t.Fatalf("a predecessor's node: %+v", r.Stats())
		}
		for i, most := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 10 * time.Minute, 10 * time.Minute} {
			pass(time.Second)
			tr.steal(8, p)
			pass(time.Second)
			if st := r.Stats(); st.Contested != 1 || st.InPlace != 0 || st.Problem == "" {
				t.Errorf("taken over %d times: %+v", i+1, st)
			}
			pass(most/2 - 2*time.Second)
			if tr.owner(p) != 8 {
				t.Errorf("taken back before %s", most/2)
			}
			pass(most/2 + 30*time.Second)
			if st := r.Stats(); tr.owner(p) != 1 || st.Contested != 0 || st.TakenOver != uint64(i+2) {
				t.Errorf("not taken back after %s: %+v", most, st)
			}
		}
		tr.steal(8, p)
		pass(time.Second)
		tr.remove(p) // the other one has ended
		pass(time.Second)
		if st := r.Stats(); tr.owner(p) != 1 || st.Contested != 0 || st.Corrected != 0 {
			t.Errorf("alone again: %+v", st)
		}
		pass(2 * time.Hour)
		tr.steal(8, p)
		pass(31 * time.Second)
		if tr.owner(p) != 1 {
			t.Errorf("after hours in place the next one is not a first one: %+v", r.Stats())
		}
	})
}

// TestRegistrarBounds: what can't be registered is told to who asks, and what is too much is refused.
func TestRegistrarBounds(t *testing.T) {
	r := newRegistrar(newTree(), RegistrarOptions{Max: 2, Log: quietLog(), CheckFraming: testRules("").framing})
	for want, g := range map[string]Registration{
		"has the port":                at(Bellhop, "/s/{service}", "A", "10.0.0.1:0"),
		"unix socket":                 at(Bellhop, "/s/{service}", "A", "unix:/run/x"),
		"is no name of a node":        at(Bellhop, "/s/{service}", "..", "10.0.0.1:1"),
		"write names between":         at(Bellhop, "/s//{service}", "A", "10.0.0.1:1"),
		"write one of [bellhop":       at("other", "/s/{service}", "A", "10.0.0.1:1"),
		"no room for the IPv6":        at(Dapeng, "/s/{service}", "A", "[::1]:1"),
		"the name has 0 bytes":        at(Curator, "/s", "", "10.0.0.1:1"),
		"its framing: is none of":     {Service: "A", Endpoint: registry.Endpoint{Addr: "10.0.0.1:1", Framing: "morse"}},
		"its mode is \"shared\"":      {Service: "A", Endpoint: registry.Endpoint{Addr: "10.0.0.1:1"}, Mode: "shared"},
		"its weight is 1001; write 1": {Service: "A", Endpoint: registry.Endpoint{Addr: "10.0.0.1:1", Weight: 1001}},
	} {
		if err := r.Register(g); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
		<-r.Withdraw(g) // nothing to wait for
	}
	for i := range 3 {
		err := r.Register(at(Bellhop, "", "A", fmt.Sprint("10.0.0.1:", i+1)))
		if i < 2 && err != nil || i == 2 && (err == nil || !strings.Contains(err.Error(), "there are 2 registrations")) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// TestDocumentAudit: a lost event is found and counted once; a refused version is not confirmed; failures back off.
func TestDocumentAudit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTree()
		tr.put(0, "/rules")
		d := newDocument(tr, "/rules", "h:1", quietLog())
		var got []string
		stop := begin(t, func(ctx context.Context) {
			_ = d.Run(ctx, func(doc registry.Document) { got = append(got, string(doc.Data)) })
		})
		defer stop()
		put := func(text string) {
			t.Helper()
			if err := d.Put(t.Context(), []byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		put("one")
		pass(time.Second)
		tr.set(func() { tr.lost = true })
		put("two")
		pass(27 * time.Second)
		if st := d.Stats(); !slices.Equal(got, []string{"", "one", "two"}) || st.Corrected != 1 || st.Audits == 0 {
			t.Errorf("published %q, %+v", got, st)
		}
		tr.set(func() { tr.lost = false })
		pass(time.Minute)
		if age := time.Since(d.Stats().Checked); age > 26*time.Second || d.Stats().Corrected != 1 {
			t.Errorf("checked %s ago, %+v", age, d.Stats())
		}
		if err := tr.write(t.Context(), "/rules", make([]byte, registry.MaxDocument+1)); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if st := d.Stats(); st.Refused != 1 || time.Since(st.Checked) < time.Minute || !strings.Contains(st.Problem, "900001 bytes") {
			t.Errorf("checked %s ago, %+v", time.Since(st.Checked), st)
		}
		tr.set(func() { tr.fail = errCut })
		before := tr.count()
		pass(10 * time.Minute)
		if n := tr.count() - before; n < 20 || n > 60 || d.Stats().Failures != uint64(n) {
			t.Errorf("%d tries in 10 minutes, %+v", n, d.Stats())
		}
		tr.set(func() { tr.fail = nil })
		pass(31 * time.Second)
		put("three")
		pass(time.Second)
		if st := d.Stats(); !slices.Equal(got, []string{"", "one", "two", "three"}) || st.Problem != "" || st.Refused != 1 {
			t.Errorf("published %q, %+v", got, st)
		}
	})
}
