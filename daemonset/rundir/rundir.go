// Package rundir is the directory in which a host's proxy meets its guests, and itself.
//
//	/run/bellhop            0755  not writable by others
//	├── pub                 0755  mounted by guests, read-only: address file, call sockets
//	└── private             0700  never mounted: admin and hand-over sockets, caches
//	    └── lock                  flock: one proxy a host; its holder's pid and instance inside
//
// A read-only mount does not stop root in a pod from connecting to a socket or taking a lock that it can see: that is
// why there are two directories. The package never removes a directory (a bind mount of a re-created one shows an
// empty directory, without an event), never takes a lock from a holder, and never works in a directory that others
// than root and this process's user can write.
package rundir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// DefaultPath is where the run directory is when nothing else was said.
const DefaultPath = "/run/bellhop"

const (
	pubName     = "pub"
	privateName = "private"
	lockName    = "lock"
	maxLockFile = 4 << 10
)

// Dir is an open run directory. Before the loops run only; Close it last.
type Dir struct {
	path         string
	pub, private *os.File
	lock         *os.File
}

// HeldError says that another process holds the lock.
type HeldError struct {
	Path     string // of the lock file
	PID      int    // as the holder wrote it; 0 when it wrote nothing readable
	Instance string
}

func (e *HeldError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("run directory: %s is held by another process, which left no name", e.Path)
	}
	return fmt.Sprintf("run directory: %s is held by pid %d (instance %s)", e.Path, e.PID, e.Instance)
}

// Open opens the run directory at path and makes what is missing of it. The error names the directory that was
// refused and why.
func Open(path string) (*Dir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("run directory: %w", err)
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("run directory: %w", err)
	}
	root, err := openDir(unix.AT_FDCWD, path, path)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	d := &Dir{path: path}
	if d.pub, err = makeDir(root, pubName, 0o755); err != nil {
		return nil, err
	}
	if d.private, err = makeDir(root, privateName, 0o700); err != nil {
		d.pub.Close()
		return nil, err
	}
	return d, nil
}

// Path is the run directory itself, absolute.
func (d *Dir) Path() string { return d.path }

// Pub is the path of the directory that guests mount.
func (d *Dir) Pub() string { return filepath.Join(d.path, pubName) }

// Private is the path of the directory that nobody mounts.
func (d *Dir) Private() string { return filepath.Join(d.path, privateName) }

// PubFD is the descriptor of Pub, valid until Close.
func (d *Dir) PubFD() int { return int(d.pub.Fd()) }

// PrivateFD is the descriptor of Private, valid until Close.
func (d *Dir) PrivateFD() int { return int(d.private.Fd()) }

// Lock makes this process the one proxy of the run directory, until Close or its end. It does not wait: when another
// process holds the lock, the error is a *HeldError.
func (d *Dir) Lock(instance string) error {
	if d.lock != nil {
		return errors.New("run directory: locked already")
	}
	path := filepath.Join(d.Private(), lockName)
	fd, err := unix.Openat(d.PrivateFD(), lockName, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("run directory: open %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		held := readHolder(f)
		f.Close()
		return held
	}
	if err == nil {
		err = writeHolder(f, instance)
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("run directory: lock %s: %w", path, err)
	}
	d.lock = f
	return nil
}

// Close gives the lock back and closes the directories. They stay, and so does the lock file: removing it would let
// two processes each hold "the" lock.
func (d *Dir) Close() error {
	var err error
	if d.lock != nil {
		err = errors.Join(d.lock.Truncate(0), d.lock.Close())
	}
	return errors.Join(err, d.pub.Close(), d.private.Close())
}

type holder struct {
	PID      int    `json:"pid"`
	Instance string `json:"instance"`
}

func writeHolder(f *os.File, instance string) error {
	b, err := json.Marshal(holder{PID: os.Getpid(), Instance: instance})
	if err != nil {
		return err
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err = f.WriteAt(append(b, '\n'), 0)
	return err
}

func readHolder(f *os.File) *HeldError {
	e := &HeldError{Path: f.Name()}
	b, err := io.ReadAll(io.LimitReader(f, maxLockFile))
	var h holder
	if err == nil && json.Unmarshal(b, &h) == nil {
		e.PID, e.Instance = h.PID, h.Instance
	}
	return e
}

// makeDir opens name below root, makes it when it is missing, and gives it its mode when it has another.
func makeDir(root *os.File, name string, mode uint32) (*os.File, error) {
	path := filepath.Join(root.Name(), name)
	if err := unix.Mkdirat(int(root.Fd()), name, mode); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("run directory: make %s: %w", path, err)
	}
	f, err := openDir(int(root.Fd()), name, path)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && uint32(st.Mode().Perm()) != mode {
		err = f.Chmod(os.FileMode(mode)) // the umask, or an older mode that let others read
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("run directory: %s: %w", path, err)
	}
	return f, nil
}

// openDir opens a directory, and refuses one in which others could exchange what we make there.
func openDir(at int, name, path string) (*os.File, error) {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
		return nil, fmt.Errorf("run directory: %s is not a directory (a symbolic link is not followed): refused", path)
	}
	if err != nil {
		return nil, fmt.Errorf("run directory: open %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	switch {
	case err != nil:
		err = fmt.Errorf("run directory: stat %s: %w", path, err)
	case st.Mode&0o022 != 0:
		err = fmt.Errorf("run directory: %s is writable by others (mode %04o): refused", path, st.Mode&0o7777)
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		err = fmt.Errorf("run directory: %s belongs to uid %d, not to root or uid %d: refused", path, st.Uid, os.Geteuid())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
