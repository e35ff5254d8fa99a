package file

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// watcher is what we use of inotify.
type watcher interface {
	Add(dir string) error
	Remove(dir string) error
	Close() error
	// Events and Errors end when the watcher is closed.
	events() <-chan fsnotify.Event
	errors() <-chan error
}

type inotify struct{ *fsnotify.Watcher }

func newInotify() (watcher, error) {
	w, err := fsnotify.NewBufferedWatcher(64)
	if err != nil {
		return nil, err
	}
	return inotify{w}, nil
}

func (i inotify) events() <-chan fsnotify.Event { return i.Events }
func (i inotify) errors() <-chan error          { return i.Errors }

// watch tells a follower that something may have changed. Directories are watched and not files: a file that is replaced by a
// rename takes its watch with it. Which directories, arm finds out anew before every read:
//
//	the folder (or the file's folder) ·· files come, go, are replaced; ..data is swapped
//	its parent                        ·· the folder itself is a symlink that is swapped, or comes later
//	where a symlinked file really is  ·· it is edited there
type watch struct {
	w       watcher           // nil: poll only
	dirs    map[string]fileID // watched now
	missing bool              // some directory could not be watched
	bell    chan struct{}     // capacity 1
	stop    chan struct{}
	done    chan struct{}
	rules   chan rules // to the filter: what matters now
}

// rules say which events matter, by the last element of their path.
type rules struct {
	folder bool // the registry is a folder: any *.yaml may become part of it
	names  map[string]bool
}

type fileID struct{ dev, ino uint64 }

func newWatch(path string, log *slog.Logger, o options) *watch {
	w := &watch{
		dirs: map[string]fileID{}, bell: make(chan struct{}, 1), stop: make(chan struct{}),
		done: make(chan struct{}), rules: make(chan rules),
	}
	var err error
	if w.w, err = o.newWatch(); err != nil {
		log.Warn("inotify is not to be had; the file is looked at in turns", "path", path, "every", o.poll, "problem", err)
		w.w, w.missing = nil, true
		close(w.done)
		return w
	}
	go w.filter()
	return w
}

func (w *watch) close() {
	close(w.stop)
	<-w.done
	if w.w != nil {
		_ = w.w.Close() // nothing is lost with it
	}
}

func (w *watch) events() <-chan struct{} { return w.bell }
func (w *watch) complete() bool          { return !w.missing }

// filter rings the bell for events that matter: the parent of a registry may be a busy /tmp.
func (w *watch) filter() {
	defer close(w.done)
	var now rules
	for {
		select {
		case <-w.stop:
			return
		case now = <-w.rules:
			continue
		case ev, ok := <-w.w.events():
			if !ok {
				return
			}
			if !now.matter(ev.Name) {
				continue
			}
		case _, ok := <-w.w.errors():
			if !ok {
				return
			} // else events were lost (a full queue): look
		}
		select {
		case w.bell <- struct{}{}:
		default:
		}
	}
}

func (r rules) matter(path string) bool {
	name := filepath.Base(path)
	return r.names[name] || strings.HasPrefix(name, "..") || (r.folder && isRegistryName(name))
}

// settle waits until the writer seems to be done; false when ctx ended.
func (w *watch) settle(ctx context.Context) bool {
	limit := time.NewTimer(settleLimit)
	defer limit.Stop()
	for {
		quiet := time.NewTimer(settle)
		select {
		case <-ctx.Done():
			quiet.Stop()
			return false
		case <-limit.C:
			quiet.Stop()
			return true
		case <-quiet.C:
			return true
		case <-w.bell:
			quiet.Stop()
		}
	}
}

// arm watches the directories that matter now, and only those.
func (w *watch) arm(path string) {
	if w.w == nil {
		return
	}
	dirs, now := surroundings(path)
	select {
	case w.rules <- now:
	case <-w.done:
	}
	w.missing = false
	want := make(map[string]fileID, len(dirs))
	known := make(map[fileID]bool, len(dirs))
	for _, d := range dirs {
		id, err := identify(d)
		if err != nil {
			w.missing = true // it does not exist yet: poll for it
			continue
		}
		if !known[id] { // inotify knows inodes: one directory by two names is one watch
			known[id] = true
			want[d] = id
		}
	}
	for d, id := range w.dirs {
		if want[d] != id { // gone, or another directory of the same name: inotify stays with the old one
			_ = w.w.Remove(d) // the kernel may have removed it already
			delete(w.dirs, d)
		}
	}
	for _, d := range slices.Sorted(maps.Keys(want)) {
		if _, ok := w.dirs[d]; ok {
			continue
		}
		if err := w.w.Add(d); err != nil {
			w.missing = true // no watches left (fs.inotify.max_user_watches), or it went just now
			continue
		}
		w.dirs[d] = want[d]
	}
}

// surroundings returns the directories to watch for a registry, and which events in them matter.
func surroundings(path string) ([]string, rules) {
	path = filepath.Clean(path)
	dirs := map[string]bool{filepath.Dir(path): true}
	r := rules{names: map[string]bool{filepath.Base(path): true}}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		dirs[path] = true
		r.folder = true
	}
	files, _ := list(path) // when it fails there is nothing more to watch yet
	for _, f := range files {
		r.names[filepath.Base(f)] = true
		if target, err := filepath.EvalSymlinks(f); err == nil && target != f {
			dirs[filepath.Dir(target)] = true
			r.names[filepath.Base(target)] = true
		}
	}
	return slices.Sorted(maps.Keys(dirs)), r
}

func identify(dir string) (fileID, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return fileID{}, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileID{}, fmt.Errorf("%s: no inode", dir)
	}
	return fileID{uint64(st.Dev), uint64(st.Ino)}, nil
}

// stamp describes the files as far as stat can tell; another stamp means that something changed.
func stamp(path string) string {
	files, err := list(path)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			fmt.Fprintf(&b, "%q %v\n", f, err)
			continue
		}
		var ino, ctime int64
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			ino, ctime = int64(st.Ino), st.Ctim.Nano()
		}
		fmt.Fprintf(&b, "%q %d %d %d %d %v\n", f, info.Size(), info.ModTime().UnixNano(), ctime, ino, info.Mode())
	}
	return b.String()
}

// newest returns when the youngest file was written.
func newest(path string) time.Time {
	var t time.Time
	files, _ := list(path) // no file, no time
	for _, f := range files {
		if info, err := os.Stat(f); err == nil && info.ModTime().After(t) {
			t = info.ModTime()
		}
	}
	return t
}
