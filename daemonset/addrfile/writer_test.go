package addrfile

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var serving = File{
	State:  Serving,
	Local:  []Addr{{Unix, "call.sock"}},
	Remote: []Addr{{TCP, "192.0.2.1:9100"}},
}

func pub(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "pub")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func writer(t *testing.T, dir string, o WriterOptions) *Writer {
	t.Helper()
	w, err := OpenWriter(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func write(t *testing.T, w *Writer, f File) File {
	t.Helper()
	out, err := w.Write(f)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func onDisk(t *testing.T, dir string) *File {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, Name))
	if err != nil {
		t.Fatal(err)
	}
	f, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestWrite(t *testing.T) {
	dir := pub(t)
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	w := writer(t, dir, WriterOptions{Lease: time.Second})
	out := write(t, w, serving)
	got := onDisk(t, dir)
	if got.Instance != w.Instance() || got.Generation != out.Generation || got.LeaseMS != 1000 || got.Local[0] != serving.Local[0] {
		t.Errorf("on disk %+v, written %+v", got, out)
	}
	st, err := os.Stat(filepath.Join(dir, Name))
	if err != nil || st.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v, want 0644: guests of any user read it", st.Mode(), err)
	}
}

func TestGenerationGrowsWhateverTheClockDoes(t *testing.T) {
	dir := pub(t)
	now := time.UnixMilli(5000)
	clock := func() time.Time { return now }
	w := writer(t, dir, WriterOptions{Now: clock})
	steps := []struct{ ms, want int64 }{{5000, 5000}, {5000, 5001}, {9000, 9000}, {100, 9001}}
	for _, s := range steps {
		now = time.UnixMilli(s.ms)
		if got := write(t, w, serving).Generation; got != s.want {
			t.Errorf("at %d ms: generation %d, want %d", s.ms, got, s.want)
		}
	}
	// Across a restart, with a clock that went back; and beside another writer.
	again := writer(t, dir, WriterOptions{Now: clock})
	if got := write(t, again, serving).Generation; got != 9002 {
		t.Errorf("after a restart: %d, want 9002", got)
	}
	if got := write(t, w, serving).Generation; got != 9003 {
		t.Errorf("beside another writer: %d, want 9003", got)
	}
	if err := os.WriteFile(filepath.Join(dir, Name), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := write(t, w, serving).Generation; got != 9004 {
		t.Errorf("over a corrupt file: %d, want 9004", got)
	}
}

func TestWriteRefusesWhatReadersWould(t *testing.T) {
	dir := pub(t)
	w := writer(t, dir, WriterOptions{})
	first := write(t, w, serving)
	big := serving
	for range 3000 {
		big.Move = append(big.Move, Move{"a-source-key-of-some-length", 30000})
	}
	for want, f := range map[string]File{
		"state":     {State: "happy"},
		"remote[0]": {State: Serving, Remote: []Addr{{TCP, "nowhere"}}},
		"at most":   big,
	} {
		if _, err := w.Write(f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	if got := onDisk(t, dir); got.Generation != first.Generation {
		t.Error("a refused write replaced the file")
	}
}

func TestOpenWriterRefusesDirectories(t *testing.T) {
	open := pub(t)
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(pub(t), link); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{open: "writable by others (mode 0777)", link: "open directory", "/nonexistent/pub": "open directory"} {
		if w, err := OpenWriter(dir, WriterOptions{}); err == nil {
			w.Close()
			t.Errorf("%s accepted", dir)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
}

func TestTouchRenewsOnlyItsOwnFile(t *testing.T) {
	dir := pub(t)
	a, b := writer(t, dir, WriterOptions{}), writer(t, dir, WriterOptions{})
	if err := a.Touch(); err == nil {
		t.Error("touched before the first write")
	}
	write(t, a, serving)
	path := filepath.Join(dir, Name)
	past := time.Now().Add(-time.Hour)
	age := func() time.Duration {
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return time.Since(st.ModTime())
	}
	if err := os.Chtimes(path, past, past); err != nil {
		t.Fatal(err)
	}
	if err := a.Touch(); err != nil || age() > time.Minute {
		t.Errorf("after a touch the file is %v old (%v)", age(), err)
	}
	write(t, b, serving)
	if err := os.Chtimes(path, past, past); err != nil {
		t.Fatal(err)
	}
	if err := a.Touch(); err != nil || age() < time.Minute {
		t.Errorf("the touch of a process that was replaced renewed the other's lease (%v old, %v)", age(), err)
	}
}

func TestRenamedDirectoryIsStillServed(t *testing.T) {
	dir := pub(t)
	w := writer(t, dir, WriterOptions{})
	write(t, w, serving)
	if err := os.Rename(dir, dir+"2"); err != nil {
		t.Fatal(err)
	}
	f := serving
	f.State = Down
	write(t, w, f)
	if got := onDisk(t, dir+"2"); got.State != Down {
		t.Errorf("state %s, want down", got.State)
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	dir := pub(t)
	for _, name := range []string{tempPrefix + "crashed", sparePrefix + "crashed", "call.sock"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w, err := OpenWriter(dir, WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	beside := writer(t, dir, WriterOptions{}) // its clean-up must leave w's spares alone
	if len(w.spare) != spares || len(beside.spare) != spares {
		t.Fatalf("%d and %d spares", len(w.spare), len(beside.spare))
	}
	for _, s := range w.spare {
		if _, err := os.Stat(filepath.Join(dir, s.name)); err != nil {
			t.Errorf("the reserved space of a live process was removed: %v", err)
		}
	}
	write(t, w, serving)
	beside.Close()
	w.Close()
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range left {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != "address call.sock" {
		t.Errorf("left in the directory: %s", got)
	}
}

// TestFullDisk fills a small file system of its own, so it needs the right to mount one.
func TestFullDisk(t *testing.T) {
	dir := pub(t)
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=512k,mode=0755"); err != nil {
		t.Skipf("needs the right to mount a tmpfs: %v", err)
	}
	defer func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }()
	w := writer(t, dir, WriterOptions{})
	first := write(t, w, serving)

	hog, err := os.Create(filepath.Join(dir, "hog"))
	if err != nil {
		t.Fatal(err)
	}
	defer hog.Close()
	for err == nil {
		_, err = hog.Write(make([]byte, 4096))
	}
	if !isFull(err) {
		t.Fatalf("filling the disk: %v", err)
	}

	if _, err := w.Write(serving); !isFull(err) {
		t.Errorf("serving on a full disk: %v; it must not use up what is reserved for the farewell", err)
	}
	if got := onDisk(t, dir); got.Generation != first.Generation {
		t.Error("the failed write replaced the file")
	}
	for _, s := range []State{Draining, Down} {
		f := serving
		f.State = s
		// Whatever the last write gave back, the disk is full again.
		for err := error(nil); err == nil; {
			_, err = hog.Write(make([]byte, 4096))
		}
		write(t, w, f)
		if got := onDisk(t, dir); got.State != s {
			t.Errorf("state %s, want %s", got.State, s)
		}
	}
}

func TestConcurrentWritesEachWhole(t *testing.T) {
	dir := pub(t)
	w := writer(t, dir, WriterOptions{})
	write(t, w, serving)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				if _, err := w.Write(serving); err != nil {
					t.Error(err)
				}
				if err := w.Touch(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 50 {
		onDisk(t, dir) // fails on a torn file
	}
	wg.Wait()
}
