package route

import (
	"fmt"
	"testing"

	"github.com/bellhop-mesh/bellhop/registry"
)

// many are n services with 10 endpoints each, on hosts of this name.
func many(n int, host string) *registry.Snapshot {
	s := &registry.Snapshot{Services: map[string]*registry.Service{}}
	for i := range n {
		svc := service(fmt.Sprintf("com.example.shop.Service%d", i))
		for j := range 10 {
			svc.Endpoints = append(svc.Endpoints, registry.Endpoint{Addr: fmt.Sprintf("%s%d:%d", host, i, 9000+j), Weight: 100})
		}
		s.Services[svc.Name] = svc
	}
	return s
}

// BenchmarkLookup goes through all services of a table in turn.
func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{1, 100, 2000, 20_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			t, err := Compile(many(n, "h"), nil, options)
			if err != nil {
				b.Fatal(err)
			}
			var names [][]byte
			for _, name := range t.Names() {
				names = append(names, []byte(name))
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if t.Lookup(names[i]) == nil {
					b.Fatal("not found")
				}
				if i++; i == n {
					i = 0
				}
			}
		})
	}
}

// BenchmarkCompile makes a table of 2,000 services and 20,000 endpoints: after one of which nothing is left, one that says
// the same in other words, and the very same.
func BenchmarkCompile(b *testing.B) {
	prev, err := Compile(many(2000, "h"), nil, options)
	if err != nil {
		b.Fatal(err)
	}
	same := many(2000, "h")
	now, err := Compile(same, nil, options)
	if err != nil {
		b.Fatal(err)
	}
	for name, c := range map[string]struct {
		snap *registry.Snapshot
		prev *Table
	}{"other": {many(2000, "i"), prev}, "equal": {same, prev}, "same": {same, now}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Compile(c.snap, c.prev, options); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
