package cluster

import (
	"fmt"
	"testing"

	"github.com/bellhop-mesh/bellhop/proxy/govern"
	"github.com/bellhop-mesh/bellhop/registry"
)

// versions is a service whose endpoints have version v1, v2 in turn, and a label.
func versions(n int) *registry.Service {
	s := zones(1, n-1, 0)
	for i := range s.Endpoints {
		s.Endpoints[i].Version = fmt.Sprintf("v%d", 1+i%2)
		s.Endpoints[i].Labels = map[string]string{"track": []string{"stable", "canary", "canary"}[i%3], "n": fmt.Sprint(i)}
	}
	return s
}

// TestView: a view has the endpoints of the part, in their tiers, and the same one is there for the same key.
func TestView(t *testing.T) {
	c := compile(t, versions(12), here)
	for _, w := range []struct {
		part govern.Part
		want string
	}{
		{govern.Part{Key: "1", Version: "v2"}, "[e1:1 e3:1 e5:1 e7:1 e9:1 e11:1]"},
		{govern.Part{Key: "2", Labels: map[string]string{"track": "stable"}}, "[e0:1 e3:1 e6:1 e9:1]"},
		{govern.Part{Key: "3", Version: "v1", Labels: map[string]string{"track": "stable"}}, "[e0:1 e6:1]"},
		{govern.Part{Key: "4", Version: "v1", Zone: "b"}, "[]"},
		{govern.Part{Key: "5", Labels: map[string]string{"track": "stable", "none": ""}}, "[]"},
	} {
		v := c.View(&w.part)
		if got := fmt.Sprint(v.Endpoints()); got != w.want {
			t.Errorf("%+v: %s, want %s", w.part, got, w.want)
		}
		other := w.part
		if c.View(&other) != v {
			t.Errorf("%+v: made twice", w.part)
		}
		for range 100 {
			if e := v.Pick(0, 0, rnd(), nil); (e == nil) != (w.want == "[]") || e != nil && !v.Has(e) {
				t.Fatalf("%+v: got %v", w.part, e)
			}
		}
	}
	if v := c.View(&govern.Part{Key: "2", Labels: map[string]string{"track": "stable"}}); len(v.tiers) != 2 || v.Pick(0, 0, rnd(), nil).Addr != "e0:1" {
		t.Errorf("this host does not come first: %v", v.tiers)
	}
	if c.View(&govern.Part{}) != c {
		t.Error("a part that wants nothing is not the whole")
	}
}

// TestViewUsable: who is held is not usable in the view either.
func TestViewUsable(t *testing.T) {
	c := compile(t, versions(4), here)
	part := &govern.Part{Key: "v2", Version: "v2"}
	v := c.View(part)
	for _, e := range v.Endpoints() {
		e.States[0].DownUntil = second
	}
	if e := v.Usable(0, 0, rnd(), nil); e != nil {
		t.Errorf("got %v, which backs off", e)
	}
	if e := v.Pick(0, 0, rnd(), nil); e == nil {
		t.Error("none is tried as a last resort")
	}
	if e := v.Usable(0, second, rnd(), nil); e == nil {
		t.Error("the back-off is over, and none is usable")
	}
}

// TestViewsBound: there are so many and no more; the next table has those that were in use.
func TestViewsBound(t *testing.T) {
	c := compile(t, versions(70), here)
	part := func(i int) *govern.Part {
		return &govern.Part{Key: fmt.Sprint(i), Labels: map[string]string{"n": fmt.Sprint(i)}}
	}
	for i := range 70 {
		if v := c.View(part(i)); (v == nil) != (i >= maxViews) {
			t.Fatalf("view %d: %v", i, v)
		}
	}
	later := versions(70)
	later.Endpoints[3].Labels["n"] = "new"
	d := again(t, c, later)
	if list := d.views.Load(); list == nil || len(*list) != maxViews {
		t.Fatal("the views were not made for the next table")
	}
	if v := d.View(part(3)); len(v.Endpoints()) != 0 {
		t.Errorf("its labels have changed, and it has %v", v.Endpoints())
	}
	if d.Endpoints()[3] != c.Endpoints()[3] {
		t.Error("with other labels it is another endpoint")
	}
	e := again(t, d, later)
	if list := e.views.Load(); list == nil || len(*list) != 1 {
		t.Error("views that nobody used were made once more")
	}
}

// TestViewsTogether: workers that need a view at the same time get the same one.
func TestViewsTogether(t *testing.T) {
	c := compile(t, versions(8), here)
	got := make(chan *Cluster)
	for range 8 {
		go func() { got <- c.View(&govern.Part{Key: "v1", Version: "v1"}) }()
	}
	first := <-got
	for range 7 {
		if v := <-got; v != first {
			t.Error("there are two views of one part")
		}
	}
}
