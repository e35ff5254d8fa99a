package addrfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Clock is what a reader knows about time. The lease is measured on Mono; Wall is asked once, at the first look.
type Clock struct {
	Mono func() time.Duration // never steps; its zero has no meaning
	Wall func() time.Time
}

// SystemClock is the clock of the running process.
func SystemClock() Clock {
	start := time.Now()
	return Clock{Mono: func() time.Duration { return time.Since(start) }, Wall: time.Now}
}

// View is what a reader knows now. Its File must not be changed.
type View struct {
	// File is the last good content, nil when there never was one.
	File *File
	// Dir is what unix addresses are relative to.
	Dir string
	// Stale: the lease ran out, the proxy may be gone or stuck.
	Stale bool
	// Since is how long ago this generation was first read: a Move's time to live counts from there.
	Since time.Duration
	// Err says why the file could not be read or was not taken the last time; fs.ErrNotExist when it is missing.
	// File is then an older content, or nil.
	Err error
}

// Moved reports whether the file asks the source with this key to use the remote tier.
func (v View) Moved(key string) bool {
	if v.File == nil || key == "" {
		return false
	}
	for _, m := range v.File.Move {
		if m.Key == key && v.Since.Milliseconds() < m.TTLMillis {
			return true
		}
	}
	return false
}

// Reader reads an address file when it is told to: it has no goroutine, which suits processes that live for one
// request. Safe for concurrent use.
type Reader struct {
	path  string
	clock Clock

	mu     sync.Mutex
	seen   stamp
	looked bool // a file was seen once
	file   *File
	read   time.Duration // when file's generation was first read
	fresh  time.Duration // when the inode or mtime last changed, by Mono
	aged   bool          // the first look found it stale by the wall clock, and it has not changed since
	err    error
	polled time.Duration
}

// stamp is what a change of the file changes. A touch changes mtime, a rename the inode.
type stamp struct {
	dev, ino, size uint64
	mtime          int64
}

// NewReader reads path at once (whether it is there or not).
func NewReader(path string, c Clock) *Reader {
	r := &Reader{path: path, clock: c}
	r.Poll()
	return r
}

// Poll looks at the file and reports whether a new content was taken, or the file came or went.
func (r *Reader) Poll() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.poll(r.clock.Mono())
}

func (r *Reader) poll(now time.Duration) bool {
	r.polled = now
	b, st, err := r.load()
	if err != nil {
		changed := (r.err == nil) || r.err.Error() != err.Error()
		r.err, r.seen = err, stamp{}
		return changed
	}
	if st == r.seen {
		return false
	}
	f, err := Parse(b)
	lease := DefaultLease
	if err == nil {
		lease = f.Lease()
	}
	r.renew(st, now, lease)
	if err != nil {
		// The inode changed, so somebody is alive; but what it says is kept from before.
		r.err = err
		return true
	}
	changed := r.err != nil || r.file == nil || r.file.Instance != f.Instance || r.file.Generation != f.Generation
	if changed {
		r.read = now
	}
	r.file, r.err = f, nil
	return changed
}

// renew starts the lease anew. At the first look there is no earlier one to compare with, so the wall clock has to
// say how old the file is; an mtime in the future by more than a lease says nothing, and counts as old.
func (r *Reader) renew(st stamp, now, lease time.Duration) {
	first := !r.looked
	r.seen, r.fresh, r.aged, r.looked = st, now, false, true
	if !first {
		return
	}
	age := r.clock.Wall().Sub(time.Unix(0, st.mtime))
	if age < 0 {
		r.aged = -age > lease
		return
	}
	r.fresh = now - age
}

func (r *Reader) load() ([]byte, stamp, error) {
	fd, err := unix.Open(r.path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, stamp{}, &fs.PathError{Op: "open", Path: r.path, Err: err}
	}
	f := os.NewFile(uintptr(fd), r.path)
	defer f.Close()
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil {
		return nil, stamp{}, &fs.PathError{Op: "stat", Path: r.path, Err: err}
	}
	if s.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, stamp{}, fmt.Errorf("address file: %s is not a regular file", r.path)
	}
	st := stamp{dev: s.Dev, ino: s.Ino, size: uint64(s.Size), mtime: s.Mtim.Nano()}
	if st == r.seen {
		return nil, st, nil
	}
	b, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, stamp{}, err
	}
	return b, st, nil
}

// View is the present knowledge. A lease that looks as if it ran out is checked with a look at the file first: this
// process may have been the one that stood still.
func (r *Reader) View() View {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock.Mono()
	if r.file != nil && r.stale(now) && now-r.polled > r.file.Lease()/30 {
		r.poll(now)
	}
	v := View{File: r.file, Dir: filepath.Dir(r.path), Err: r.err}
	if r.file != nil {
		v.Stale, v.Since = r.stale(now), now-r.read
	}
	return v
}

func (r *Reader) stale(now time.Duration) bool {
	return r.aged || now-r.fresh > r.file.Lease()
}

// Missing reports whether there is nothing to go by because there is no file.
func (v View) Missing() bool { return v.File == nil && errors.Is(v.Err, fs.ErrNotExist) }
