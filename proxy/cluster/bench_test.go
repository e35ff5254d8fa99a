package cluster

import (
	"fmt"
	"testing"
)

// BenchmarkPick is one choice among n endpoints of one tier. It is to cost about the same from 32 endpoints on.
func BenchmarkPick(b *testing.B) {
	for _, balancer := range []string{"least-active", "round-robin", "random", "p2c"} {
		for _, weights := range []string{"equal", "mixed"} {
			for _, n := range []int{1, 10, 200, 20_000} {
				b.Run(fmt.Sprintf("%s/%s/%d", balancer, weights, n), func(b *testing.B) {
					w := make([]int, n)
					for i := range w {
						if w[i] = 100; weights == "mixed" {
							w[i] += i % 3
						}
					}
					c, r := compile(b, service(balancer, w...), Locality{}), rnd()
					b.ReportAllocs()
					for b.Loop() {
						if c.Pick(0, 0, r, nil) == nil {
							b.Fatal("none")
						}
					}
				})
			}
		}
	}
}
