package addrfile

import (
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// Watcher is a Reader that looks by itself: at once when inotify tells of a rename in the file's directory, and once
// a second in any case. The second is for what inotify is not told of: a mount over the directory, a directory that
// was re-created, a limit on watches. Safe for concurrent use.
type Watcher struct {
	*Reader
	changed chan struct{}
	stop    chan struct{}
	done    chan struct{}
}

// WatchOptions are Watch's. The zero value works.
type WatchOptions struct {
	// Clock is SystemClock when its fields are nil.
	Clock Clock
	// Interval between looks that nothing asked for; a second when 0.
	Interval time.Duration
	// NoInotify leaves inotify alone, as on a host whose limit of watches is used up.
	NoInotify bool
}

// Watch starts to follow path, which need not exist yet, nor its directory. Close it.
func Watch(path string, o WatchOptions) *Watcher {
	if o.Clock.Mono == nil || o.Clock.Wall == nil {
		o.Clock = SystemClock()
	}
	if o.Interval == 0 {
		o.Interval = time.Second
	}
	w := &Watcher{
		changed: make(chan struct{}, 1),
		stop:    make(chan struct{}),
		done:    make(chan struct{}),
	}
	n := newNotifier(filepath.Dir(path), o.NoInotify)
	n.follow() // before the first look, so that no rename falls between the two
	w.Reader = NewReader(path, o.Clock)
	go w.run(n, o.Interval)
	return w
}

// Changed receives after a new content was taken, or the file came or went. Several changes may be one receive.
func (w *Watcher) Changed() <-chan struct{} { return w.changed }

// Close ends the watch and waits for its goroutine.
func (w *Watcher) Close() error {
	close(w.stop)
	<-w.done
	return nil
}

func (w *Watcher) run(n *notifier, every time.Duration) {
	defer close(w.done)
	defer n.close()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-w.stop:
			return
		case ev, ok := <-n.events():
			if !ok {
				n.close() // inotify broke: the ticker goes on alone
				continue
			}
			if filepath.Base(ev.Name) != filepath.Base(w.path) && !n.is(ev.Name) {
				continue
			}
		case _, ok := <-n.errors(): // an overflow among them: look, and go on
			if !ok {
				n.close()
				continue
			}
		case <-tick.C:
		}
		n.follow()
		if w.Poll() {
			select {
			case w.changed <- struct{}{}:
			default:
			}
		}
	}
}

// notifier is an inotify watch on a directory by name, which follows the name to another directory. It may be off:
// then its channels never fire.
type notifier struct {
	dir      string
	w        *fsnotify.Watcher
	dev, ino uint64 // the watched directory
}

func newNotifier(dir string, off bool) *notifier {
	n := &notifier{dir: dir}
	if !off {
		// Out of inotify instances: off. It is tried no more: the stat a second is good enough.
		n.w, _ = fsnotify.NewWatcher()
	}
	return n
}

// follow watches the directory that is at the path now.
func (n *notifier) follow() {
	if n.w == nil {
		return
	}
	var st unix.Stat_t
	if err := unix.Stat(n.dir, &st); err != nil {
		n.dev, n.ino = 0, 0
		return
	}
	if st.Dev == n.dev && st.Ino == n.ino {
		return
	}
	_ = n.w.Remove(n.dir) // the old directory's watch, if it is still there
	if err := n.w.Add(n.dir); err != nil {
		return // out of watches: tried again with every look
	}
	n.dev, n.ino = st.Dev, st.Ino
}

func (n *notifier) is(name string) bool { return filepath.Clean(name) == filepath.Clean(n.dir) }

func (n *notifier) events() <-chan fsnotify.Event {
	if n.w == nil {
		return nil
	}
	return n.w.Events
}

func (n *notifier) errors() <-chan error {
	if n.w == nil {
		return nil
	}
	return n.w.Errors
}

func (n *notifier) close() {
	if n.w != nil {
		n.w.Close()
		n.w = nil
	}
}
