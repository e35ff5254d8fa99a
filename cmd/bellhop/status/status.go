// Package status is what `bellhop status` and `bellhop explain` print. It must never ask anybody anything: it turns what the
// admin side has said into text.
//
//	admin.Status ─► Write ─► headline, listeners, services with their endpoints, remote proxies, sources, total
//	proxy.Explanation ─► Explain ─► verdict, rules, limits, settings, endpoints, budgets, source, failed calls
package status

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/bellhop-mesh/bellhop/cmd/bellhop/admin"
	"github.com/bellhop-mesh/bellhop/proxy"
)

// Options say how much is shown.
type Options struct {
	MaxSources int // the busiest so many; 0: 10
	Width      int // columns of the terminal, longer lines are cut; 0: no bound
	Color      bool
}

// Write prints s. The error is w's.
func Write(w io.Writer, s *admin.Status, o Options) error {
	if o.MaxSources == 0 {
		o.MaxSources = 10
	}
	var b strings.Builder
	headline(&b, s)
	table(&b, "LISTENER\tADDRESS\tFRAMING\tSERVICE", listeners(s))
	table(&b, "SERVICE\tENDPOINT\tMODE\tFRAMING\tCONNS\tIN FLIGHT\tWAITING\tCALLS/S\tFAILED/S\tP50\tP99\tCALLS\tFAILED", services(s))
	if len(s.Remotes) > 0 {
		table(&b, "REMOTE PROXY\tZONE\tCONNS\tIN FLIGHT\tLATENCY", remotes(s))
	}
	table(&b, "SOURCE\tWORKLOAD\tCONNS\tIN FLIGHT\tQUEUED\tDELAY P99\tBUFFERED\tCALLS/S\tCALLS\tFAILED", sources(s, o.MaxSources))
	t := &s.Total
	b.WriteByte('\n')
	fmt.Fprintf(&b, "%s calls/s, %s failed/s, p50 %s, p99 %s; %d in flight, %s buffered, %d caller connections; since the start %d calls, %d failed%s\n",
		rate(t.PerSecond), rate(t.FailPerS), micros(t.P50us), micros(t.P99us), s.InFlight, Bytes(s.Bytes), s.CallerConns, t.Calls, t.Failed, by(t.FailedBy))
	if len(s.HandedOver) > 0 {
		fmt.Fprintf(&b, "handed over to the remote tier since the start%s\n", by(s.HandedOver))
	}
	_, err := io.WriteString(w, cut(b.String(), o.Width))
	return err
}

func headline(b *strings.Builder, s *admin.Status) {
	state := s.State
	if s.Ready != "ok" {
		state += ", NOT READY: " + s.Ready
	}
	place := s.Host
	if s.Zone != "" {
		place += " in zone " + s.Zone
	}
	fmt.Fprintf(b, "bellhop %s %s on %s: %s, up %s, pid %d, instance %s\n", s.Role, s.Version, place, state,
		(time.Duration(s.UptimeS) * time.Second).String(), s.PID, s.Instance)
	fmt.Fprintf(b, "run directory %s, registry %s\n", s.RunDir, s.Registry)
	if s.RulesWrong != "" {
		fmt.Fprintf(b, "THE RULES ARE WRONG, the old ones are in force:\n  %s\n", strings.ReplaceAll(s.RulesWrong, "\n", "\n  "))
	}
	for _, p := range s.Protected {
		who := "service " + p.Service
		if p.Service == "" {
			who = "remote proxies"
		}
		fmt.Fprintf(b, "PROTECTED: %d endpoints of %s (%s) since %s, which %s does not name any more\n",
			p.Endpoints, who, p.Why, p.Since.Format(time.TimeOnly), p.Source)
	}
	pressed(b, s)
	if s.Problem != "" {
		fmt.Fprintf(b, "THE REGISTRY IS WRONG, what was read before stands:\n  %s\n", strings.ReplaceAll(s.Problem, "\n", "\n  "))
	}
}

// table prints rows of cells under a head of cells, aligned.
func table(b *strings.Builder, head string, rows []string) {
	b.WriteByte('\n')
	var cells strings.Builder
	tw := tabwriter.NewWriter(&cells, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, head)
	if len(rows) == 0 {
		rows = []string{"none"}
	}
	for _, r := range rows {
		fmt.Fprintln(tw, r)
	}
	_ = tw.Flush() // into a strings.Builder
	for l := range strings.Lines(cells.String()) {
		b.WriteString(strings.TrimRight(l, " \n") + "\n")
	}
}

func row(cells ...any) string {
	out := make([]string, len(cells))
	for i, c := range cells {
		if out[i] = fmt.Sprint(c); out[i] == "" {
			out[i] = "-"
		}
	}
	return strings.Join(out, "\t")
}

func listeners(s *admin.Status) (rows []string) {
	for _, l := range s.Listeners {
		framing := l.Framing
		if l.TLS {
			framing += ", TLS"
		}
		if l.Ordered {
			framing += ", ordered"
		}
		service := l.Service
		if service == "" {
			service = "any"
		}
		rows = append(rows, row(l.Name, l.Net+":"+l.Addr, framing, service))
	}
	return rows
}

func services(s *admin.Status) (rows []string) {
	for _, v := range s.Services {
		figures := []any{rate(v.PerSecond), rate(v.FailPerS), micros(v.P50us), micros(v.P99us), v.Calls, fmt.Sprint(v.Failed, by(v.FailedBy))}
		first := append([]any{v.Name, "no endpoint", v.Mode, "", "", "", ""}, figures...)
		if len(v.Endpoints) > 0 {
			first = append(append([]any{v.Name}, endpoint(&v.Endpoints[0])...), figures...)
		}
		rows = append(rows, row(first...))
		for i := 1; i < len(v.Endpoints); i++ {
			rows = append(rows, "\t"+row(endpoint(&v.Endpoints[i])...)+strings.Repeat("\t", len(figures)))
		}
	}
	return rows
}

func endpoint(e *proxy.EndpointStats) []any {
	name := e.Endpoint
	switch h := e.Health; {
	case h != nil && h.Reason == "manual":
		name += " (opened by hand)"
	case h != nil && h.State != "closed":
		name += " (kept away from: " + h.Reason + ")"
	case e.Down:
		name += " (backing off)"
	}
	return []any{name, e.Mode, e.Framing, e.Conns, e.InFlight, e.Waiting}
}

func remotes(s *admin.Status) (rows []string) {
	for i := range s.Remotes {
		e := &s.Remotes[i]
		name := e.Endpoint
		if e.Down {
			name += " (backing off)"
		}
		rows = append(rows, row(name, e.Zone, e.Conns, e.InFlight, micros(uint64(e.Latency))))
	}
	return rows
}

func sources(s *admin.Status, most int) (rows []string) {
	list := slices.Clone(s.Sources)
	slices.SortStableFunc(list, func(a, b admin.Source) int {
		switch {
		case a.PerSecond > b.PerSecond:
			return -1
		case a.PerSecond < b.PerSecond:
			return 1
		}
		return 0
	})
	for i, v := range list {
		if i == most {
			rows = append(rows, fmt.Sprintf("and %d more", len(list)-most))
			break
		}
		name := v.Source
		if v.Quarantined > 0 {
			name += fmt.Sprintf(" (quarantined for %s)", v.Quarantined.Round(100*time.Millisecond))
		}
		rows = append(rows, row(name, v.Workload, v.Conns, v.InFlight, v.Queued, micros(uint64(v.Delay.P99.Microseconds())), Bytes(v.Bytes), rate(v.PerSecond), v.Calls, v.Failed))
	}
	return rows
}

// by lists what failed by reason, the most frequent first.
func by(reasons map[string]uint64) string {
	if len(reasons) == 0 {
		return ""
	}
	words := make([]string, 0, len(reasons))
	for w := range reasons {
		words = append(words, w)
	}
	slices.SortFunc(words, func(a, b string) int {
		if reasons[a] != reasons[b] {
			return int(min(reasons[b], 1<<30)) - int(min(reasons[a], 1<<30))
		}
		return strings.Compare(a, b)
	})
	for i, w := range words {
		words[i] = fmt.Sprintf("%s %d", w, reasons[w])
	}
	return " (" + strings.Join(words, ", ") + ")"
}

// rate prints calls per second: fractions only where they tell something.
func rate(f float64) string {
	if f >= 10 || f == 0 {
		return fmt.Sprintf("%.0f", f)
	}
	return fmt.Sprintf("%.1f", f)
}

// micros prints a time that was measured in buckets: three digits are more than it knows.
func micros(us uint64) string {
	switch {
	case us == 0:
		return "-"
	case us < 1000:
		return fmt.Sprintf("%dµs", us)
	case us < 1_000_000:
		return fmt.Sprintf("%.3gms", float64(us)/1e3)
	default:
		return fmt.Sprintf("%.3gs", float64(us)/1e6)
	}
}

// Bytes prints a number of bytes with a unit.
func Bytes(n int64) string {
	const k = 1024
	switch {
	case n < k:
		return fmt.Sprintf("%dB", n)
	case n < k*k:
		return fmt.Sprintf("%.3gKiB", float64(n)/k)
	case n < k*k*k:
		return fmt.Sprintf("%.3gMiB", float64(n)/k/k)
	default:
		return fmt.Sprintf("%.3gGiB", float64(n)/k/k/k)
	}
}

// cut shortens lines to the terminal's width, so that --watch rewrites whole lines only.
func cut(text string, width int) string {
	if width <= 0 {
		return text
	}
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if r := []rune(l); len(r) > width {
			lines[i] = string(r[:width-1]) + "…"
		}
	}
	return strings.Join(lines, "\n")
}
