package demo

import (
	"fmt"
	"strings"
	"time"
)

// frame is one moment of the demo, ready to be shown.
type frame struct {
	elapsed, total time.Duration
	proxy          string // what became of the local proxy
	rows           []row
}

// What becomes of the local proxy.
const (
	serving   = "serving"
	killed    = "killed"
	starting  = "starting"
	restarted = "restarted"
)

// colours are escape sequences; the zero value writes none.
type colours struct{ good, bad, other, off string }

var terminalColours = colours{"\x1b[32m", "\x1b[1;31m", "\x1b[33m", "\x1b[0m"}

func (c colours) of(word string) string {
	switch word {
	case serving, restarted, local.String():
		return c.good
	case killed:
		return c.bad
	}
	return c.other
}

// paint colours s, which was padded already: an escape sequence has no width but a length.
func (c colours) paint(word, s string) string {
	if c.off == "" {
		return s
	}
	return c.of(word) + s + c.off
}

// table is the frame for a terminal: always as many lines, rewritten in place.
func (f frame) table(c colours) []string {
	out := []string{
		fmt.Sprintf("%5.1f s of %.0f s    local proxy: %s", f.elapsed.Seconds(), f.total.Seconds(), c.paint(f.proxy, f.proxy)),
		fmt.Sprintf("  %-7s %-13s %8s  %-6s  %7s  %9s  %9s", "caller", "service", "calls/s", "via", "failed", "p50", "p99"),
	}
	for _, r := range f.rows {
		failed := fmt.Sprintf("%7d", r.failed)
		if r.failed > 0 {
			failed = c.paint(killed, failed)
		}
		out = append(out, fmt.Sprintf("  %-7s %-13s %8.0f  %s  %s  %9s  %9s", r.caller, r.service, r.rate,
			c.paint(r.via, fmt.Sprintf("%-6s", r.via)), failed, ms(r.p50), ms(r.p99)))
	}
	return out
}

// head names the columns of line.
func (f frame) head() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%8s  %-9s", "", "local")
	for _, r := range f.rows {
		fmt.Fprintf(&b, " | %-30s", r.caller+" → "+r.service)
	}
	fmt.Fprintf(&b, "\n%8s  %-9s", "elapsed", "proxy")
	for range f.rows {
		fmt.Fprintf(&b, " | %4s %-6s %4s %6s %6s", "/s", "via", "fail", "p50", "p99 ms")
	}
	return b.String()
}

// line is the frame for a log: one line a second.
func (f frame) line() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%6.1f s  %-9s", f.elapsed.Seconds(), f.proxy)
	for _, r := range f.rows {
		fmt.Fprintf(&b, " | %4.0f %-6s %4d %6.2f %6.2f", r.rate, r.via, r.failed, inMS(r.p50), inMS(r.p99))
	}
	return b.String()
}

func inMS(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// ms writes milliseconds; a dash for nothing measured.
func ms(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f ms", inMS(d))
}
