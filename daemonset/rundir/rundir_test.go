package rundir

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func open(t *testing.T, path string) *Dir {
	t.Helper()
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestOpenMakesBothWithTheirModesWhateverTheUmask(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	path := filepath.Join(t.TempDir(), "a", "bellhop")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	d := open(t, path)
	for dir, want := range map[string]os.FileMode{d.Pub(): 0o755, d.Private(): 0o700} {
		st, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != want {
			t.Errorf("%s: mode %o, want %o", dir, st.Mode().Perm(), want)
		}
	}
}

func TestOpenReusesTheDirectories(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bellhop")
	d := open(t, path)
	if err := os.WriteFile(filepath.Join(d.Pub(), "address"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	before, _ := os.Stat(d.Pub())
	again := open(t, path)
	after, err := os.Stat(again.Pub())
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, after) {
		t.Error("pub was made anew: guests that mounted it see an empty directory")
	}
	if _, err := os.Stat(filepath.Join(again.Pub(), "address")); err != nil {
		t.Error(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	chmod := func(name string, mode os.FileMode) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.MkdirAll(filepath.Join(path, name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(filepath.Join(path, name), mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		prepare func(*testing.T, string)
		want    string
	}{
		"root writable by the group":  {chmod(".", 0o775), "bellhop is writable by others (mode 0775): refused"},
		"pub writable by the group":   {chmod("pub", 0o775), "pub is writable by others"},
		"pub sticky and writable":     {chmod("pub", os.ModeSticky|0o777), "pub is writable by others (mode 1777)"},
		"private writable by others":  {chmod("private", 0o702), "private is writable by others"},
		"pub is a link":               {link("pub"), "pub is not a directory"},
		"private is a link":           {link("private"), "private is not a directory"},
		"pub is a file":               {file("pub"), "pub is not a directory"},
		"the run directory is a file": {file("."), "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bellhop")
			c.prepare(t, path)
			d, err := Open(path)
			if err == nil {
				d.Close()
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q does not say %q", err, c.want)
			}
		})
	}
}

func link(name string) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(t.TempDir(), filepath.Join(path, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func file(name string) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		if name != "." {
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(path, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPrivateIsTightened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bellhop")
	if err := os.MkdirAll(filepath.Join(path, "private"), 0o755); err != nil {
		t.Fatal(err)
	}
	d := open(t, path)
	st, err := os.Stat(d.Private())
	if err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v, want 0700", st.Mode(), err)
	}
}

func TestLockNamesItsHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bellhop")
	a, b := open(t, path), open(t, path)
	if err := a.Lock("first"); err != nil {
		t.Fatal(err)
	}
	err := b.Lock("second")
	var held *HeldError
	if !errors.As(err, &held) {
		t.Fatalf("second lock: %v, want a HeldError", err)
	}
	if held.PID != os.Getpid() || held.Instance != "first" || held.Path != filepath.Join(b.Private(), "lock") {
		t.Errorf("holder %+v", held)
	}
	if !strings.Contains(err.Error(), "instance first") {
		t.Errorf("message %q does not name the holder", err)
	}
	if err := a.Lock("first"); err == nil {
		t.Error("locked twice by the same Dir")
	}
}

func TestLockIsFreeAfterClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bellhop")
	a, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Lock("first"); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	b := open(t, path)
	if err := b.Lock("second"); err != nil {
		t.Errorf("after the holder closed: %v", err)
	}
}

func TestHolderWithoutAName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bellhop")
	a, b := open(t, path), open(t, path)
	if err := a.Lock("first"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(a.Private(), "lock"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.Lock("second"); err == nil || !strings.Contains(err.Error(), "left no name") {
		t.Errorf("error %v", err)
	}
}
