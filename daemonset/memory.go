package daemonset

import (
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// MemoryLimit is the memory limit of the cgroup that this process is in, in bytes; false when there is none. root is
// where the cgroup file system is (/sys/fs/cgroup when empty), self the process's own list of cgroups (/proc/self/cgroup
// when empty). In a container both usually show the container's own cgroup as the root.
//
//	v2: 0::/path            → ROOT/path/memory.max, and those of the parents
//	v1: N:…,memory,…:/path  → ROOT/memory/path/memory.limit_in_bytes, and those of the parents
func MemoryLimit(root, self string) (int64, bool) {
	if root == "" {
		root = "/sys/fs/cgroup"
	}
	if self == "" {
		self = "/proc/self/cgroup"
	}
	least := int64(math.MaxInt64)
	for _, line := range strings.Split(readSmall(self), "\n") {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) != 3 {
			continue
		}
		dir, name := "", ""
		switch {
		case parts[0] == "0" && parts[1] == "":
			dir, name = root, "memory.max"
		case strings.Contains(","+parts[1]+",", ",memory,"):
			dir, name = filepath.Join(root, "memory"), "memory.limit_in_bytes"
		default:
			continue
		}
		for path := filepath.Join("/", parts[2]); ; path = filepath.Dir(path) {
			n, err := strconv.ParseInt(strings.TrimSpace(readSmall(filepath.Join(dir, path, name))), 10, 64)
			if err == nil && n > 0 {
				least = min(least, n)
			}
			if path == "/" {
				break
			}
		}
	}
	const unlimited = int64(1) << 60 // v1 says "none" with the largest page-aligned number
	return least, least < unlimited
}

// readSmall reads a small file of the kernel's; what can't be read says nothing.
func readSmall(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return ""
	}
	return string(b)
}
