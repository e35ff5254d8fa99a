package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bellhop-mesh/bellhop/cmd/bellhop/admin"
	"github.com/bellhop-mesh/bellhop/proxy/rules"
	"github.com/bellhop-mesh/bellhop/registry"
)

func newRules() *cobra.Command {
	c := &cobra.Command{
		Use:   "rules",
		Short: "Check a rules document, or show the one in force",
		Long: `Check a rules document before it is put where the proxies read it, or show what a running proxy has in force.
The document is described in docs/rules.md.`,
		Example: `  bellhop rules check rules.yaml
  bellhop rules show`,
		Args: onlyCommands,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newRulesCheck(), newRulesShow())
	return c
}

func newRulesCheck() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "check FILE...",
		Short: "Check rules documents as the proxy would read them",
		Long: `Check rules documents as the proxy would read them. Everything that is wrong is told at once, one line each, with file, line
and key; the exit code is then 2. - is the standard input. bellhop check -c FILE judges rules.path together with the
registry, too.`,
		Example: `  bellhop rules check rules.yaml
  kubectl get configmap rules -o jsonpath='{.data.rules\.yaml}' | bellhop rules check -
  bellhop rules check --json *.yaml | jq '.[] | select(.ok | not)'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return checkRules(c.InOrStdin(), c.OutOrStdout(), args, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON list, an object for each file")
	return c
}

// checkedJSON is what is said of one file.
type checkedJSON struct {
	File     string          `json:"file"`
	OK       bool            `json:"ok"`
	Digest   string          `json:"digest,omitempty"`
	Services int             `json:"services"`
	Zones    int             `json:"zones"`
	Rules    int             `json:"rules"`
	Sources  int             `json:"sources"`
	Hosts    int             `json:"hosts"`
	Problems []rules.Problem `json:"problems"`
}

func checkRules(in io.Reader, w io.Writer, files []string, asJSON bool) error {
	out := make([]checkedJSON, 0, len(files))
	var wrong []error
	for _, name := range files {
		c := checkedJSON{File: name, Problems: []rules.Problem{}}
		r, err := readRules(in, name)
		if r != nil {
			c.OK, c.Digest = true, r.Digest
			c.Services, c.Zones, c.Hosts = r.Size()
			c.Rules, c.Sources = r.Govern().Len(), r.Govern().Sources()
		}
		if err != nil {
			wrong = append(wrong, err)
			c.Problems = rules.ProblemsOf(err)
		}
		out = append(out, c)
	}
	if asJSON {
		if err := writeJSON(w, out); err != nil {
			return err
		}
		return usage(errors.Join(wrong...))
	}
	for _, c := range out {
		if c.OK {
			_, err := fmt.Fprintf(w, "ok: %s, digest %s, %d services, %d zones, %d rules, %d sources, %d hosts\n",
				c.File, c.Digest, c.Services, c.Zones, c.Rules, c.Sources, c.Hosts)
			if err != nil {
				return err
			}
		}
	}
	return usage(errors.Join(wrong...))
}

// readRules reads a file, or the standard input for -.
func readRules(in io.Reader, name string) (*rules.Rules, error) {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, registry.MaxDocument+1))
	if err != nil {
		return nil, err
	}
	return rules.Parse(name, data)
}

// checkConfigured reads the rules of a configuration; none without an error: they are elsewhere, or not there yet.
func checkConfigured(path string) (*rules.Rules, error) {
	if path == "" {
		return nil, nil
	}
	r, err := readRules(nil, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return r, err
}

func newRulesShow() *cobra.Command {
	var f askFlags
	var document bool
	c := &cobra.Command{
		Use:   "show",
		Short: "Show the rules that a running proxy has in force",
		Long: `Show the rules that a running proxy has in force: from where, version and digest, what was refused last and why, and the
services that could not be called as the rules want.`,
		Example: `  bellhop rules show
  bellhop rules show --document > rules.yaml
  bellhop rules show --json | jq .in_force.digest`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return showRules(c.Context(), c.OutOrStdout(), f, document) },
	}
	f.where(c)
	c.Flags().BoolVar(&f.json, "json", false, "print one JSON object")
	c.Flags().BoolVar(&document, "document", false, "print the document in force and nothing else")
	return c
}

func showRules(ctx context.Context, w io.Writer, f askFlags, document bool) error {
	addr, err := f.address()
	if err != nil {
		return err
	}
	var a admin.RulesAnswer
	if err := admin.Ask(ctx, addr, "/rules", &a); err != nil {
		return err
	}
	switch {
	case f.json:
		return writeJSON(w, a)
	case document:
		_, err := io.WriteString(w, a.Document)
		return err
	}
	var b strings.Builder
	describeRules(&b, &a)
	_, err = io.WriteString(w, b.String())
	return err
}

func describeRules(b *strings.Builder, a *admin.RulesAnswer) {
	if in := a.InForce; in == nil {
		b.WriteString("no rules are in force\n")
	} else {
		fmt.Fprintf(b, "in force: %s, version %s, digest %s, since %s\n", in.From, orWord(in.Version, "unknown"), in.Digest, in.Since.Format(time.RFC3339))
		if in.LastGood {
			b.WriteString("they are those of the last run; their place has not confirmed them\n")
		}
	}
	if a.Missing {
		b.WriteString("there is no document in the place of the rules now\n")
	}
	if r := a.Refused; r != nil {
		word := "refused before"
		if a.Wrong {
			word = "THE DOCUMENT AS IT IS NOW IS REFUSED"
		}
		fmt.Fprintf(b, "%s: %s, version %s, digest %s, at %s\n", word, r.From, orWord(r.Version, "unknown"), r.Digest, r.When.Format(time.RFC3339))
		for _, p := range r.Told() {
			fmt.Fprintf(b, "  %s\n", p)
		}
	}
	for _, c := range a.Conflicts {
		fmt.Fprintf(b, "not in force on %s: %s\n", c.Service, c.Problem)
	}
	if a.Document != "" {
		fmt.Fprintf(b, "\n%s\n", strings.TrimRight(a.Document, "\n"))
	}
}
