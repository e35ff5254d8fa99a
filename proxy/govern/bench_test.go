package govern

import (
	"fmt"
	"testing"
	"time"
)

// document is n rules as people have them: most of one service or one source, a few general ones, some of which look at
// headers.
func document(tb testing.TB, n int) *Rules {
	var list []Rule
	for i := range n {
		r := Rule{Name: fmt.Sprint("rule ", i), Deadline: time.Second}
		switch i % 10 {
		case 0:
			r.Match.Method = patterns(tb, fmt.Sprintf("~get%d[A-Z].*", i))
		case 1:
			r.Match.Namespace, r.Limit = patterns(tb, fmt.Sprintf("team%d", i), "shop"), &Limit{Concurrency: 1 << 20, By: []By{BySource}}
			r.Match.Service = patterns(tb, fmt.Sprintf("demo.S%d", i))
		case 2:
			r.Match.Header, r.Match.Service, r.Retry = []Named{{"x-user", patterns(tb, "~.*7")}}, patterns(tb, fmt.Sprintf("demo.S%d", i), "demo.S"), &Retry{}
		case 3:
			r.Match.Service, r.Match.Not = patterns(tb, "demo.*"), []Condition{{Method: patterns(tb, "say", "tell")}}
		default:
			r.Match.Service = patterns(tb, fmt.Sprintf("demo.S%d", i))
		}
		list = append(list, r)
	}
	return New(list, nil)
}

// one is one header key.
type one struct {
	key   string
	value []byte
}

// Find returns its value.
func (o one) Find(key string) ([]byte, bool) { return o.value, key == o.key }

// BenchmarkRules: resolve is for a method of a source that a worker meets first; call is what each call costs.
func BenchmarkRules(b *testing.B) {
	src := &Source{Key: "k", Workload: "shop/cart", Namespace: "shop"}
	call := &Call{Version: []byte("1.0.0"), Caller: []byte("cart"), Header: one{"x-user", []byte("17")}}
	for _, n := range []int{0, 10, 500} {
		r := document(b, n)
		b.Run(fmt.Sprintf("resolve/%d", n), func(b *testing.B) {
			for b.Loop() {
				r.Resolve("demo.S", "say", src, nil)
			}
		})
		b.Run(fmt.Sprintf("call/%d", n), func(b *testing.B) {
			res := r.Resolve("demo.S", "say", src, nil)
			res.For(call)
			for b.Loop() {
				res.For(call).Count()
			}
		})
	}
}

// BenchmarkLimit is a call that passes a limit of both kinds.
func BenchmarkLimit(b *testing.B) {
	bucket := bucketOf(&Limit{Rate: 1e6, Burst: 1_000_000, Concurrency: 100})
	now := int64(0)
	for b.Loop() {
		now += int64(time.Microsecond)
		if bucket.Take(now) != 0 {
			b.Fatal("refused")
		}
		bucket.Release()
	}
}
