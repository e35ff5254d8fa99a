package kubernetes

import (
	"strconv"
	"testing"
	"time"
)

// TestEvidence: what is missing is said to be gone only where that is known.
func TestEvidence(t *testing.T) {
	const name = "hello.shop"
	begin := func(t *testing.T) *world {
		w := newWorld(t, Options{})
		w.replaceServices(w.watch, []*kubeService{w.aService("hello")}, w.next())
		w.replaceSlices(w.watch, []*slice{w.aSlice("hello", "a", "10.0.0.1", "10.0.0.2"), w.aSlice("hello", "b", "10.0.0.3")}, w.next())
		w.shows("the first listing says nothing of what was before", name, false, "10.0.0.1:9090", "10.0.0.2:9090", "10.0.0.3:9090")
		return w
	}
	t.Run("a slice names less", func(t *testing.T) {
		w := begin(t)
		w.setSlice(w.aSlice("hello", "a", "10.0.0.1"))
		w.shows("gone", name, true, "10.0.0.1:9090", "10.0.0.3:9090")
		w.shows("still, when an update is overtaken", name, true, "10.0.0.1:9090", "10.0.0.3:9090")
	})
	t.Run("a slice vanishes", func(t *testing.T) {
		w := begin(t)
		w.removeSlice("shop/b")
		w.shows("doubtful", name, false, "10.0.0.1:9090", "10.0.0.2:9090")
		w.setSlice(w.aSlice("hello", "a", "10.0.0.1"))
		w.shows("that 10.0.0.2 is gone does not say that 10.0.0.3 is", name, false, "10.0.0.1:9090")
		w.setSlice(w.aSlice("hello", "c", "10.0.0.3"))
		w.shows("10.0.0.3 is back", name, true, "10.0.0.1:9090", "10.0.0.3:9090")
	})
	t.Run("its endpoints were moved first", func(t *testing.T) {
		w := begin(t)
		w.setSlice(w.aSlice("hello", "a", "10.0.0.1", "10.0.0.3"))
		w.removeSlice("shop/b")
		w.shows("one gone", name, true, "10.0.0.1:9090", "10.0.0.3:9090")
	})
	t.Run("doubt ends, and drops nothing by that", func(t *testing.T) {
		w := begin(t)
		w.removeSlice("shop/b")
		w.shows("doubtful", name, false, "10.0.0.1:9090", "10.0.0.2:9090")
		w.clock = w.clock.Add(doubt + time.Second)
		w.setSlice(w.aSlice("hello", "a", "10.0.0.1", "10.0.0.2", "10.0.0.4"))
		w.shows("later", name, false, "10.0.0.1:9090", "10.0.0.2:9090", "10.0.0.4:9090")
		w.setSlice(w.aSlice("hello", "a", "10.0.0.1", "10.0.0.4"))
		w.shows("its controller has been at work since", name, true, "10.0.0.1:9090", "10.0.0.4:9090")
	})
	t.Run("all slices vanish", func(t *testing.T) {
		w := begin(t)
		w.removeSlice("shop/a")
		w.removeSlice("shop/b")
		w.shows("doubtful", name, false)
	})
	t.Run("scaled to nothing", func(t *testing.T) {
		w := begin(t)
		w.removeSlice("shop/b")
		w.shows("doubtful", name, false, "10.0.0.1:9090", "10.0.0.2:9090")
		w.setSlice(w.aSlice("hello", "a"))
		w.shows("gone", name, true)
	})
	t.Run("scaled to nothing, and its controller deletes what it does not need", func(t *testing.T) {
		w := begin(t)
		w.removeSlice("shop/b")
		w.setSlice(w.aSlice("hello", "a"))
		w.shows("gone", name, true)
	})
	t.Run("the empty slice is of the other family", func(t *testing.T) {
		w := begin(t)
		none := w.aSlice("hello", "c", "fd00::1 ending")
		none.endpoints = nil
		w.setSlice(none)
		w.removeSlice("shop/a")
		w.removeSlice("shop/b")
		w.shows("doubtful", name, false)
		w.setService(w.aService("hello"))
		w.shows("still", name, false)
	})
	t.Run("the empty slice is of another Service", func(t *testing.T) {
		w := begin(t)
		w.setService(w.aService("blue", annotated("bellhop.dev/service", name)))
		w.setSlice(w.aSlice("blue", "c"))
		w.shows("two Services", name, false, "10.0.0.1:9090", "10.0.0.2:9090", "10.0.0.3:9090")
		w.removeSlice("shop/a")
		w.removeSlice("shop/b")
		w.shows("doubtful", name, false)
		w.setSlice(w.aSlice("hello", "a"))
		w.shows("now it is scaled to nothing", name, true)
	})
	t.Run("restored, from when it was scaled to nothing", func(t *testing.T) {
		w := begin(t)
		old := w.aSlice("hello", "a")
		old.ResourceVersion = "5"
		w.replaceSlices(w.watch, []*slice{old}, strconv.Itoa(50))
		w.shows("doubtful", name, false)
		w.setService(w.aService("hello"))
		w.shows("still", name, false)
		w.setSlice(w.aSlice("hello", "a"))
		w.shows("its controller says so again", name, true)
	})
	t.Run("scaled to nothing while nobody looked", func(t *testing.T) {
		w := newWorld(t, Options{})
		w.replaceServices(w.watch, []*kubeService{w.aService("hello")}, w.next())
		w.replaceSlices(w.watch, []*slice{w.aSlice("hello", "a")}, w.next())
		w.shows("what the last process knew is gone", name, true)
	})
	t.Run("a Service without slices", func(t *testing.T) {
		w := newWorld(t, Options{})
		w.replaceServices(w.watch, []*kubeService{w.aService("hello")}, w.next())
		w.replaceSlices(w.watch, nil, w.next())
		w.shows("nothing is known", name, false)
	})
	t.Run("the Service is deleted", func(t *testing.T) {
		w := begin(t)
		w.removeSlice("shop/b") // the order of two watches is anybody's guess
		w.shows("doubtful", name, false, "10.0.0.1:9090", "10.0.0.2:9090")
		w.removeService("shop/hello")
		w.removeSlice("shop/a")
		if u := w.shows("gone", name, true); u.Services[name] != nil {
			t.Error("it is still published")
		}
		w.clock = w.clock.Add(remembered + time.Second)
		w.shows("forgotten", name, false)
		if len(w.names) != 0 {
			t.Errorf("names: %v", w.names)
		}
	})
	t.Run("a listing has fewer slices", func(t *testing.T) {
		w := begin(t)
		w.replaceSlices(w.watch, []*slice{w.aSlice("hello", "a", "10.0.0.1")}, w.next())
		w.shows("10.0.0.2 is gone, and 10.0.0.3 doubtful", name, false, "10.0.0.1:9090")
	})
	t.Run("a listing has changed slices", func(t *testing.T) {
		w := begin(t)
		w.replaceSlices(w.watch, []*slice{w.aSlice("hello", "a", "10.0.0.1"), w.slices["shop/b"]}, w.next())
		w.shows("gone", name, true, "10.0.0.1:9090", "10.0.0.3:9090")
	})
	t.Run("a listing has fewer Services", func(t *testing.T) {
		w := begin(t)
		w.replaceServices(w.watch, nil, w.next())
		if u := w.shows("doubtful", name, false); u.Services[name] != nil {
			t.Error("it is still published")
		}
		w.removeSlice("shop/a")
		w.shows("still", name, false)
		w.setService(w.aService("hello"))
		w.setSlice(w.aSlice("hello", "a", "10.0.0.1"))
		w.shows("back, without 10.0.0.2", name, false, "10.0.0.1:9090", "10.0.0.3:9090")
	})
	t.Run("a listing is older than what is known", func(t *testing.T) {
		w := begin(t)
		old := w.aSlice("hello", "a", "10.0.0.1")
		old.ResourceVersion = "5"
		w.replaceSlices(w.watch, []*slice{old, w.slices["shop/b"]}, strconv.Itoa(50))
		w.shows("restored from a backup", name, false, "10.0.0.1:9090", "10.0.0.3:9090")
	})
	t.Run("not ready, and back", func(t *testing.T) {
		w := begin(t)
		w.setSlice(w.aSlice("hello", "a", "10.0.0.1 down", "10.0.0.2 down"))
		w.shows("not gone", name, false, "10.0.0.3:9090")
		w.clock = w.clock.Add(2 * doubt)
		w.setSlice(w.aSlice("hello", "a", "10.0.0.1 down", "10.0.0.2"))
		w.shows("one is back", name, false, "10.0.0.2:9090", "10.0.0.3:9090")
		w.setSlice(w.aSlice("hello", "a", "10.0.0.2"))
		w.shows("the other is taken out", name, true, "10.0.0.2:9090", "10.0.0.3:9090")
	})
	t.Run("rolled", func(t *testing.T) {
		w := begin(t)
		w.setSlice(w.aSlice("hello", "a", "10.0.0.1 leaving", "10.0.0.2", "10.0.0.4 down"))
		w.shows("one on its way out", name, true, "10.0.0.2:9090", "10.0.0.3:9090")
		w.setSlice(w.aSlice("hello", "a", "10.0.0.1 ending", "10.0.0.2 leaving", "10.0.0.4"))
		w.setSlice(w.aSlice("hello", "b", "10.0.0.3 leaving"))
		w.shows("the new one", name, true, "10.0.0.4:9090")
		w.setSlice(w.aSlice("hello", "a", "10.0.0.4 leaving", "10.0.0.2 leaving"))
		w.shows("the last ones serve until they end", name, true, "10.0.0.2:9090!", "10.0.0.3:9090!", "10.0.0.4:9090!")
	})
	t.Run("only its settings change", func(t *testing.T) {
		w := begin(t)
		w.setService(w.aService("hello", annotated("bellhop.dev/timeout", "3s")))
		u := w.shows("nothing is missing", name, false, "10.0.0.1:9090", "10.0.0.2:9090", "10.0.0.3:9090")
		if u.Services[name].Timeout != 3*time.Second {
			t.Errorf("got %+v", u.Services[name])
		}
	})
}

// TestUnchanged: what did not change keeps its pointer, so that nobody compiles it again.
func TestUnchanged(t *testing.T) {
	w := newWorld(t, Options{})
	a := w.aSlice("a", "a", "10.0.0.1")
	services := []*kubeService{w.aService("a"), w.aService("b")}
	w.replaceServices(w.watch, services, w.next())
	w.replaceSlices(w.watch, []*slice{a, w.aSlice("b", "b", "10.0.0.2")}, w.next())
	before := w.update()
	w.replaceServices(w.watch, services, w.next())
	w.replaceSlices(w.watch, []*slice{a, w.aSlice("b", "b", "10.0.0.3")}, w.next())
	after := w.update()
	if before.Services["a.shop"] != after.Services["a.shop"] || before.Services["b.shop"] == after.Services["b.shop"] {
		t.Error("a did not change, and b did")
	}
}
