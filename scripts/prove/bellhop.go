package prove

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"github.com/bellhop-mesh/bellhop/daemonset/addrfile"
)

// Bellhop is one proxy under proof, in a folder of its own.
type Bellhop struct {
	Role       string   // local or remote
	Dir        string   // for its configuration, registry, run directory and log
	Config     string   // YAML; admin.listen and registry.path are added
	Registries string   // YAML, a flow mapping's entries: more keys of registry
	Services   string   // YAML of the registry's file
	Rules      string   // YAML; empty: none. Write them anew by WriteRules
	Binary     string   // default bin/bellhop
	Prefix     []string // what it is started by, such as taskset with its arguments; the process must stay the same
	Process    *Process
	Admin      *http.Client // any host name reaches it
}

// AddressFile is where its callers find it.
func (b *Bellhop) AddressFile() string { return filepath.Join(b.Dir, "run", "pub", "address") }

func (b *Bellhop) adminSocket() string { return filepath.Join(b.Dir, "admin.sock") }

// Registry is its registry file; write it anew by WriteServices.
func (b *Bellhop) Registry() string { return filepath.Join(b.Dir, "services.d") }

func (b *Bellhop) rules() string { return filepath.Join(b.Dir, "rules.yaml") }

// WriteRules puts other rules in their place, as a whole: a reader never sees a part.
func (b *Bellhop) WriteRules(text string) error {
	next := b.rules() + ".next"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(next, b.rules())
}

// Address reads the address file.
func (b *Bellhop) Address() (*addrfile.File, error) {
	data, err := os.ReadFile(b.AddressFile())
	if err != nil {
		return nil, err
	}
	return addrfile.Parse(data)
}

// Prepare writes the files. Start does it too.
func (b *Bellhop) Prepare() error {
	if b.Binary == "" {
		b.Binary = "bin/bellhop"
	}
	if b.Role == "" {
		b.Role = "local"
	}
	registry := "path: " + b.Registry()
	if b.Registries != "" {
		registry += ", " + b.Registries
	}
	if b.Rules != "" {
		registry += "}\nrules: {path: " + b.rules()
	}
	config := fmt.Sprintf("admin: {listen: \"unix:%s\"}\nregistry: {%s}\n%s", b.adminSocket(), registry, b.Config)
	err := os.MkdirAll(b.Registry(), 0o700) // and b.Dir with it
	if err == nil {
		err = os.WriteFile(filepath.Join(b.Dir, "bellhop.yaml"), []byte(config), 0o600)
	}
	if err == nil && b.Services != "" {
		err = os.WriteFile(filepath.Join(b.Registry(), "services.yaml"), []byte(b.Services), 0o600)
	}
	if err == nil && b.Rules != "" {
		err = b.WriteRules(b.Rules)
	}
	b.Admin = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", b.adminSocket())
	}}}
	return err
}

// Start runs it and waits until the address file says that it serves: after a crash the file is there already, so its
// instance must be a new one.
func (b *Bellhop) Start(ctx context.Context) error {
	if err := b.Prepare(); err != nil {
		return err
	}
	before := ""
	if f, err := b.Address(); err == nil {
		before = f.Instance
	}
	argv := []string{b.Binary, b.Role, "-c", filepath.Join(b.Dir, "bellhop.yaml"), "--run-dir", filepath.Join(b.Dir, "run")}
	p, err := Start(b.Dir, "bellhop-"+b.Role, append(slices.Clone(b.Prefix), argv...)...)
	if err != nil {
		return err
	}
	b.Process = p
	return p.Await(ctx, func() error {
		f, err := b.Address()
		if err != nil {
			return err
		}
		if f.State != addrfile.Serving || f.Instance == before {
			return errors.New("the address file is not its own yet")
		}
		return nil
	})
}
