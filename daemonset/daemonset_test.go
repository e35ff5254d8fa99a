package daemonset

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestReadiness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		probes, result := 0, error(nil)
		r := NewReadiness(func(context.Context) error {
			probes++
			return result
		})
		ctx := t.Context()
		if err := r.Check(ctx); !errors.Is(err, errStarting) || probes != 0 {
			t.Errorf("before the start: %v, %d probes", err, probes)
		}
		r.Started()
		for range 10 {
			if err := r.Check(ctx); err != nil {
				t.Error(err)
			}
		}
		if probes != 1 {
			t.Errorf("%d probes at once", probes)
		}
		result = errors.New("no answer")
		time.Sleep(probeEvery)
		if err := r.Check(ctx); !errors.Is(err, result) || !strings.Contains(err.Error(), "a call through the data path failed") {
			t.Errorf("got %v", err)
		}
		r.Closing()
		if err := r.Check(ctx); !errors.Is(err, errClosing) {
			t.Errorf("while closing: %v", err)
		}
	})
}

// TestReadinessIsBounded: a probe that hangs is given up.
func TestReadinessIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewReadiness(func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		r.Started()
		start := time.Now()
		if err := r.Check(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took != probeTimeout {
			t.Errorf("it took %v", took)
		}
	})
}

func TestMemoryLimit(t *testing.T) {
	for _, c := range []struct {
		name, self string
		files      map[string]string
		want       int64
	}{
		{"v2", "0::/kubepods/pod1/c1\n", map[string]string{"kubepods/memory.max": "max\n", "kubepods/pod1/memory.max": "1000\n", "kubepods/pod1/c1/memory.max": "2000\n"}, 1000},
		{"v2, namespaced", "0::/\n", map[string]string{"memory.max": "4096\n"}, 4096},
		{"v2, none", "0::/a\n", map[string]string{"a/memory.max": "max\n"}, 0},
		{"v1", "5:memory:/docker/c1\n4:cpu,cpuacct:/x\n", map[string]string{"memory/docker/c1/memory.limit_in_bytes": "5000\n", "cpu/x/memory.limit_in_bytes": "1"}, 5000},
		{"v1, none", "5:memory:/\n", map[string]string{"memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
		{"hybrid", "5:cpuset,memory:/a\n0::/a\n", map[string]string{"memory/a/memory.limit_in_bytes": "700\n", "a/memory.max": "800\n"}, 700},
		{"garbage", "x\n0::/a\n::\n", map[string]string{"a/memory.max": "-5\n"}, 0},
		{"out of the root", "0::/../../a\n", map[string]string{"a/memory.max": "900\n"}, 900},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			self := filepath.Join(dir, "self")
			write(t, self, c.self)
			for name, content := range c.files {
				write(t, filepath.Join(dir, "root", name), content)
			}
			got, ok := MemoryLimit(filepath.Join(dir, "root"), self)
			if ok != (c.want > 0) || ok && got != c.want {
				t.Errorf("%d, %t; want %d", got, ok, c.want)
			}
		})
	}
	if _, ok := MemoryLimit("/nowhere", "/nowhere"); ok {
		t.Error("a limit without any file")
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestListenAdmin(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", "[::]:0", "192.0.2.1:0", "localhost:0", "nonsense", ""} {
		if l, err := ListenAdmin(addr); err == nil {
			l.Close()
			t.Errorf("%q: it listens", addr)
		}
	}
	l, err := ListenAdmin("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	path := filepath.Join(t.TempDir(), "a.sock")
	for range 2 { // the second takes the path over
		l, err := ListenAdmin("unix:" + path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		l.Close()
	}
	if left, err := filepath.Glob(filepath.Dir(path) + "/*.new"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
	if _, err := ListenAdmin("unix:" + filepath.Join(t.TempDir(), "none", "a.sock")); err == nil {
		t.Error("it listens in a directory that is not there")
	}
}
