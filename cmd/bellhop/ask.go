package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/bellhop-mesh/bellhop/cmd/bellhop/admin"
	"github.com/bellhop-mesh/bellhop/cmd/bellhop/config"
	"github.com/bellhop-mesh/bellhop/cmd/bellhop/status"
)

// askFlags say which proxy is asked.
type askFlags struct {
	runDir, admin string
	json, watch   bool
	window        time.Duration
}

func newStatus() *cobra.Command {
	var f askFlags
	c := &cobra.Command{
		Use:   "status",
		Short: "Show what a running proxy is doing",
		Long: `Show what a running proxy is doing: listeners, services, endpoints, remote proxies, sources, calls per second, p50 and
p99 within the window (since the start, when there was no call in it).`,
		Example: `  bellhop status
  bellhop status --watch
  bellhop status --json | jq '.services[].name'
  bellhop status --run-dir /run/bellhop-remote`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return showStatus(c.Context(), c.OutOrStdout(), f) },
	}
	f.where(c)
	c.Flags().BoolVar(&f.json, "json", false, "print one JSON object, a line each with --watch")
	c.Flags().BoolVarP(&f.watch, "watch", "w", false, "go on until interrupted")
	c.Flags().DurationVar(&f.window, "window", time.Second, "what is measured in, up to 10s")
	return c
}

func (f *askFlags) where(c *cobra.Command) {
	c.Flags().StringVar(&f.runDir, "run-dir", config.DefaultRunDir(config.Local), "run `directory` of the proxy")
	c.Flags().StringVar(&f.admin, "admin", "", "admin `address` (unix:/path or host:port), when it is not in the run directory")
}

func (f *askFlags) address() (string, error) {
	if f.admin != "" {
		return f.admin, nil
	}
	dir, err := filepath.Abs(f.runDir)
	if err != nil {
		return "", err
	}
	return "unix:" + filepath.Join(dir, "private", "admin.sock"), nil
}

func showStatus(ctx context.Context, w io.Writer, f askFlags) error {
	if f.window <= 0 || f.window > 10*time.Second {
		return usage(fmt.Errorf("--window %v: write a duration up to 10s", f.window))
	}
	addr, err := f.address()
	if err != nil {
		return err
	}
	screen := newScreen(w)
	for {
		var s admin.Status
		if err := admin.Ask(ctx, addr, "/status?window="+url.QueryEscape(f.window.String()), &s); err != nil {
			if ctx.Err() != nil && f.watch {
				return nil // interrupted, as it should be
			}
			return err
		}
		if err := f.print(w, screen, &s); err != nil || !f.watch {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

func (f *askFlags) print(w io.Writer, screen *screen, s *admin.Status) error {
	switch {
	case f.json && f.watch:
		return json.NewEncoder(w).Encode(s)
	case f.json:
		return writeJSON(w, s)
	case !f.watch:
		return status.Write(w, s, status.Options{Width: screen.width()})
	}
	var b strings.Builder
	if err := status.Write(&b, s, status.Options{Width: screen.width()}); err != nil {
		return err
	}
	return screen.show(b.String())
}

// writeJSON writes an answer as --json shows it.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// byHand judges how long something is set for by hand, which flag says.
func byHand(flag string, d time.Duration) error {
	if d <= 0 || d > admin.MaxByHand {
		return usage(fmt.Errorf("%s %v: write a duration up to %s, like 10m", flag, d, mostByHand))
	}
	return nil
}

// mostByHand is admin.MaxByHand as flags are written.
var mostByHand = fmt.Sprintf("%.0fh", admin.MaxByHand.Hours())

// screen rewrites a terminal in place; anything else gets one text after the other.
type screen struct {
	w    io.Writer
	file *os.File // nil: no terminal
}

func newScreen(w io.Writer) *screen {
	s := &screen{w: w}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		s.file = f
	}
	return s
}

// width is the terminal's, 0 when there is none.
func (s *screen) width() int {
	if s.file == nil {
		return 0
	}
	n, _, err := term.GetSize(int(s.file.Fd()))
	if err != nil {
		return 0
	}
	return n
}

// The terminal's words: to the top left corner; erase to the end of the line; erase to the end of the screen.
const (
	home    = "\x1b[H"
	eraseLn = "\x1b[K"
	eraseSc = "\x1b[J"
)

func (s *screen) show(text string) error {
	if s.file == nil {
		_, err := io.WriteString(s.w, text+"\n")
		return err
	}
	_, err := io.WriteString(s.w, home+strings.ReplaceAll(text, "\n", eraseLn+"\n")+eraseSc)
	return err
}
