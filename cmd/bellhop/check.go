package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/bellhop-mesh/bellhop/cmd/bellhop/config"
	"github.com/bellhop-mesh/bellhop/cmd/bellhop/node"
	"github.com/bellhop-mesh/bellhop/registry/file"
)

type checkFlags struct{ file, role, registry string }

func newCheck() *cobra.Command {
	var f checkFlags
	c := &cobra.Command{
		Use:   "check",
		Short: "Check a configuration, its registry files and its rules",
		Long: `Check a configuration and the registry and rules files that it names, as the proxy would read them. Everything that is wrong is
told at once, one line each, with file, line and key; the exit code is then 2. Nothing is started and nothing is written.`,
		Example: `  bellhop check -c /etc/bellhop/local.yaml
  bellhop check -c remote.yaml --role remote
  bellhop check --registry services.yaml`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return check(c.OutOrStdout(), f) },
	}
	c.Flags().StringVarP(&f.file, "config", "c", "", "configuration `file`; without one the defaults are checked")
	c.Flags().StringVar(&f.role, "role", "local", "who reads the file: local or remote")
	c.Flags().StringVar(&f.registry, "registry", "", "registry `path`; goes before the file's registry.path")
	return c
}

func check(w io.Writer, f checkFlags) error {
	role := config.Role(f.role)
	if role != config.Local && role != config.Remote {
		return usage(fmt.Errorf("--role %q: write local or remote", f.role))
	}
	cfg, wrong := config.Load(f.file, role)
	if wrong != nil && f.registry == "" {
		return usage(wrong) // it would name the registry
	}
	if cfg == nil {
		cfg = config.Default(role)
	}
	override(&cfg.Registry.Path, f.registry)
	named := cfg.Registry.Path != ""
	if err := cfg.Resolve(); err != nil {
		return err
	}
	if err := node.CheckFiles(cfg, role); err != nil {
		wrong = errors.Join(wrong, err)
	}
	u, err := file.Read(cfg.Registry.Path, file.WithFraming(node.CheckFraming), file.WithValidate(node.CheckService))
	if _, missing := os.Stat(cfg.Registry.Path); err != nil && !named && errors.Is(missing, fs.ErrNotExist) {
		err = nil // the default folder is made at the start
	}
	r, bad := checkConfigured(cfg.Rules.Path)
	if r != nil && err == nil {
		bad = node.CheckRules(u, r)
	}
	if err := errors.Join(wrong, err, bad); err != nil {
		return usage(err)
	}
	endpoints := 0
	for _, s := range u.Services {
		endpoints += len(s.Endpoints)
	}
	also := ""
	if r != nil {
		also = ", rules " + cfg.Rules.Path + " with digest " + r.Digest
	}
	_, err = fmt.Fprintf(w, "ok: %s, %s with %d services, %d endpoints, %d remote proxies%s\n",
		orWord(f.file, "the defaults of bellhop "+f.role), cfg.Registry.Path, len(u.Services), endpoints, len(u.Remotes), also)
	return err
}

func orWord(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

func newVersion() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  bellhop version\n  bellhop version --json | jq -r .version",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			v := versionInfo()
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(v)
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "bellhop %s (%s, %s/%s%s)\n", v.Version, v.Go, v.OS, v.Arch, prefixed(", revision ", v.Revision))
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

type versionJSON struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

func versionInfo() versionJSON {
	v := versionJSON{Version: version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v.Revision = s.Value
			}
		}
	}
	return v
}
