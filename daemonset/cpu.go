package daemonset

import (
	"path/filepath"
	"strconv"
	"strings"
)

// CPULimit is how much CPU time the cgroup of this process may use, in CPUs; false when there is no limit. root and self are
// as for MemoryLimit.
//
//	v2: 0::/path         → ROOT/path/cpu.max "QUOTA PERIOD", and those of the parents
//	v1: N:…,cpu,…:/path  → ROOT/cpu/path/cpu.cfs_quota_us and cpu.cfs_period_us, and those of the parents
func CPULimit(root, self string) (float64, bool) {
	if root == "" {
		root = "/sys/fs/cgroup"
	}
	if self == "" {
		self = "/proc/self/cgroup"
	}
	least := 0.0
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
			quota, period := read(filepath.Join(dir, path))
			q, err := strconv.ParseFloat(strings.TrimSpace(quota), 64)
			p, err2 := strconv.ParseFloat(strings.TrimSpace(period), 64)
			if err == nil && err2 == nil && q > 0 && p > 0 && (least == 0 || q/p < least) {
				least = q / p
			}
			if path == "/" {
				break
			}
		}
	}
	return least, least > 0
}
