package main

import (
	"errors"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/bellhop-mesh/bellhop/cmd/bellhop/config"
	"github.com/bellhop-mesh/bellhop/cmd/bellhop/node"
)

// serveFlags are those of local and remote. They go before the file.
type serveFlags struct {
	file, runDir, registry, level string
}

func (f *serveFlags) add(c *cobra.Command) {
	c.Flags().StringVarP(&f.file, "config", "c", "", "configuration `file` (docs/configuration.md); without one the defaults stand")
	c.Flags().StringVar(&f.runDir, "run-dir", "", "run `directory`; goes before the file's run_dir, which goes before $"+config.RunDirEnv)
	c.Flags().StringVar(&f.registry, "registry", "", "registry `path`, a YAML file or a folder; goes before the file's registry.path")
	c.Flags().StringVar(&f.level, "log-level", "", "debug, info, warn or error; goes before the file's log.level")
}

func newLocal() *cobra.Command {
	var f serveFlags
	c := &cobra.Command{
		Use:   "local",
		Short: "Run the proxy of this host",
		Long: `Run the proxy of this host.

Works without any configuration: services come from /etc/bellhop/services.d, or from a folder in the run directory, both
watched; a configuration adds ZooKeeper ensembles and Kubernetes (registry.zookeeper, registry.kubernetes). Guests find the
proxy by RUN_DIR/pub/address. SIGTERM or SIGINT drains it: exit code 0 when every call was answered in time.`,
		Example: `  bellhop local
  bellhop local -c /etc/bellhop/local.yaml
  bellhop local --run-dir /tmp/bellhop --registry ./services.yaml --log-level debug`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return serve(c, config.Local, f) },
	}
	f.add(c)
	return c
}

func newRemote() *cobra.Command {
	var f serveFlags
	c := &cobra.Command{
		Use:   "remote",
		Short: "Run a member of the remote proxy cluster",
		Long: `Run a member of the remote proxy cluster.

The same data path as a local proxy. It registers itself in the registry folder, serves callers who fall back, and admits
calls that local proxies hand over when they show the shared token or a certificate. It never hands off again.`,
		Example: `  bellhop remote
  bellhop remote -c /etc/bellhop/remote.yaml
  bellhop remote --run-dir /tmp/bellhop-remote --registry ./services.d`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return serve(c, config.Remote, f) },
	}
	f.add(c)
	return c
}

func serve(c *cobra.Command, role config.Role, f serveFlags) error {
	cfg, err := config.Load(f.file, role)
	if err != nil {
		return usage(err)
	}
	override(&cfg.RunDir, f.runDir)
	override(&cfg.Registry.Path, f.registry)
	override(&cfg.Log.Level, f.level)
	log, err := newLog(cfg.Log)
	if err != nil {
		return usage(err)
	}
	if err := cfg.Resolve(); err != nil {
		return err
	}
	err = node.Run(c.Context(), node.Options{Role: role, Config: cfg, Version: version, Log: log})
	var ce *node.ConfigError
	if errors.As(err, &ce) {
		return usage(err)
	}
	return err
}

func override(s *string, with string) {
	if with != "" {
		*s = with
	}
}

func newLog(c config.Log) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		return nil, err
	}
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, o)), nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, o)), nil
}
