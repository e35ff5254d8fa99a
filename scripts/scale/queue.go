package main

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
)

// job is work that comes to a server at a time, both in seconds. One core does it.
type job struct{ at, work float64 }

// free are the times at which cores are free, the earliest first.
type free []float64

func (f free) Len() int           { return len(f) }
func (f free) Less(i, j int) bool { return f[i] < f[j] }
func (f free) Swap(i, j int)      { f[i], f[j] = f[j], f[i] }

// Push is for container/heap; nothing is ever pushed.
func (f *free) Push(x any) { *f = append(*f, x.(float64)) }

// Pop is for container/heap; nothing is ever popped.
func (f *free) Pop() any { return nil }

// serve runs jobs in the order in which they come on the cores of one server, and returns when each was done, in order.
func serve(jobs []job, cores int) []float64 {
	slices.SortFunc(jobs, func(a, b job) int {
		switch {
		case a.at < b.at:
			return -1
		case a.at > b.at:
			return 1
		}
		return 0
	})
	f := make(free, cores)
	done := make([]float64, len(jobs))
	for i, j := range jobs {
		done[i] = max(j.at, f[0]) + j.work
		f[0] = done[i]
		heap.Fix(&f, 0)
	}
	slices.Sort(done)
	return done
}

// popularity draws what each host uses: PerHost different services by Zipf's law. It returns how many hosts use each.
func popularity(p plan, hosts int) []int {
	r := rand.New(rand.NewPCG(seed, uint64(hosts)))
	upTo, sum := make([]float64, p.Services), 0.0
	for i := range upTo {
		sum += 1 / float64(i+1)
		upTo[i] = sum
	}
	users := make([]int, p.Services)
	last := make([]int, p.Services) // the host that drew it last, from 1
	for h := 1; h <= hosts; h++ {
		for n := 0; n < min(p.PerHost, p.Services); {
			s := sort.SearchFloat64s(upTo, r.Float64()*sum)
			if s < p.Services && last[s] != h {
				last[s], n = h, n+1
				users[s]++
			}
		}
	}
	return users
}

// spread are n jobs that come within so many seconds by chance.
func spread(n int, within, work float64) []job {
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	jobs := make([]job, n)
	for i := range jobs {
		jobs[i] = job{r.Float64() * within, work}
	}
	return jobs
}

// share is how many of n one of k has at most.
func share(n, k int) int { return int(math.Ceil(float64(n) / float64(k))) }
