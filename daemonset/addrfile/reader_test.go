package addrfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// bench is a reader on a clock and a file that the test moves by hand.
type bench struct {
	t    *testing.T
	path string
	mono time.Duration
	wall time.Time
	r    *Reader
}

func newBench(t *testing.T) *bench {
	return &bench{t: t, path: filepath.Join(pub(t), Name), mono: time.Hour, wall: time.Unix(1_000_000, 0)}
}

func (b *bench) start() *bench {
	b.r = NewReader(b.path, Clock{
		Mono: func() time.Duration { return b.mono },
		Wall: func() time.Time { return b.wall },
	})
	return b
}

// pass lets time go by on both clocks.
func (b *bench) pass(d time.Duration) *bench {
	b.mono += d
	b.wall = b.wall.Add(d)
	return b
}

// put replaces the file as a proxy does: a new inode.
func (b *bench) put(content string) *bench {
	b.t.Helper()
	if err := os.WriteFile(b.path+".new", []byte(content), 0o644); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Rename(b.path+".new", b.path); err != nil {
		b.t.Fatal(err)
	}
	return b.touch(0)
}

// touch sets the mtime as seen from the wall clock.
func (b *bench) touch(ahead time.Duration) *bench {
	b.t.Helper()
	if err := os.Chtimes(b.path, b.wall.Add(ahead), b.wall.Add(ahead)); err != nil {
		b.t.Fatal(err)
	}
	return b
}

func (b *bench) want(what string, generation int64, stale bool) {
	b.t.Helper()
	b.r.Poll()
	v := b.r.View()
	if v.File == nil {
		b.t.Fatalf("%s: no file (%v)", what, v.Err)
	}
	if v.File.Generation != generation || v.Stale != stale {
		b.t.Errorf("%s: generation %d stale %v, want %d %v", what, v.File.Generation, v.Stale, generation, stale)
	}
}

func content(generation int64) string {
	return fmt.Sprintf(`{"version":1,"instance":"i","generation":%d,"state":"serving","lease_ms":3000}`, generation)
}

func TestLease(t *testing.T) {
	b := newBench(t).put(content(1)).start()
	b.want("at first", 1, false)
	b.pass(3*time.Second).want("at the end of the lease", 1, false)
	b.pass(time.Millisecond).want("after it", 1, true)
	b.touch(0).want("touched again", 1, false)
	b.pass(2*time.Second).put(content(2)).want("rewritten", 2, false)
	b.pass(2*time.Second).want("counted from the rewrite", 2, false)
}

func TestLeaseAtTheFirstLook(t *testing.T) {
	for _, c := range []struct {
		mtime time.Duration // from now
		stale bool
	}{
		{-2 * time.Second, false},
		{-4 * time.Second, true},
		{-time.Hour, true},
		{2 * time.Second, false},
		{4 * time.Second, true},
		{time.Hour, true},
	} {
		b := newBench(t).put(content(1)).touch(c.mtime).start()
		b.want(fmt.Sprintf("mtime %v from now", c.mtime), 1, c.stale)
		b.touch(c.mtime+time.Millisecond).want("after any change", 1, false)
	}
}

func TestFirstLookCountsTheAge(t *testing.T) {
	b := newBench(t).put(content(1)).touch(-2 * time.Second).start()
	b.pass(999*time.Millisecond).want("2.999 s after the touch", 1, false)
	b.pass(2*time.Millisecond).want("3.001 s after the touch", 1, true)
}

func TestWallClockStepsDoNotMatter(t *testing.T) {
	for _, step := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		b := newBench(t).put(content(1)).start()
		b.wall = b.wall.Add(step)
		b.want(fmt.Sprintf("right after a step of %v", step), 1, false)
		b.pass(time.Second).touch(0).want("touched with the stepped clock", 1, false)
		b.pass(4*time.Second).want("and not touched any more", 1, true)
	}
}

func TestReaderThatStoodStill(t *testing.T) {
	b := newBench(t).put(content(1)).start()
	b.pass(time.Minute).touch(-time.Second)
	if v := b.r.View(); v.Stale { // no Poll: the process was stopped
		t.Error("a live file is stale because its reader was stopped")
	}
}

func TestLastGoodIsKept(t *testing.T) {
	b := newBench(t).put(content(1)).start()
	for _, bad := range []string{"", "{", `{"version":1}`, content(2)[:30]} {
		b.put(bad).want("corrupt", 1, false)
		if v := b.r.View(); v.Err == nil {
			t.Errorf("content %q: no error", bad)
		}
	}
	b.put(content(3)).want("good again", 3, false)
	if v := b.r.View(); v.Err != nil {
		t.Error(v.Err)
	}
	if err := os.Remove(b.path); err != nil {
		t.Fatal(err)
	}
	b.want("removed", 3, false)
	if v := b.r.View(); !errors.Is(v.Err, fs.ErrNotExist) || v.Missing() {
		t.Errorf("removed: %v, missing %v", v.Err, v.Missing())
	}
	b.pass(4*time.Second).want("and not written again", 3, true)
	b.put(content(4)).want("written again", 4, false)
}

func TestMissing(t *testing.T) {
	b := newBench(t).start()
	if v := b.r.View(); !v.Missing() || v.File != nil {
		t.Errorf("%+v", v)
	}
	if b.r.Poll() {
		t.Error("still missing counts as a change")
	}
	b.put(content(1)).want("appeared", 1, false)
}

func TestCorruptFromTheStart(t *testing.T) {
	b := newBench(t).put("{").start()
	if v := b.r.View(); v.File != nil || v.Err == nil || v.Missing() {
		t.Errorf("%+v", v)
	}
}

func TestNotAFile(t *testing.T) {
	b := newBench(t)
	if err := os.Mkdir(b.path, 0o755); err != nil {
		t.Fatal(err)
	}
	if v := b.start().r.View(); v.Err == nil || v.File != nil {
		t.Errorf("a directory: %+v", v)
	}
}

func TestMove(t *testing.T) {
	moved := `{"version":1,"instance":"i","generation":1,"state":"serving","move":[{"key":"a","ttl_ms":2000}]}`
	b := newBench(t).put(moved).start()
	b.pass(1999 * time.Millisecond)
	if v := b.r.View(); !v.Moved("a") || v.Moved("b") || v.Moved("") {
		t.Error("within its time: want a moved, and nobody else")
	}
	if b.pass(time.Millisecond).r.View().Moved("a") {
		t.Error("moved after its time to live")
	}
}

// follow fails the test unless the watcher comes to the generation.
func follow(t *testing.T, w *Watcher, generation int64) {
	t.Helper()
	limit := time.After(10 * time.Second)
	for {
		if v := w.View(); v.File != nil && v.File.Generation == generation {
			return
		}
		select {
		case <-w.Changed():
		case <-limit:
			t.Fatalf("generation %d was not seen: %+v", generation, w.View())
		}
	}
}

func TestWatcher(t *testing.T) {
	defer goleak.VerifyNone(t)
	for name, o := range map[string]WatchOptions{
		"inotify":    {Interval: time.Hour},
		"no inotify": {Interval: 5 * time.Millisecond, NoInotify: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			w := Watch(b.path, o)
			defer w.Close()
			if !w.View().Missing() {
				t.Error("not missing")
			}
			for g := int64(1); g < 4; g++ {
				b.put(content(g))
				follow(t, w, g)
			}
		})
	}
}

func TestWatcherFollowsAReplacedDirectory(t *testing.T) {
	defer goleak.VerifyNone(t)
	b := newBench(t).put(content(1))
	// The hour says that inotify alone sees it.
	w := Watch(b.path, WatchOptions{Interval: time.Hour})
	defer w.Close()
	follow(t, w, 1)
	dir := filepath.Dir(b.path)
	fresh := dir + ".fresh"
	if err := os.Mkdir(fresh, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(fresh, Name), []byte(content(2)), 0o644); err != nil {
		t.Fatal(err)
	}
	// Exchanged in one step, so that the event of the old directory finds the new one.
	if err := unix.Renameat2(unix.AT_FDCWD, fresh, unix.AT_FDCWD, dir, unix.RENAME_EXCHANGE); err != nil {
		t.Fatal(err)
	}
	follow(t, w, 2)
	b.put(content(3))
	follow(t, w, 3)
}

func TestWatcherWaitsForTheDirectory(t *testing.T) {
	defer goleak.VerifyNone(t)
	path := filepath.Join(t.TempDir(), "later", Name)
	w := Watch(path, WatchOptions{Interval: 5 * time.Millisecond})
	defer w.Close()
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, path: path, wall: time.Now()}
	b.put(content(1))
	follow(t, w, 1)
}

func TestWriterAndWatcher(t *testing.T) {
	dir := pub(t)
	w := Watch(filepath.Join(dir, Name), WatchOptions{Interval: time.Hour})
	defer w.Close()
	out := writer(t, dir, WriterOptions{})
	for range 3 {
		follow(t, w, write(t, out, serving).Generation)
	}
}
