package daemonset

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestThrottle: the share of periods in which the quota stopped us, of those that the time had room for; both versions of cgroups.
func TestThrottle(t *testing.T) {
	for _, v := range []struct{ name, self, dir, limit, period string }{
		{"v2", "0::/pod\n", "pod", "cpu.max", ""},
		{"v1", "3:cpu,cpuacct:/pod\n", "cpu/pod", "cpu.cfs_quota_us", "cpu.cfs_period_us"},
	} {
		t.Run(v.name, func(t *testing.T) {
			root := t.TempDir()
			dir := filepath.Join(root, v.dir)
			write := func(name, text string) {
				t.Helper()
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			self := filepath.Join(root, "self")
			if err := os.WriteFile(self, []byte(v.self), 0o600); err != nil {
				t.Fatal(err)
			}
			limit := func(quota string) {
				if v.period == "" {
					write(v.limit, quota+" 10000\n")
					return
				}
				write(v.limit, quota+"\n")
				write(v.period, "10000\n")
			}
			limit("5000")
			at := time.Unix(1000, 0)
			th := Throttle{root: root, self: self}
			for i, s := range []struct {
				after   time.Duration
				periods int
				want    float64
			}{
				{0, 100, 0}, // nothing to compare it with
				{100 * time.Millisecond, 100, 0},
				{100 * time.Millisecond, 105, 0.5},
				{100 * time.Millisecond, 106, 0.1}, // idle in between: the cgroup counts one period
				{100 * time.Millisecond, 120, 1},
				{time.Millisecond, 121, 1},
			} {
				at = at.Add(s.after)
				write("cpu.stat", fmt.Sprintf("nr_periods 200\nnr_throttled %d\nthrottled_time 1\n", s.periods))
				if got := th.Share(at); got < s.want-1e-9 || got > s.want+1e-9 {
					t.Errorf("look %d: %.3f, want %.3f", i, got, s.want)
				}
			}
			limit("-1")
			write("cpu.stat", "nr_throttled 200\n")
			at = at.Add(quotaEvery)
			if got := th.Share(at); got != 0 {
				t.Errorf("without a quota %.3f", got)
			}
		})
	}
	if got := (&Throttle{root: t.TempDir(), self: "/nowhere"}).Share(time.Now()); got != 0 {
		t.Errorf("without cgroups %.3f", got)
	}
}
