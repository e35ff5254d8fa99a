package registry

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ReplaceFile replaces the file at path as a whole: readers see the old content or the new one, also after a crash. The
// temporary file has a random name that starts with a dot and ends in ".tmp", and is opened by the directory's descriptor
// with O_EXCL|O_NOFOLLOW. A directory that others can write is refused. It returns what os.Stat would say of the new file.
// It waits for the disk. Safe for concurrent use.
func ReplaceFile(path string, data []byte, mode fs.FileMode) (fs.FileInfo, error) {
	dir, err := openOwnDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	base := filepath.Base(path)
	temp := "." + base + "." + rand.Text() + ".tmp"
	info, err := writeTemp(dir, temp, data, mode)
	if err == nil {
		err = unix.Renameat(int(dir.Fd()), temp, int(dir.Fd()), base)
	}
	if err != nil {
		// Nothing to add when this fails too: the error at hand is the cause, and a stray file harms nobody.
		_ = unix.Unlinkat(int(dir.Fd()), temp, 0)
		return nil, fmt.Errorf("replace %s: %w", path, err)
	}
	if err := dir.Sync(); err != nil {
		return nil, fmt.Errorf("replace %s: sync the directory: %w", path, err)
	}
	return info, nil
}

func writeTemp(dir *os.File, name string, data []byte, mode fs.FileMode) (fs.FileInfo, error) {
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(int(dir.Fd()), name, flags, uint32(mode.Perm()))
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), filepath.Join(dir.Name(), name))
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	var info fs.FileInfo
	if err == nil {
		info, err = f.Stat()
	}
	return info, errors.Join(err, f.Close())
}

// openOwnDir opens a directory in which nobody else can swap files under our hands: ours or root's, not writable by
// group or others.
func openOwnDir(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the directory %s: %w", path, err)
	}
	dir := os.NewFile(uintptr(fd), path)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, errors.Join(fmt.Errorf("stat the directory %s: %w", path, err), dir.Close())
	}
	switch {
	case st.Mode&0o022 != 0:
		err = fmt.Errorf("the directory %s has mode %04o: others can write it; chmod go-w it", path, st.Mode&0o7777)
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		err = fmt.Errorf("the directory %s belongs to uid %d, and we are %d; use a directory of our own", path, st.Uid, os.Geteuid())
	}
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return dir, nil
}

// RemoveStrays removes the temporary files that a crash left of path, which ReplaceFile replaces. Safe for concurrent use,
// but not with ReplaceFile of the same path.
func RemoveStrays(path string) {
	dir, err := openOwnDir(filepath.Dir(path))
	if err != nil {
		return // the next write says so
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // as many as were read: strays are only untidy
	prefix := "." + filepath.Base(path) + "."
	for _, n := range names {
		if strings.HasPrefix(n, prefix) && strings.HasSuffix(n, ".tmp") {
			_ = unix.Unlinkat(int(dir.Fd()), n, 0)
		}
	}
}

// ReadBounded reads a regular file of at most limit bytes and follows no symbolic link in the last place. Safe for concurrent
// use.
func ReadBounded(path string, limit int64) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s has %d bytes; the bound is %d", path, info.Size(), limit)
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s grew beyond %d bytes while it was read", path, limit)
	}
	return data, err
}
