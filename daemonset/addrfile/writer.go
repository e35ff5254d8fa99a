package addrfile

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	tempPrefix  = ".address-"
	sparePrefix = ".spare-"
	spares      = 2 // one for `draining`, one for `down`
)

// Writer publishes the address file of one proxy. All its work is done by directory descriptor, so that a directory
// that is renamed or mounted over keeps being served. Methods block on the file system: never call them on a loop.
// Safe for concurrent use.
type Writer struct {
	now func() time.Time // wall clock: generations are Unix milliseconds

	mu       sync.Mutex
	dir      *os.File
	instance string
	lease    time.Duration
	last     int64      // the generation of the last write
	current  *os.File   // the published inode, for Touch
	spare    []tempFile // reserved space, each held open
}

type tempFile struct {
	name string
	f    *os.File
}

// WriterOptions are OpenWriter's. The zero value works.
type WriterOptions struct {
	// Instance names this process in the file; random when empty.
	Instance string
	// Lease goes into the file; DefaultLease when 0.
	Lease time.Duration
	// Now is the wall clock; time.Now when nil.
	Now func() time.Time
}

// OpenWriter opens the directory that will hold the file and reserves the space for two writes on a full disk. It
// refuses a directory that others than root and this process's user can write: they could put their own file there.
func OpenWriter(dir string, o WriterOptions) (*Writer, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("address file: open directory %s: %w", dir, err)
	}
	w := &Writer{dir: os.NewFile(uintptr(fd), dir), instance: o.Instance, lease: o.Lease, now: o.Now}
	if w.instance == "" {
		w.instance = randomName("")
	}
	if w.lease == 0 {
		w.lease = DefaultLease
	}
	if w.now == nil {
		w.now = time.Now
	}
	if err := w.checkDir(); err != nil {
		w.dir.Close()
		return nil, err
	}
	w.clean()
	if err := w.reserve(); err != nil {
		w.Close()
		return nil, fmt.Errorf("address file: reserve space in %s: %w", dir, err)
	}
	return w, nil
}

// Instance is the name of this process in the file.
func (w *Writer) Instance() string { return w.instance }

// Lease is what the file promises; call Touch at least every third of it.
func (w *Writer) Lease() time.Duration { return w.lease }

func (w *Writer) checkDir() error {
	var st unix.Stat_t
	if err := unix.Fstat(w.fd(), &st); err != nil {
		return fmt.Errorf("address file: stat %s: %w", w.dir.Name(), err)
	}
	if st.Mode&0o022 != 0 {
		return fmt.Errorf("address file: directory %s is writable by others (mode %04o): refused", w.dir.Name(), st.Mode&0o7777)
	}
	if st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("address file: directory %s belongs to uid %d: refused", w.dir.Name(), st.Uid)
	}
	return nil
}

func (w *Writer) fd() int { return int(w.dir.Fd()) }

// Write publishes f. Version, instance, generation and lease are the writer's to fill in; what was written is
// returned. On an error the old file stands as it was.
func (w *Writer) Write(f File) (File, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f.Version, f.Instance, f.LeaseMS = Version, w.instance, w.lease.Milliseconds()
	// Another process may have written since (a hand-over): its generation counts too.
	f.Generation = max(w.last+1, w.published()+1, w.now().UnixMilli())
	if err := f.check(); err != nil {
		return File{}, fmt.Errorf("address file: not written: %w", err)
	}
	b, err := json.Marshal(f)
	if err != nil {
		return File{}, fmt.Errorf("address file: not written: %w", err)
	}
	b = append(b, '\n')
	if len(b) > MaxSize {
		return File{}, fmt.Errorf("address file: not written: %d bytes, at most %d", len(b), MaxSize)
	}
	if err := w.publish(b, f.State); err != nil {
		return File{}, fmt.Errorf("address file: not written: %w", err)
	}
	w.last = f.Generation
	return f, nil
}

// publish writes a temporary file and renames it into place. Only the farewells may use the reserved space: a
// `serving` that spent it would leave none for the `draining` it was reserved for.
func (w *Writer) publish(b []byte, s State) error {
	t, err := w.create(tempPrefix)
	if err == nil {
		err = w.fill(t, b)
	}
	if isFull(err) && s != Serving && len(w.spare) > 0 {
		t, w.spare = w.spare[0], w.spare[1:]
		err = w.fill(t, b)
	}
	if err != nil {
		return err
	}
	if err := unix.Renameat(w.fd(), t.name, w.fd(), Name); err != nil {
		w.drop(t)
		return fmt.Errorf("rename: %w", err)
	}
	if w.current != nil {
		w.current.Close()
	}
	w.current = t.f
	// A rename is only lasting once the directory is; a file that is lost in a power cut is written anew at boot, so a
	// directory that can't be synced is no reason to fail.
	_ = w.dir.Sync()
	if s == Serving {
		_ = w.reserve() // best effort: it was whole at start
	}
	return nil
}

// fill makes t hold exactly b, readable by all, on disk. On an error t is gone.
func (w *Writer) fill(t tempFile, b []byte) error {
	_, err := t.f.WriteAt(b, 0)
	if err == nil {
		err = t.f.Truncate(int64(len(b))) // a spare is longer
	}
	if err == nil {
		err = t.f.Chmod(0o644) // whatever the umask
	}
	if err == nil {
		err = t.f.Sync()
	}
	if err != nil {
		w.drop(t)
	}
	return err
}

// Touch renews the lease. It works on the published inode itself: after another process replaced the file, its lease
// is not ours to renew, and is not renewed.
func (w *Writer) Touch() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.current == nil {
		return errors.New("address file: touch before the first write")
	}
	// futimens(fd, NULL): x/sys only has the form that goes through /proc.
	if _, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, w.current.Fd(), 0, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("address file: touch: %w", errno)
	}
	return nil
}

// Close releases the descriptors and the reserved space. The file stays: it outlives the proxy.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.spare {
		w.drop(t)
	}
	w.spare = nil
	if w.current != nil {
		w.current.Close()
		w.current = nil
	}
	return w.dir.Close()
}

// reserve brings the spare files back to their number. Each is as large as the largest address file, with its blocks
// allocated.
func (w *Writer) reserve() error {
	for len(w.spare) < spares {
		t, err := w.create(sparePrefix)
		if err != nil {
			return err
		}
		if err := allocate(t.f); err != nil {
			w.drop(t)
			return err
		}
		w.spare = append(w.spare, t)
	}
	return nil
}

func allocate(f *os.File) error {
	err := unix.Fallocate(int(f.Fd()), 0, 0, MaxSize)
	if errors.Is(err, unix.EOPNOTSUPP) {
		_, err = f.Write(make([]byte, MaxSize))
	}
	return err
}

// create makes a file with a random name. It is locked for as long as it is ours, so that the clean-up of a process
// that starts beside this one (an upgrade) leaves it alone.
func (w *Writer) create(prefix string) (tempFile, error) {
	name := randomName(prefix)
	flags := unix.O_RDWR | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(w.fd(), name, flags, 0o600)
	if err != nil {
		return tempFile{}, fmt.Errorf("create %s: %w", name, err)
	}
	t := tempFile{name: name, f: os.NewFile(uintptr(fd), name)}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		w.drop(t)
		return tempFile{}, fmt.Errorf("lock %s: %w", name, err)
	}
	return t, nil
}

func (w *Writer) drop(t tempFile) {
	_ = unix.Unlinkat(w.fd(), t.name, 0)
	t.f.Close()
}

// clean removes what a crashed process left behind: temporary and spare files that nobody holds a lock on.
func (w *Writer) clean() {
	names, err := w.dir.Readdirnames(-1)
	if err != nil {
		return // only tidiness is at stake
	}
	for _, name := range names {
		if !strings.HasPrefix(name, tempPrefix) && !strings.HasPrefix(name, sparePrefix) {
			continue
		}
		fd, err := unix.Openat(w.fd(), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		if unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) == nil {
			_ = unix.Unlinkat(w.fd(), name, 0)
		}
		unix.Close(fd)
	}
}

// published is the generation of the file that is there now, 0 if there is none or it can't be read.
func (w *Writer) published() int64 {
	fd, err := unix.Openat(w.fd(), Name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	f := os.NewFile(uintptr(fd), filepath.Join(w.dir.Name(), Name))
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return 0
	}
	old, err := Parse(b)
	if err != nil {
		return 0
	}
	return old.Generation
}

func isFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

func randomName(prefix string) string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return prefix + hex.EncodeToString(b[:])
}
