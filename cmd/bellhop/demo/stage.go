package demo

import (
	"context"
	"crypto/rand"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/client/python"
	"github.com/bellhop-mesh/bellhop/daemonset/addrfile"
)

// stage is what the demo runs on: a temporary directory and the processes that live in it.
//
//	DIR ├── token                       shared by the proxies
//	    ├── local.yaml, remote.yaml     the two configurations
//	    ├── services.d/                 the local proxy's registry; the remote proxy lists itself here
//	    ├── services-remote.d/          the remote proxy's registry, with one service more
//	    ├── local/, remote/             run directories
//	    ├── python/                     the Python caller and its library
//	    └── logs/
type stage struct {
	*family
	dir, exe string
	say      func(format string, args ...any)
	local    *child
}

// stageLine tells of a process: its name, where it is, and what it is.
const stageLine = "%-10s %-36s %s"

// startPatience is how long any process may take to start, on a machine that is busy.
const startPatience = 10 * time.Second

// maxDir keeps the paths of the sockets below the kernel's 107 bytes.
const maxDir = 80

func newStage(say func(string, ...any)) (*stage, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "bellhop-demo-")
	if err == nil && len(dir) > maxDir {
		_ = os.Remove(dir)
		dir, err = os.MkdirTemp("/tmp", "bellhop-demo-")
	}
	if err != nil {
		return nil, err
	}
	s := &stage{dir: dir, exe: exe, say: say}
	for _, sub := range []string{"logs", "services.d", "services-remote.d", "python/bellhop_client"} {
		if err := os.MkdirAll(s.path(sub), 0o755); err != nil {
			_ = os.RemoveAll(dir)
			return nil, err
		}
	}
	s.family = newFamily(s.path("logs"))
	return s, nil
}

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

func (s *stage) addressFile() string { return s.path("local/pub/" + addrfile.Name) }

// close ends every process and removes every file.
func (s *stage) close() {
	s.family.close()
	_ = os.RemoveAll(s.dir) // what is left of it is in the temporary directory, for the system to remove
}

// build starts the services and the proxies, in the order in which nobody meets somebody who is not there.
func (s *stage) build(ctx context.Context) error {
	addrs := map[string]string{}
	for _, x := range [][3]string{
		{"greeter-1", "greeter", greeterService + ", Thrift, framed binary"},
		{"greeter-2", "greeter", greeterService + ", a second instance"},
		{"orders", "orders", ordersService + ", OSP"},
		{"faraway", "greeter", farawayService + ", which only the remote proxy knows"},
	} {
		addr, err := s.service(x[1], x[0])
		if err != nil {
			return err
		}
		addrs[x[0]] = addr
		s.say(stageLine, x[0], addr, x[2])
	}
	if err := s.writeFiles(addrs); err != nil {
		return err
	}
	if _, err := s.start("remote", nil, s.exe, "remote", "-c", s.path("remote.yaml")); err != nil {
		return err
	}
	f, err := s.await(ctx, s.path("remote/pub/"+addrfile.Name), "", func(f *addrfile.File) bool { return s.registered() })
	if err != nil {
		return fmt.Errorf("bellhop remote: %w", err)
	}
	s.say(stageLine, "remote", where(f), "a member of the remote proxy cluster")
	f, err = s.startLocal(ctx)
	if err != nil {
		return err
	}
	s.say(stageLine, "local", where(f), "the proxy of this host; address file "+s.addressFile())
	return ctx.Err()
}

// service starts a sample service and returns its address.
func (s *stage) service(kind, name string) (string, error) {
	c, err := s.start(name, nil, s.exe, "demo", "service", kind, name)
	if err != nil {
		return "", err
	}
	return c.line(startPatience)
}

// startLocal starts the local proxy and waits until guests are told to come.
func (s *stage) startLocal(ctx context.Context) (*addrfile.File, error) {
	before := ""
	if f := addrfile.NewReader(s.addressFile(), addrfile.SystemClock()).View().File; f != nil {
		before = f.Instance
	}
	c, err := s.start("local", nil, s.exe, "local", "-c", s.path("local.yaml"))
	if err != nil {
		return nil, err
	}
	f, err := s.await(ctx, s.addressFile(), before, func(f *addrfile.File) bool { return len(f.Remote) > 0 })
	if err != nil {
		return nil, fmt.Errorf("bellhop local: %w%s", err, c.lastWords())
	}
	s.local = c
	return f, nil
}

// await waits until another instance than before is serving, and good says so too.
func (s *stage) await(ctx context.Context, path, before string, good func(*addrfile.File) bool) (*addrfile.File, error) {
	r := addrfile.NewReader(path, addrfile.SystemClock())
	patience := time.After(startPatience)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		r.Poll()
		if f := r.View().File; f != nil && f.State == addrfile.Serving && f.Instance != before && good(f) {
			return f, nil
		}
		select {
		case <-look.C:
		case err := <-s.trouble:
			return nil, err
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-patience:
			return nil, fmt.Errorf("its address file %s did not say serving within %v", path, startPatience)
		}
	}
}

// registered reports whether the remote proxy has listed itself.
func (s *stage) registered() bool {
	found, err := filepath.Glob(s.path("services.d/remote-*.yaml"))
	return err == nil && len(found) > 0
}

func where(f *addrfile.File) string {
	out := make([]string, len(f.Local))
	for i, a := range f.Local {
		out[i] = a.Net + ":" + a.Addr
	}
	return strings.Join(out, " ")
}

func (s *stage) writeFiles(addrs map[string]string) error {
	greeter := "  " + greeterService + ":\n    framing: framed-binary\n    idempotent: [" + helloMethod + "]\n    endpoints: [\"" +
		addrs["greeter-1"] + "\", \"" + addrs["greeter-2"] + "\"]\n"
	order := "  " + ordersService + ":\n    framing: osp\n    idempotent: [" + placeMethod + "]\n    endpoints: [\"" + addrs["orders"] + "\"]\n"
	faraway := "  " + farawayService + ":\n    framing: framed-binary\n    idempotent: [" + helloMethod + "]\n"
	files := map[string]string{
		"token":                           rand.Text(),
		"services.d/services.yaml":        "services:\n" + greeter + order + faraway + "    remote: true\n",
		"services-remote.d/services.yaml": "services:\n" + greeter + order + faraway + "    endpoints: [\"" + addrs["faraway"] + "\"]\n",
		"local.yaml": fmt.Sprintf("run_dir: %q\nlisteners:\n  - {net: unix, addr: call.sock}\n  - {net: tcp, addr: \"127.0.0.1:0\"}\n"+
			"registry: {path: %q}\nhandoff: {token_file: %q}\ndrain: {grace: 100ms}\n", s.path("local"), s.path("services.d"), s.path("token")),
		"remote.yaml": fmt.Sprintf("run_dir: %q\nlisteners:\n  - {net: tcp, addr: \"127.0.0.1:0\"}\nregistry: {path: %q}\n"+
			"remote: {token_file: %q, register: %q}\ndrain: {grace: 100ms}\n",
			s.path("remote"), s.path("services-remote.d"), s.path("token"), s.path("services.d")),
		"python/caller.py": callerScript,
	}
	library, err := fs.Glob(python.Library, "bellhop_client/*.py")
	if err != nil {
		return err
	}
	for _, name := range library {
		b, err := python.Library.ReadFile(name)
		if err != nil {
			return err
		}
		files["python/"+name] = string(b)
	}
	for name, content := range files {
		if err := os.WriteFile(s.path(name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}
