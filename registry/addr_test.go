package registry

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCanonicalAddr(t *testing.T) {
	for in, want := range map[string]string{
		"127.0.0.1:9090":           "127.0.0.1:9090",
		"[0:0:0::1]:1":             "[::1]:1",
		"[FE80::1%eth0.5]:7300":    "[fe80::1%eth0.5]:7300",
		"Host_1.Example.:65535":    "host_1.example.:65535",
		"4u:80":                    "4u:80",
		"unix:/run/Name with:x":    "unix:/run/Name with:x",
		"unix:/run/../run/x.sock2": "unix:/run/../run/x.sock2",
	} {
		if got, err := CanonicalAddr(in); got != want || err != nil {
			t.Errorf("%q became %q, %v; want %q", in, got, err, want)
		}
	}
	// What each wrong address is answered is in registry/file/testdata/addresses.bad.want.
	for _, in := range []string{
		"", ":1", "h", "h:", "h:+1", "h:-1", "h:0", "h:01", "h:65536", "h:1:2", "::1:80", "1.2.3:80", "h..x:1",
		"-h:1", "h-:1", "h/x:1", "[h]x:1", "[::]:1", "[::1%]:1", "[::1%a/b]:1", "unix:", "unix:x", "unix:/", "unix:/a\x00", "x://h:1", "/run/x",
		strings.Repeat("a", 64) + ":1", strings.Repeat("a.", 127) + "a:1", "unix:/" + strings.Repeat("a", 107),
	} {
		got, err := CanonicalAddr(in)
		if err == nil {
			t.Errorf("%q became %q; want an error", in, got)
		} else if !strings.Contains(err.Error(), "; write ") {
			t.Errorf("%q: %v does not say what to write instead", in, err)
		}
	}
}

func TestReplaceFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	victim := filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, []byte("untouched"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("victim", path); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "two"} {
		info, err := ReplaceFile(path, []byte(text), 0o640)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		now, lerr := os.Lstat(path)
		if err != nil || lerr != nil || string(got) != text || now.Mode() != 0o640 || !os.SameFile(info, now) {
			t.Errorf("the file holds %q with mode %v, %v; want %q as a plain file, the one that was returned", got, now.Mode(), err, text)
		}
	}
	if got, err := os.ReadFile(victim); err != nil || string(got) != "untouched" {
		t.Errorf("the link's target holds %q, %v; a link is replaced and never followed", got, err)
	}
	// A rename that fails leaves nothing behind.
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := ReplaceFile(filepath.Join(dir, "d"), nil, 0o600); err == nil {
		t.Error("a directory was replaced by a file")
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
