package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"github.com/bellhop-mesh/bellhop/registry"
	"github.com/bellhop-mesh/bellhop/registry/strict"
)

// Register lists a member of the remote proxy cluster: it writes remote-HOST-PORT.yaml with a remotes list into dir, a
// folder that local proxies watch, whole and at once. ctx bounds the registering only. deregister removes the file,
// unless another process has registered under the same address since, as the new process of an upgrade does; a second
// call does nothing. dir must exist and must not be writable by others. Safe for concurrent use.
func Register(ctx context.Context, dir string, remote registry.Remote) (deregister func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("register remote proxy %s: %w", remote.Addr, err)
	}
	path, data, err := entry(dir, remote)
	if err != nil {
		return nil, fmt.Errorf("register remote proxy %q: %w", remote.Addr, err)
	}
	mine, err := registry.ReplaceFile(path, data, 0o644)
	if err != nil {
		return nil, fmt.Errorf("register remote proxy %s: %w", remote.Addr, err)
	}
	return sync.OnceFunc(func() {
		if now, err := os.Lstat(path); err == nil && os.SameFile(mine, now) {
			_ = os.Remove(path) // a stale entry is what a crash leaves too: local proxies pass over who refuses
		}
	}), nil
}

// entry returns the name and the content of a remote proxy's file, which Read must take.
func entry(dir string, remote registry.Remote) (string, []byte, error) {
	canonical, err := registry.CanonicalAddr(remote.Addr)
	if err != nil {
		return "", nil, fmt.Errorf("its address %w", err)
	}
	host, port, err := net.SplitHostPort(canonical)
	if err != nil || strings.HasPrefix(canonical, "unix:") {
		return "", nil, errors.New("its address is not host:port")
	}
	type item struct {
		Addr   string `yaml:"addr"`
		Zone   string `yaml:"zone,omitempty"`
		Weight int    `yaml:"weight,omitempty"`
	}
	data, err := yaml.Marshal(map[string][]item{"remotes": {{canonical, remote.Zone, remote.Weight}}})
	if err != nil {
		return "", nil, err
	}
	// A name may not hold ':' everywhere, and '/' nowhere; '%' comes with the zone of a link-local address.
	name := "remote-" + strings.NewReplacer(":", "-", "%", "-", "/", "-").Replace(host) + "-" + port + ".yaml"
	path := filepath.Join(dir, name)
	out := &strict.Report{}
	(&parser{Reader: strict.Reader{File: path, Report: out}, room: &room{remotes: 1}}).parse(data)
	if err := out.Err(); err != nil {
		return "", nil, err
	}
	if info, err := os.Stat(dir); err != nil {
		return "", nil, err
	} else if !info.IsDir() {
		return "", nil, &fs.PathError{Op: "register in", Path: dir, Err: errors.New("is not a folder; the registry of a remote proxy must be a folder of files")}
	}
	return path, data, nil
}
