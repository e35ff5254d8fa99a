package daemonset

import (
	"math"
	"runtime/debug"
	"runtime/metrics"

	"golang.org/x/sys/unix"
)

// MemoryShare returns a function that measures how much of the process's memory limit is in use: GOMEMLIMIT or, where that says
// nothing, the cgroup's; nil when there is neither. What is in use is what a collection could not free: near its limit
// Go's heap grows up to it whatever is alive. The function is for one goroutine.
func MemoryShare() func() float64 {
	limit := debug.SetMemoryLimit(-1) // asks only
	if limit == math.MaxInt64 {
		l, ok := MemoryLimit("", "")
		if !ok {
			return nil
		}
		limit = l
	}
	read := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
		{Name: "/gc/heap/live:bytes"},
	}
	return func() float64 {
		metrics.Read(read)
		n := func(i int) float64 {
			if read[i].Value.Kind() != metrics.KindUint64 {
				return 0
			}
			return float64(read[i].Value.Uint64())
		}
		return (n(0) - n(1) - n(2) - n(3) - n(4) + n(5)) / float64(limit)
	}
}

// FileLimit is how many descriptors this process may have open; 0: it is not known.
func FileLimit() float64 {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil || l.Cur > 1<<40 {
		return 0
	}
	return float64(l.Cur)
}
