package interop

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// comboTimeout bounds one combination; a caller process that is silent for longer is ended and all it owes has failed.
const comboTimeout = 60 * time.Second

// reasonBytes is how much of a failure is printed.
const reasonBytes = 300

// Combo is one cell of the matrix: who calls in which framing, and whom.
type Combo struct {
	Caller, Framing string
	To              Target
	Addr            string // where the caller connects
	Service         string // what it names; empty: the listener says it, or there is no proxy
}

// String is the combination as it is printed.
func (c Combo) String() string {
	how := ""
	switch {
	case c.Addr == c.To.Addr && c.Service != "":
		how = " by name"
	case c.Addr != c.To.Addr && c.Service == "":
		how = " by a listener of its own"
	}
	return fmt.Sprintf("%-6s %-16s -> %-6s %-16s%s", c.Caller, c.Framing, c.To.Lang, c.To.Framing, how)
}

// Result is one combination's outcome.
type Result struct {
	Combo
	Checks int    // how many checks passed, when all did
	Reason string // empty when all did
}

// Through are the combinations by way of the proxy: every caller framing to every server framing, and, where a listener
// is bound to a service, every caller framing that need not name it.
func Through(p *Proxy, langs []Lang, targets []Target) []Combo {
	var all []Combo
	for _, l := range langs {
		for _, f := range l.Calls {
			for _, t := range targets {
				addr := p.Addr
				if f == "binary-lax" {
					addr = p.Lax
				}
				all = append(all, Combo{Caller: l.Name, Framing: f, To: t, Addr: addr, Service: t.Service()})
				if addr, ok := p.bound[t.Service()]; ok && !slices.Contains(ours, f) && f != "binary-lax" {
					all = append(all, Combo{Caller: l.Name, Framing: f, To: t, Addr: addr})
				}
			}
		}
	}
	return all
}

// Direct are the combinations that need no proxy: callers and servers of one framing, with and without a service name.
func Direct(langs []Lang, targets []Target) []Combo {
	var all []Combo
	for _, l := range langs {
		for _, f := range l.Calls {
			for _, t := range targets {
				if t.Framing == f {
					c := Combo{Caller: l.Name, Framing: f, To: t, Addr: t.Addr}
					named := c
					named.Service = t.Service()
					all = append(all, c, named)
				}
			}
		}
	}
	return all
}

// Run tries every combination, the languages side by side, and prints one line for each to w. It returns the results in
// the order of combos. An error means that a caller could not be started.
func Run(ctx context.Context, root string, combos []Combo, w io.Writer) ([]Result, error) {
	results := make([]Result, len(combos))
	byCaller := map[string][]int{}
	for i, c := range combos {
		byCaller[c.Caller] = append(byCaller[c.Caller], i)
	}
	var mu sync.Mutex
	report := func(i int, r Result) {
		mu.Lock()
		defer mu.Unlock()
		results[i] = r
		fmt.Fprintln(w, r)
	}
	var wg sync.WaitGroup
	errs := make(chan error, len(byCaller))
	for lang, mine := range byCaller {
		wg.Go(func() { errs <- runCaller(ctx, root, lang, mine, combos, report) })
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return results, err
		}
	}
	return results, nil
}

// String is the line that is printed.
func (r Result) String() string {
	if r.Reason == "" {
		return r.Combo.String() + " passed"
	}
	return r.Combo.String() + " failed (" + r.Reason + ")"
}

// runCaller has one caller process try the combinations that mine counts. One that dies is started again for the rest.
func runCaller(ctx context.Context, root, lang string, mine []int, combos []Combo, report func(int, Result)) error {
	for len(mine) > 0 {
		p, err := start(lang+" client", filepath.Join(root, ".cache/interop/bin", lang), "client")
		if err != nil {
			return err
		}
		stop := context.AfterFunc(ctx, func() { _ = p.cmd.Process.Kill() })
		for len(mine) > 0 {
			i := mine[0]
			mine = mine[1:]
			c := combos[i]
			r := Result{Combo: c}
			fmt.Fprintf(p.stdin, "%d %s %s %s\n", i, c.Framing, c.Addr, c.Service)
			text, err := p.line(comboTimeout)
			if err != nil {
				r.Reason = cut(err.Error())
				report(i, r)
				break
			}
			r.Checks, r.Reason = parse(text, strconv.Itoa(i))
			report(i, r)
		}
		stop()
		p.stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// parse reads "ID ok N" or "ID FAIL what".
func parse(text, id string) (checks int, reason string) {
	word := strings.Fields(text)
	if len(word) == 3 && word[0] == id && word[1] == "ok" {
		if n, err := strconv.Atoi(word[2]); err == nil && n > 0 {
			return n, ""
		}
	}
	if rest, ok := strings.CutPrefix(text, id+" FAIL "); ok {
		return 0, cut(rest)
	}
	return 0, cut("the caller said " + text)
}

func cut(s string) string {
	s = strings.ReplaceAll(s, "\n", " ")
	if len(s) > reasonBytes {
		return s[:reasonBytes] + " …"
	}
	return s
}

// Summary prints what cannot exist, the failures again, and the counts; it returns how many failed.
func Summary(w io.Writer, results []Result, took time.Duration) (failed int) {
	for _, a := range Absent() {
		fmt.Fprintln(w, "cannot exist:", a)
	}
	for _, r := range results {
		if r.Reason != "" {
			failed++
			fmt.Fprintln(w, r)
		}
	}
	fmt.Fprintf(w, "%d combinations in %.1f s, starting included\n", len(results), took.Seconds())
	fmt.Fprintf(w, "prove-interop: %d passed, %d failed\n", len(results)-failed, failed)
	return failed
}
