package file

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/bellhop-mesh/bellhop/registry"
	"github.com/bellhop-mesh/bellhop/registry/strict"
)

// refused reads a registry that must be refused, and compares what is said of it.
func refused(t *testing.T, path string, want ...string) {
	t.Helper()
	_, err := Read(path)
	var ps strict.Problems
	if !errors.As(err, &ps) {
		t.Fatalf("Read returned %v; want strict.Problems", err)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error lacks %q:\n%s", w, err)
		}
	}
}

func TestFileBeyondTheSizeBound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "big.yaml")
	write(t, path, "")
	must(t, os.Truncate(path, maxBytes+1))
	refused(t, path, path+": has 67108865 bytes")
}

func TestFolderBeyondTheSizeBound(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []string{"a.yaml", "b.yaml"} {
		write(t, filepath.Join(dir, n), "")
		must(t, os.Truncate(filepath.Join(dir, n), maxBytes/2+1))
	}
	refused(t, dir, "b.yaml: has 33554433 bytes, and 33554431 of the 67108864")
}

func TestMoreItemsThanAnyRegistryHas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "items.yaml")
	write(t, path, strings.Repeat("[", maxItems+1))
	refused(t, path, "the bound is 8000000")
}

func TestEndpointsBeyondTheBound(t *testing.T) {
	dir := t.TempDir()
	half := func(name string, n int) {
		var b strings.Builder
		fmt.Fprintf(&b, "services:\n  %s:\n    endpoints:\n", name)
		for i := range n {
			fmt.Fprintf(&b, "    - h%d:1\n", i)
		}
		write(t, filepath.Join(dir, name+".yaml"), b.String())
	}
	half("a", maxEndpoints/2)
	half("b", maxEndpoints/2)
	if u, err := Read(dir); err != nil || len(u.Services["b"].Endpoints) != maxEndpoints/2 {
		t.Fatalf("exactly at the bound: %v", err)
	}
	half("b", maxEndpoints/2+1)
	refused(t, dir, fmt.Sprintf("b.yaml:%d: services.b.endpoints[%d]: is beyond the bound of 100000", maxEndpoints/2+4, maxEndpoints/2))
}

func TestProblemsAreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bad.yaml")
	write(t, path, "services:\n"+strings.Repeat("  a: []\n", 150))
	refused(t, path, ":101: services.a: is written twice", "and 50 more problems")
}

// Names are not followed by a read that never ends, and a folder is not a file.
func TestOddFilesAreRefused(t *testing.T) {
	dir := t.TempDir()
	must(t, syscall.Mkfifo(filepath.Join(dir, "fifo.yaml"), 0o600))
	must(t, os.Mkdir(filepath.Join(dir, "dir.yaml"), 0o700))
	must(t, os.Symlink("nowhere", filepath.Join(dir, "dangling.yaml")))
	refused(t, dir, "fifo.yaml: is not a regular file", "dir.yaml: is not a regular file", "dangling.yaml: does not exist")
}

func TestEveryProblemOfAFolderAtOnce(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.yaml"), "services:\n  one: {}\n  two: {mode: odd}\n")
	write(t, filepath.Join(dir, "b.yaml"), "services:\n  one: {}\n  three: {depth: deep}\n")
	refused(t, dir, "a.yaml:3: services.two.mode", "b.yaml:2: services.one: is defined a second time; the first is "+dir+"/a.yaml:2",
		"b.yaml:3: services.three.depth")
}

func TestRegisterIsReadBackAndRemoved(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "services.yaml"), "services: {}\nremotes: [127.0.0.1:7300]\n")
	r := start(t, dir)
	r.wants()
	want := []registry.Remote{{Addr: "127.0.0.1:7300"}, {Addr: "[::1]:7301", Zone: "b: {", Weight: 7}}
	deregister, err := Register(context.Background(), dir, want[1])
	must(t, err)
	if _, err := os.Stat(filepath.Join(dir, "remote---1-7301.yaml")); err != nil {
		t.Error(err)
	}
	if u := r.wants(); len(u.Remotes) != 2 || u.Remotes[0] != want[1] || u.Remotes[1] != want[0] {
		t.Errorf("the remotes are %+v", u.Remotes)
	}
	deregister()
	if u := r.wants(); len(u.Remotes) != 1 || u.Remotes[0] != want[0] {
		t.Errorf("the remotes are %+v", u.Remotes)
	}
	deregister() // a second call does nothing
}

// In an upgrade the new process registers before the old one leaves.
func TestDeregisterLeavesASuccessorAlone(t *testing.T) {
	dir := t.TempDir()
	me := registry.Remote{Addr: "127.0.0.1:7300"}
	first, err := Register(context.Background(), dir, me)
	must(t, err)
	second, err := Register(context.Background(), dir, me)
	must(t, err)
	first()
	if u, err := Read(dir); err != nil || len(u.Remotes) != 1 {
		t.Fatalf("the successor's entry is gone: %+v, %v", u, err)
	}
	second()
	if names, err := os.ReadDir(dir); err != nil || len(names) != 0 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}

func TestRegisterRefuses(t *testing.T) {
	open := filepath.Join(t.TempDir(), "open")
	must(t, os.Mkdir(open, 0o700))
	must(t, os.Chmod(open, 0o777))
	file := filepath.Join(t.TempDir(), "file.yaml")
	write(t, file, "services: {}\n")
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []struct {
		ctx        context.Context
		dir, want  string
		addr, zone string
	}{
		{context.Background(), t.TempDir(), "port", "127.0.0.1:0", ""},
		{context.Background(), t.TempDir(), "not host:port", "unix:/run/x.sock", ""},
		{context.Background(), t.TempDir(), "control character", "127.0.0.1:1", "a\x01"},
		{context.Background(), open, "others can write", "127.0.0.1:1", ""},
		{context.Background(), filepath.Join(open, "none"), "no such file", "127.0.0.1:1", ""},
		{context.Background(), file, "is not a folder", "127.0.0.1:1", ""},
		{cancelled, t.TempDir(), "canceled", "127.0.0.1:1", ""},
	} {
		_, err := Register(c.ctx, c.dir, registry.Remote{Addr: c.addr, Zone: c.zone})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.addr) {
			t.Errorf("registering %q gave %v; want an error with %q", c.addr, err, c.want)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	path := filepath.Join(b.TempDir(), "r.yaml")
	if err := os.WriteFile(path, benchFile(2000, 10), 0o600); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		u, err := Read(path)
		if err != nil || len(u.Services) != 2000 {
			b.Fatal(err)
		}
	}
}

func benchFile(services, endpoints int) []byte {
	var out strings.Builder
	out.WriteString("services:\n")
	for s := range services {
		fmt.Fprintf(&out, "  bench.Service%d:\n    framing: framed-binary\n    timeout: 500ms\n    endpoints:\n", s)
		for e := range endpoints {
			fmt.Fprintf(&out, "      - {addr: 10.%d.%d.%d:9090, weight: 100, zone: a}\n", s/250, s%250, e+1)
		}
	}
	return []byte(out.String())
}
