package zookeeper

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/bellhop-mesh/bellhop/registry"
)

var update = flag.Bool("update", false, "write the third lines of testdata/*.golden from what is read now; then review them")

func testRules(port string) rules {
	return rules{port: port, framing: func(w string) error {
		if w != "framed-binary" && w != "osp" {
			return errors.New("is none of framed-binary, osp")
		}
		return nil
	}}
}

// cases reads testdata/LAYOUT.golden: three lines a case (the child's name; its data, "-" for none; what is read) and an
// empty one between two. A name that ends in " endpoint=NAME" is read for that additional endpoint.
func cases(t testing.TB, l Layout) [][3]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", string(l)+".golden"))
	if err != nil {
		t.Fatal(err)
	}
	var out [][3]string
	for _, block := range strings.Split(strings.TrimSpace(string(b)), "\n\n") {
		lines := strings.Split(block, "\n")
		if len(lines) == 2 && *update {
			lines = append(lines, "")
		}
		if len(lines) != 3 {
			t.Fatalf("%s: a case of %d lines: %q", l, len(lines), block)
		}
		out = append(out, [3]string(lines))
	}
	return out
}

func data(s string) []byte {
	if s == "-" {
		return nil
	}
	return []byte(s)
}

// TestGolden: what every layout's nodes say, bad ones included.
func TestGolden(t *testing.T) {
	for _, l := range Layouts() {
		var rewritten []string
		list := cases(t, l)
		if len(list) < 6 {
			t.Errorf("%s has %d cases", l, len(list))
		}
		for _, c := range list {
			child, port, _ := strings.Cut(c[0], " endpoint=")
			m, ok, err := l.parse(child, data(c[1]), testRules(port))
			got := "no instance"
			switch {
			case err != nil:
				got = "error: " + err.Error()
			case ok:
				b, err := json.Marshal(m.endpoint)
				if err != nil {
					t.Fatal(err)
				}
				got = string(b) + " " + m.mode
			}
			got = strings.TrimSpace(got)
			if got != c[2] && !*update {
				t.Errorf("%s %s\ngot  %s\nwant %s", l, c[0], got, c[2])
			}
			rewritten = append(rewritten, c[0]+"\n"+c[1]+"\n"+got)
		}
		if *update {
			if err := os.WriteFile(filepath.Join("testdata", string(l)+".golden"), []byte(strings.Join(rewritten, "\n\n")+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestEncode: what is registered in a layout is read back as it was said, and its name does not change between two processes.
func TestEncode(t *testing.T) {
	full := member{registry.Endpoint{
		Addr: "10.0.0.5:9090", Weight: 7, Zone: "a", Version: "1.2", Labels: map[string]string{"team": "shop"}, Framing: "osp",
	}, "exclusive"}
	for _, l := range Layouts() {
		for _, m := range []member{full, {endpoint: registry.Endpoint{Addr: "h.example:1"}}, {endpoint: registry.Endpoint{Addr: "[fd00::1]:1"}}} {
			child, data, err := l.encode("com.example.Hello", "", m)
			if l == Dapeng && strings.HasPrefix(m.endpoint.Addr, "[") {
				if err == nil {
					t.Errorf("dapeng has no room for IPv6, and got the name %s", child)
				}
				continue
			}
			if err != nil {
				t.Fatal(l, err)
			}
			again, _, _ := l.encode("com.example.Hello", "", m)
			if again != child || strings.Contains(child, "/") {
				t.Errorf("%s: the names %q and %q", l, child, again)
			}
			got, ok, err := l.parse(child, data, testRules(""))
			if err != nil || !ok {
				t.Fatalf("%s: %s %s is not read back: %t %v", l, child, data, ok, err)
			}
			want := m
			switch l { // what a layout has no place for
			case Dapeng:
				want = member{endpoint: registry.Endpoint{Addr: m.endpoint.Addr, Version: m.endpoint.Version}}
				if want.endpoint.Version == "" {
					want.endpoint.Version = "1.0.0"
				}
			case ServerSet:
				want = member{endpoint: registry.Endpoint{Addr: m.endpoint.Addr, Zone: m.endpoint.Zone, Version: m.endpoint.Version}}
				if m.endpoint.Labels != nil {
					want.endpoint.Labels = map[string]string{"team": "shop", "zone": "a", "version": "1.2"}
				}
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %+v came back as %+v", l, want, got)
			}
		}
	}
}

// TestAssemble: the younger of two nodes with one address counts, and the most careful mode.
func TestAssemble(t *testing.T) {
	e := func(addr string, weight int) registry.Endpoint { return registry.Endpoint{Addr: addr, Weight: weight} }
	s := Bellhop.assemble("S", "", []member{{e("a:1", 1), "multiplexed"}, {e("b:1", 2), ""}, {e("a:1", 3), "exclusive"}})
	if want := []registry.Endpoint{e("a:1", 3), e("b:1", 2)}; !reflect.DeepEqual(s.Endpoints, want) || s.Mode != "exclusive" || s.Framing != "" {
		t.Errorf("got %+v", s)
	}
	if s := Dapeng.assemble("S", "", nil); s.Framing != "dapeng" || len(s.Endpoints) != 0 {
		t.Errorf("got %+v", s)
	}
	if s := Dapeng.assemble("S", "osp", nil); s.Framing != "osp" {
		t.Errorf("got %+v", s)
	}
}

// fuzz: whatever a node holds, there is an error that says something, or an instance that the manager will take.
func fuzz(f *testing.F, l Layout) {
	for _, c := range cases(f, l) {
		child, _, _ := strings.Cut(c[0], " endpoint=")
		f.Add(child, data(c[1]))
	}
	f.Fuzz(func(t *testing.T, child string, data []byte) {
		m, ok, err := l.parse(child, data, testRules(""))
		if err != nil {
			if ok || err.Error() == "" || len(err.Error()) > 4*maxText {
				t.Fatalf("%t, an error of %d bytes", ok, len(err.Error()))
			}
			return
		}
		if !ok {
			return
		}
		e := &m.endpoint
		if c, err := registry.CanonicalAddr(e.Addr); err != nil || c != e.Addr {
			t.Fatalf("address %q: canonical %q, %v", e.Addr, c, err)
		}
		if e.Weight < 0 || e.Weight > 1000 || len(e.Labels) > maxLabels || len(e.Zone) > maxText || len(e.Version) > maxText {
			t.Fatalf("out of bounds: %+v", e)
		}
		if _, _, err := l.encode("S", "", m); err != nil && !(l == Dapeng && strings.Count(e.Addr, ":") > 1) {
			t.Fatalf("%+v can't be written: %v", m, err)
		}
	})
}

func FuzzBellhop(f *testing.F)   { fuzz(f, Bellhop) }
func FuzzDapeng(f *testing.F)    { fuzz(f, Dapeng) }
func FuzzCurator(f *testing.F)   { fuzz(f, Curator) }
func FuzzServerSet(f *testing.F) { fuzz(f, ServerSet) }

// TestBounds: a node beyond the bounds is an error that names them.
func TestBounds(t *testing.T) {
	labels := map[string]string{}
	for i := range maxLabels + 1 {
		labels[fmt.Sprint(i)] = "x"
	}
	many, err := json.Marshal(bellhopNode{Labels: labels})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"bytes of data": make([]byte, maxData+1), "65 labels": many, "a text of 1025 bytes": fmt.Appendf(nil, `{"zone":%q}`, strings.Repeat("z", maxText+1)),
	} {
		if _, ok, err := Bellhop.parse("10.0.0.1:1", data, rules{}); ok && err == nil || !strings.Contains(fmt.Sprint(err), name) {
			t.Errorf("%s: %t %v", name, ok, err)
		}
	}
}
