package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bellhop-mesh/bellhop/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds a wait that is expected to end at once; it is not a pause.
const patience = 20 * time.Second

// running is a source under test with everything that it said.
type running struct {
	t         *testing.T
	src       *Source
	published chan registry.Update
	log       *logBook
}

// logBook keeps the error records and tells of each.
type logBook struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	hits chan struct{}
}

func (l *logBook) Write(b []byte) (int, error) {
	l.mu.Lock()
	l.buf.Write(b)
	l.mu.Unlock()
	l.hits <- struct{}{}
	return len(b), nil
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// start runs a source whose poll is far away, so that only inotify can bring news, unless an option says otherwise.
func start(t *testing.T, path string, opts ...Option) *running {
	t.Helper()
	r := &running{t: t, published: make(chan registry.Update, 16), log: &logBook{hits: make(chan struct{}, 64)}}
	log := slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelError}))
	r.src = New(path, log, append([]Option{WithPoll(time.Hour)}, opts...)...)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.src.Run(ctx, func(u registry.Update) { r.published <- u }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run returned %v; it ends with nil", err)
		}
	})
	return r
}

// wants waits for the next published state and compares its services.
func (r *running) wants(services ...string) registry.Update {
	r.t.Helper()
	select {
	case u := <-r.published:
		if got := slices.Sorted(maps.Keys(u.Services)); !slices.Equal(got, services) {
			r.t.Fatalf("published the services %q; want %q", got, services)
		}
		return u
	case <-time.After(patience):
		r.t.Fatalf("nothing was published; want %q; log: %s", services, r.log)
	}
	return registry.Update{}
}

// wantsError waits for the next error record, which must hold all the parts.
func (r *running) wantsError(parts ...string) {
	r.t.Helper()
	select {
	case <-r.log.hits:
	case u := <-r.published:
		r.t.Fatalf("published %v; want an error in the log", u)
	case <-time.After(patience):
		r.t.Fatal("no error was logged")
	}
	for _, p := range parts {
		if !strings.Contains(r.log.String(), p) {
			r.t.Fatalf("the log lacks %q: %s", p, r.log)
		}
	}
}

func service(name string) string {
	return fmt.Sprintf("services:\n  %s:\n    endpoints: [127.0.0.1:9090]\n", name)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func replace(t *testing.T, path, text string) {
	t.Helper()
	write(t, path+".new", text)
	must(t, os.Rename(path+".new", path))
}

func TestFileIsFollowedThroughEveryKindOfEdit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.yaml")
	write(t, path, service("a"))
	r := start(t, path)
	r.wants("a")
	write(t, path, service("b")) // in place, as a shell's > does
	r.wants("b")
	replace(t, path, service("c")) // by rename, as deployment tools do
	r.wants("c")
	must(t, os.Rename(path, path+"~")) // by back-up, as editors do
	write(t, path, service("d"))
	r.wants("d")
	if s := r.src.Stats(); s.Reloads != 4 || s.LastError != "" {
		t.Errorf("stats are %+v; want 4 reloads and no error", s)
	}
}

func TestMissingFileIsReportedAndAwaited(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.yaml")
	r := start(t, path)
	r.wantsError(path, "does not exist")
	write(t, path, service("a"))
	r.wants("a")
}

func TestInvalidEditKeepsTheOldContent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.yaml")
	write(t, path, service("a"))
	r := start(t, path)
	r.wants("a")
	replace(t, path, "services:\n  a:\n    timeout: soon\n")
	r.wantsError("line=3", "key=services.a.timeout", "500ms")
	if s := r.src.Stats(); s.Errors != 1 || s.Reloads != 1 || !strings.Contains(s.LastError, path+":3: services.a.timeout") {
		t.Errorf("stats are %+v; want one reload and one error at line 3", s)
	}
	replace(t, path, "services:\n  a:\n    timeout: soon\n") // the same bytes in another file: nothing new to say
	replace(t, path, service("b"))
	r.wants("b")
	if s := r.src.Stats(); s.Errors != 1 || s.LastError != "" {
		t.Errorf("stats are %+v; want the one error of before, and none now", s)
	}
}

func TestFolderFollowsItsFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.yaml"), service("a"))
	write(t, filepath.Join(dir, "notes.txt"), "not ours")
	write(t, filepath.Join(dir, ".hidden.yaml"), "not: ours")
	r := start(t, dir)
	r.wants("a")
	write(t, filepath.Join(dir, "b.yml"), service("b"))
	r.wants("a", "b")
	must(t, os.Remove(filepath.Join(dir, "a.yaml")))
	r.wants("b")
	write(t, filepath.Join(dir, "c.yaml"), service("b"))
	r.wantsError("c.yaml", "line=2", "b.yml:2", "defined a second time")
	must(t, os.Remove(filepath.Join(dir, "b.yml")))
	r.wants("b")
	must(t, os.Remove(filepath.Join(dir, "c.yaml")))
	r.wants()
}

// Kubernetes mounts a ConfigMap as file → ..data/file, ..data → ..2026_01, and updates it by renaming a new ..data.
func TestSymlinkSwapOfKubernetes(t *testing.T) {
	for _, folder := range []bool{true, false} {
		t.Run(fmt.Sprintf("folder=%v", folder), func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "registry.yaml")
			version := func(name, text string) {
				must(t, os.Mkdir(filepath.Join(dir, name), 0o700))
				write(t, filepath.Join(dir, name, "registry.yaml"), text)
				must(t, os.Symlink(name, filepath.Join(dir, "..data_tmp")))
				must(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
			}
			version("..2026_01", service("a"))
			must(t, os.Symlink("..data/registry.yaml", file))
			path := file
			if folder {
				path = dir
			}
			r := start(t, path)
			r.wants("a")
			version("..2026_02", service("b"))
			must(t, os.RemoveAll(filepath.Join(dir, "..2026_01")))
			r.wants("b")
			version("..2026_03", service("c"))
			r.wants("c")
		})
	}
}

func TestFolderBehindASwappedSymlink(t *testing.T) {
	root := t.TempDir()
	current := filepath.Join(root, "current")
	for _, name := range []string{"one", "two"} {
		must(t, os.Mkdir(filepath.Join(root, name), 0o700))
		write(t, filepath.Join(root, name, "r.yaml"), service(name))
	}
	must(t, os.Symlink("one", current))
	r := start(t, current)
	r.wants("one")
	must(t, os.Symlink("two", current+".new"))
	must(t, os.Rename(current+".new", current))
	r.wants("two")
	write(t, filepath.Join(root, "two", "s.yaml"), service("three")) // the watch has moved along
	r.wants("three", "two")
}

func TestSymlinkedFileEditedWhereItIs(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "real.conf")
	write(t, elsewhere, service("a"))
	path := filepath.Join(t.TempDir(), "registry.yaml")
	must(t, os.Symlink(elsewhere, path))
	r := start(t, path)
	r.wants("a")
	replace(t, elsewhere, service("b"))
	r.wants("b")
}

func TestPollWhereInotifyIsNotToBeHad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.yaml")
	write(t, path, service("a"))
	r := start(t, path, WithPoll(5*time.Millisecond), func(o *options) {
		o.newWatch = func() (watcher, error) { return nil, errors.New("no inotify instances left") }
	})
	r.wants("a")
	write(t, path, service("b"))
	r.wants("b")
	must(t, os.Remove(path))
	r.wantsError("does not exist")
	write(t, path, service("b")) // back, with the same bytes
	r.wants("b")
}

func TestEmptiedFileIsNotAnEmptyRegistry(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.yaml")
	write(t, path, service("a"))
	r := start(t, path)
	r.wants("a")
	write(t, path, "")
	r.wantsError("is empty", "services: {}")
	write(t, path, "services: {}\n")
	r.wants()
}
