package daemonset

import (
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// quota is a limit of CPU time: part of every period. dir is the cgroup that sets it.
type quota struct {
	dir          string
	part, period float64 // µs
}

// CPULimit is how much CPU time the cgroup of this process may use, in CPUs; false when there is no limit. root and self are
// as for MemoryLimit.
//
//	v2: 0::/path         → ROOT/path/cpu.max "QUOTA PERIOD", and those of the parents
//	v1: N:…,cpu,…:/path  → ROOT/cpu/path/cpu.cfs_quota_us and cpu.cfs_period_us, and those of the parents
func CPULimit(root, self string) (float64, bool) {
	q := leastQuota(root, self)
	if q == nil {
		return 0, false
	}
	return q.part / q.period, true
}

// leastQuota is the strictest of the quotas that this process is under; nil: there is none.
func leastQuota(root, self string) (least *quota) {
	if root == "" {
		root = "/sys/fs/cgroup"
	}
	if self == "" {
		self = "/proc/self/cgroup"
	}
	for _, line := range strings.Split(readSmall(self), "\n") {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) != 3 {
			continue
		}
		var read func(dir string) (quota, period string)
		dir := root
		switch {
		case parts[0] == "0" && parts[1] == "":
			read = func(dir string) (quota, period string) {
				quota, period, _ = strings.Cut(strings.TrimSpace(readSmall(filepath.Join(dir, "cpu.max"))), " ")
				return quota, period
			}
		case strings.Contains(","+parts[1]+",", ",cpu,"):
			dir = filepath.Join(root, "cpu")
			read = func(dir string) (quota, period string) {
				return readSmall(filepath.Join(dir, "cpu.cfs_quota_us")), readSmall(filepath.Join(dir, "cpu.cfs_period_us"))
			}
		default:
			continue
		}
		for path := filepath.Join("/", parts[2]); ; path = filepath.Dir(path) {
			part, period := read(filepath.Join(dir, path))
			q, err := strconv.ParseFloat(strings.TrimSpace(part), 64)
			p, err2 := strconv.ParseFloat(strings.TrimSpace(period), 64)
			if err == nil && err2 == nil && q > 0 && p > 0 && (least == nil || q/p < least.part/least.period) {
				least = &quota{filepath.Join(dir, path), q, p}
			}
			if path == "/" {
				break
			}
		}
	}
	return least
}

// quotaEvery is how often a changed quota is found.
const quotaEvery = 5 * time.Second

// Throttle measures how much the quota of CPU time stops this process. The zero value is ready. Not safe for concurrent use.
type Throttle struct {
	root, self string // empty, but in tests
	quota      *quota
	found      time.Time
	at         time.Time
	stopped    float64 // periods in which the cgroup was stopped, until then
}

// Share is in how many of the periods since the last call all CPU time was used up and more was wanted, 0 to 1; 0 too for a first
// call, and without a quota. An idle cgroup counts no periods: they are told by the time.
func (t *Throttle) Share(now time.Time) float64 {
	if now.Sub(t.found) >= quotaEvery {
		q := leastQuota(t.root, t.self)
		if q == nil || t.quota == nil || q.dir != t.quota.dir {
			t.at = time.Time{}
		}
		t.quota, t.found = q, now
	}
	if t.quota == nil {
		return 0
	}
	stopped, ok := statOf(readSmall(filepath.Join(t.quota.dir, "cpu.stat")), "nr_throttled")
	if !ok {
		return 0
	}
	was, since := t.stopped, t.at
	t.stopped, t.at = stopped, now
	if since.IsZero() || !now.After(since) {
		return 0
	}
	return min(max(0, stopped-was)/max(1, float64(now.Sub(since).Microseconds())/t.quota.period), 1)
}

// statOf finds a number in a file of "NAME NUMBER" lines.
func statOf(text, name string) (float64, bool) {
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && key == name {
			n, err := strconv.ParseFloat(value, 64)
			return n, err == nil
		}
	}
	return 0, false
}
