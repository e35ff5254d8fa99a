package identity

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func pidfdOf(t *testing.T, pid int) int {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil || fs.Type != unix.PID_FS_MAGIC {
		t.Skip("this kernel does not give each process an inode: nothing is remembered here")
	}
	return fd
}

func say(t *testing.T, proc string, pid int, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(proc, strconv.Itoa(pid), "cgroup"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func sleeper(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// A process that moves to another cgroup is believed to be where it was for as long as fresh, and no longer.
func TestRememberedForAMoment(t *testing.T) {
	pid := os.Getpid()
	fd := pidfdOf(t, pid)
	dir := proc(t, pid, "0::/system.slice/old.service\n")
	now := time.Unix(1000, 0)
	id := &Identifier{Proc: dir, now: func() time.Time { return now }}
	want := func(when, key string) {
		t.Helper()
		if got := id.fromCred(int32(pid), 7, fd); got.Key != key {
			t.Errorf("%s: %s, want %s", when, got.Key, key)
		}
	}
	want("at first", "old.service")
	say(t, dir, pid, "0::/system.slice/new.service\n")
	now = now.Add(fresh - 1)
	want("within the moment", "old.service")
	now = now.Add(1)
	want("after it", "new.service")
	say(t, dir, pid, "0::/\n")
	now = now.Add(fresh)
	want("a cgroup that names nobody", "uid:7")
	if got := id.fromCred(int32(pid), 8, fd); got.Key != "uid:8" {
		t.Errorf("the user was remembered: %s", got.Key)
	}
}

// A pid that another process has now is another key: nothing of the old one is given to the new one, nor the reverse.
func TestPidOfAnother(t *testing.T) {
	a, b := sleeper(t), sleeper(t)
	pid := a.Process.Pid // both claim it
	first, second := pidfdOf(t, pid), pidfdOf(t, b.Process.Pid)
	dir := proc(t, pid, "0::/system.slice/a.service\n")
	now := time.Unix(1000, 0)
	id := &Identifier{Proc: dir, now: func() time.Time { return now }}
	if got := id.fromCred(int32(pid), 7, first); got.Key != "a.service" {
		t.Fatalf("a is %s", got.Key)
	}
	say(t, dir, pid, "0::/system.slice/b.service\n")
	if got := id.fromCred(int32(pid), 7, second); got.Key != "b.service" {
		t.Errorf("b is %s", got.Key)
	}
	if err := a.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = a.Wait()
	if got := id.fromCred(int32(pid), 7, first); got.Key != "a.service" {
		t.Errorf("a, which was seen a moment ago and has ended, is %s", got.Key)
	}
	now = now.Add(fresh)
	if got := id.fromCred(int32(pid), 7, first); got.Key != "uid:7" {
		t.Errorf("a, ended long ago, is %s", got.Key)
	}
}

func TestRememberIsBounded(t *testing.T) {
	var r remember
	now := time.Unix(1000, 0)
	for i := range maxRemembered {
		r.put(process{1, uint64(i)}, unit("old.service"), now)
	}
	now = now.Add(fresh)
	r.put(process{2, 0}, unit("a.service"), now)
	if n := len(r.known); n != 1 {
		t.Errorf("%d are kept: what is old did not go", n)
	}
	for i := range 3 * maxRemembered {
		r.put(process{3, uint64(i)}, unit("b.service"), now)
		if len(r.known) > maxRemembered {
			t.Fatalf("%d are kept", len(r.known))
		}
	}
	last := process{3, 3*maxRemembered - 1}
	if s, ok := r.get(last, now); !ok || s.Key != "b.service" {
		t.Errorf("the last one is %v, %t", s, ok)
	}
}

func TestNothingIsRememberedWithoutPidfs(t *testing.T) {
	f, err := os.Open(t.TempDir()) // a descriptor that is not of pidfs
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r remember
	if p, ok := r.identify(1, int(f.Fd())); ok {
		t.Errorf("%+v", p)
	}
	if _, ok := r.identify(1, -1); ok {
		t.Error("without a pidfd")
	}
}

func BenchmarkFromUnix(b *testing.B) {
	conn := pair(b)
	for name, step := range map[string]time.Duration{"remembered": 0, "read": fresh} {
		b.Run(name, func(b *testing.B) {
			now := time.Unix(1000, 0)
			id := &Identifier{now: func() time.Time { now = now.Add(step); return now }}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := id.FromUnix(conn); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
