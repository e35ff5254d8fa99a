package governed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The cores: proxies have one, everything else has the other.
const (
	ProxyCore = 0
	OtherCore = 1
	// Spare is the least share of the other core that must have been idle for a run to count.
	Spare = 0.2
)

// pinSelf keeps this process, and what it starts from now on, on the other core.
func pinSelf() error {
	var set unix.CPUSet
	set.Set(OtherCore)
	tasks, err := os.ReadDir("/proc/self/task")
	for _, t := range tasks {
		id, _ := strconv.Atoi(t.Name())
		err = errors.Join(err, unix.SchedSetaffinity(id, &set))
	}
	return err
}

// pinned is how a program is started on a core.
func pinned(core int, argv ...string) []string {
	return append([]string{"taskset", "-c", strconv.Itoa(core)}, argv...)
}

// clock reads the CPU time of a process with all its threads; 0 when it is gone.
func clock(pid int) time.Duration {
	const sched = 2 // the kernel's CPUCLOCK_SCHED, see clock_getcpuclockid(3)
	var ts unix.Timespec
	if unix.ClockGettime(int32(^pid<<3|sched), &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// coreTimes is a line of /proc/stat, in ticks.
type coreTimes struct{ idle, steal, total float64 }

// readCore reads what a core has done since the machine began.
func readCore(core int) (t coreTimes, err error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return t, err
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 9 || f[0] != "cpu"+strconv.Itoa(core) {
			continue
		}
		for i, word := range f[1:9] {
			v, _ := strconv.ParseFloat(word, 64)
			t.total += v
			switch i {
			case 3, 4: // idle, waiting for a disk
				t.idle += v
			case 7:
				t.steal = v
			}
		}
		return t, nil
	}
	return t, fmt.Errorf("/proc/stat names no core %d", core)
}

// quota is a cgroup with a bound on CPU time.
type quota struct{ dir string }

// period of a quota. A quarter of what the kernel's default makes of it: with 20 % a proxy that has spent its part waits at most
// 4 ms for the next, which is in every latency of a run with a quota. The kernel takes no part below 1 ms.
const period = 5 * time.Millisecond

// newQuota bounds processes to a share of a core.
func newQuota(name string, share float64) (*quota, error) {
	q := &quota{dir: filepath.Join("/sys/fs/cgroup/cpu", name)}
	every, part := period, time.Duration(share*float64(period))
	if part < time.Millisecond {
		every, part = time.Duration(float64(time.Millisecond)/share), time.Millisecond
	}
	err := os.Mkdir(q.dir, 0o755)
	if os.IsExist(err) {
		err = nil
	}
	for file, n := range map[string]int64{
		"cpu.cfs_period_us": every.Microseconds(), "cpu.cfs_quota_us": part.Microseconds(),
		"cpu.shares": 1 << 18, // its part is its own, whatever else the core does
	} {
		if err == nil {
			err = os.WriteFile(filepath.Join(q.dir, file), []byte(strconv.FormatInt(n, 10)), 0o600)
		}
	}
	if err != nil {
		err = fmt.Errorf("a CPU quota needs root and a cgroup v1 hierarchy of the cpu controller: %w", err)
	}
	return q, err
}

// prefix starts a program on a core and within the quota from its first instruction on: what it finds out about its CPU at its
// start is then true. A nil quota is none.
func (q *quota) prefix(core int) []string {
	if q == nil {
		return pinned(core)
	}
	return append([]string{"/bin/sh", "-c", `echo $$ >"$0" && exec "$@"`, filepath.Join(q.dir, "cgroup.procs")}, pinned(core)...)
}

// remove is for when its processes have ended.
func (q *quota) remove() {
	for range 100 {
		if err := os.Remove(q.dir); err == nil || os.IsNotExist(err) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// throttled is how long the processes of the quota have waited for the next period.
func (q *quota) throttled() time.Duration {
	if q == nil {
		return 0
	}
	b, _ := os.ReadFile(filepath.Join(q.dir, "cpu.stat"))
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "throttled_time" {
			ns, _ := strconv.ParseInt(f[1], 10, 64)
			return time.Duration(ns)
		}
	}
	return 0
}

// dropUnits removes the units that loads have made.
func dropUnits(units []string) {
	for _, u := range units {
		for _, root := range []string{"/sys/fs/cgroup/systemd", "/sys/fs/cgroup"} {
			_ = os.Remove(filepath.Join(root, "system.slice", u))
		}
	}
}
