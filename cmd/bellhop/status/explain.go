package status

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/bellhop-mesh/bellhop/proxy"
)

// Explain prints an explanation: what would become of the call, then why. The error is w's.
func Explain(w io.Writer, x *proxy.Explanation, o Options) error {
	var b strings.Builder
	p := paint(o.Color)
	asked(&b, x, p)
	verdicts(&b, x, p)
	if x.Known {
		ruled(&b, x)
		limits(&b, x)
		table(&b, "SETTING\tVALUE\tFROM", settings(x))
		candidates(&b, x)
		budgets(&b, x)
	}
	source(&b, x)
	pressure(&b, &x.Pressure)
	failed(&b, x, p)
	_, err := io.WriteString(w, b.String())
	return err
}

// paint puts colours on words, where there shall be some.
type paint bool

// The terminal's words (ECMA-48, SGR).
const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
)

func (p paint) in(color, text string) string {
	if !p {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// clean is a text that callers and servers have said, fit for a terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

func asked(b *strings.Builder, x *proxy.Explanation, p paint) {
	q := &x.Query
	b.WriteString(p.in(bold, clean(q.Service+":"+q.Method)))
	if q.Version != "" {
		b.WriteString(" version " + clean(q.Version))
	}
	if q.Source != "" {
		b.WriteString(" from " + clean(q.Source))
		if x.Source.Workload != "" {
			b.WriteString(" (workload " + clean(x.Source.Workload) + ")")
		}
	}
	if q.Caller != "" {
		b.WriteString(", which calls itself " + clean(q.Caller))
	}
	for _, k := range slices.Sorted(maps.Keys(q.Header)) {
		b.WriteString(", " + clean(k+"="+q.Header[k]))
	}
	fmt.Fprintf(b, ", %s\n", x.At.Format(time.TimeOnly))
}

// verdict is one worker's, in a line.
func verdict(v *proxy.Verdict, p paint) string {
	word, color := "", yellow
	switch v.Outcome {
	case proxy.OutcomeSent:
		return p.in(green, "SENT") + strings.TrimPrefix(clean(v.Why), "sent")
	case proxy.OutcomeHanded:
		return p.in(yellow, "HANDED OVER") + strings.TrimPrefix(clean(v.Why), "handed over")
	case proxy.OutcomeLookup:
		word = "WAITS FOR ITS SERVICE"
	case proxy.OutcomeQueued:
		word = "WAITS FOR A LIMIT"
	default:
		word, color = "REFUSED ("+v.Code+")", red
	}
	text := p.in(color, word) + ": " + clean(v.Why)
	if v.Rule != "" {
		text += " [rule " + clean(v.Rule) + "]"
	}
	return text
}

func verdicts(b *strings.Builder, x *proxy.Explanation, p paint) {
	fmt.Fprintf(b, "now: %s\n", verdict(&x.Verdict, p))
	for i := range x.Workers {
		if v := &x.Workers[i]; v.Outcome != x.Verdict.Outcome || v.Code != x.Verdict.Code {
			fmt.Fprintf(b, "  on worker %d: %s\n", v.Worker, verdict(v, p))
		}
	}
	if len(x.Near) > 0 {
		what := "names like it"
		if x.Known {
			what = "no call of this method has ended here; methods like it"
		}
		fmt.Fprintf(b, "%s: %s\n", what, clean(strings.Join(x.Near, ", ")))
	}
}

func ruled(b *strings.Builder, x *proxy.Explanation) {
	if len(x.Rules) == 0 {
		b.WriteString("\nno rules for calls are in force\n")
		return
	}
	others := 0
	var rows []string
	for _, j := range x.Rules {
		switch {
		case j.Matches:
			does := "decides " + strings.Join(j.Decides, ", ")
			if len(j.Decides) == 0 {
				does = "decides nothing"
			}
			if len(j.Passed) > 0 {
				does += "; a rule before it decides " + strings.Join(j.Passed, ", ")
			}
			rows = append(rows, row(clean(j.Rule), "matches", does))
		case j.Key == "service":
			others++
		default:
			rows = append(rows, row(clean(j.Rule), "no", clean(j.Key+" "+j.Why)))
		}
	}
	if others > 0 {
		rows = append(rows, fmt.Sprintf("and %d for other services", others))
	}
	table(b, "RULE\tMATCHES\tWHY", rows)
}

func limits(b *strings.Builder, x *proxy.Explanation) {
	var rows []string
	for _, l := range x.Limits {
		left := "-"
		if l.Left >= 0 {
			left = fmt.Sprint(l.Left)
		}
		next := "passes"
		switch {
		case l.Privileged:
			next = "passes: the source is privileged"
		case l.WaitMS > 0:
			next = fmt.Sprintf("%s; one more in %dms", l.Excess, l.WaitMS)
		case l.WaitMS < 0:
			next = l.Excess + "; one more when a call ends"
		}
		rows = append(rows, row(clean(l.Rule), clean(l.Key), l.Limit, left, l.InFlight, l.Waiting, next))
	}
	if len(rows) > 0 {
		table(b, "LIMIT OF RULE\tCOUNTS\tALLOWS\tLEFT\tIN FLIGHT\tWAITING\tTHE NEXT", rows)
	}
}

func settings(x *proxy.Explanation) (rows []string) {
	for _, s := range x.Policy {
		rows = append(rows, row(s.Action, clean(s.Value), "rule "+clean(s.Rule)))
	}
	for _, s := range x.Settings {
		if s.From == proxy.FromDefault && (s.Value == "no" || s.Value == "off") { // nothing is said of it
			continue
		}
		rows = append(rows, row(s.Name, clean(s.Value), s.From))
	}
	return rows
}

func candidates(b *strings.Builder, x *proxy.Explanation) {
	if h := x.Breaker; h != nil && (h.State != "closed" || h.Kept) {
		text := "kept closed by hand"
		if h.State != "closed" {
			text = clean(opened(h, x.At))
		}
		fmt.Fprintf(b, "\nthe circuit breaker of the method is %s\n", text)
	}
	if x.Panicking {
		b.WriteString("\nso few endpoints are healthy that health is not looked at (panic)\n")
	}
	var rows []string
	for _, t := range x.Tiers {
		list := slices.Clone(t.Endpoints)
		if len(list) > mostShown { // the interesting ones
			slices.SortStableFunc(list, func(a, b proxy.Candidate) int {
				return cmp.Or(cmp.Compare(interest(x, &b), interest(x, &a)), cmp.Compare(b.InFlight, a.InFlight))
			})
		}
		for i := range list[:min(len(list), mostShown)] {
			rows = append(rows, candidate(x, &list[i], fmt.Sprintf("%s, %.0f%%", t.Near, t.Share*100)))
		}
		if more := len(list) - mostShown; more > 0 {
			rows = append(rows, fmt.Sprintf("and %d more in this tier; --json has them", more))
		}
	}
	const figures = "WEIGHT\tCONNS\tIN FLIGHT\tWAITING\tLATENCY\tLAST SUCCESS\tSTATE"
	table(b, "ENDPOINT\tTIER AND ITS SHARE\t"+figures, rows)
	rows = nil
	for i := range x.Remotes {
		rows = append(rows, candidate(x, &x.Remotes[i], fmt.Sprint(x.Remotes[i].Granted)))
	}
	if len(rows) > 0 {
		table(b, "REMOTE PROXY\tGRANTED\t"+figures, rows)
	}
}

// mostShown bounds the endpoints of one tier that are printed.
const mostShown = 30

// interest is what puts an endpoint before others where there are many: it would be called, or something keeps calls away.
func interest(x *proxy.Explanation, c *proxy.Candidate) int {
	switch {
	case c.Endpoint == x.Verdict.Endpoint:
		return 2
	case condition(x, c) != "usable":
		return 1
	}
	return 0
}

func candidate(x *proxy.Explanation, c *proxy.Candidate, second string) string {
	ago := "never"
	if c.AgoMS >= 0 {
		ago = (time.Duration(c.AgoMS) * time.Millisecond).Round(100*time.Millisecond).String() + " ago"
	}
	name := c.Endpoint
	if c.Version != "" {
		name += " (" + clean(c.Version) + ")"
	}
	return row(name, second, c.Weight, fmt.Sprintf("%d of %d", c.Conns, c.MostConns), c.InFlight, c.Waiting, micros(uint64(c.LatencyUS)), ago, condition(x, c))
}

// condition is what there is to say of an endpoint's health.
func condition(x *proxy.Explanation, c *proxy.Candidate) string {
	var words []string
	if h := &c.Health; h.State != "closed" {
		words = append(words, opened(h, x.At))
	} else if h.Kept {
		words = append(words, "kept in use by hand")
	}
	if c.BackOffMS > 0 {
		words = append(words, fmt.Sprintf("backing off for %dms more: %d connects in a row failed", c.BackOffMS, c.Failures))
	}
	if h := &c.Health; h.State == "closed" && h.Share < 1 {
		words = append(words, fmt.Sprintf("new: %.0f%% of its weight", h.Share*100))
	}
	if len(words) == 0 {
		return "usable"
	}
	return clean(strings.Join(words, "; "))
}

// opened tells of a breaker that is not closed.
func opened(h *proxy.EndpointHealth, now time.Time) string {
	s := h.State
	if left := h.Until.Sub(now); left > 0 {
		s += " for " + left.Round(100*time.Millisecond).String() + " more"
	}
	if h.Times > 1 {
		s += fmt.Sprintf(", the %d. time in a row", h.Times)
	}
	return s + ": " + h.Why
}

func budgets(b *strings.Builder, x *proxy.Explanation) {
	var rows []string
	for _, v := range x.Budgets {
		rows = append(rows, row(v.Name, fmt.Sprintf("%.0f", v.Left), fmt.Sprintf("%v%% of the calls and %v a second", v.Share*100, v.PerSecond)))
	}
	table(b, "BUDGET\tLEFT\tEARNS", rows)
}

func source(b *strings.Builder, x *proxy.Explanation) {
	s := &x.Source
	b.WriteByte('\n')
	switch {
	case s.Source == "":
		b.WriteString("no source was named: what depends on it is not told; name one with --source (bellhop status lists them)\n")
		return
	case !s.Known:
		fmt.Fprintf(b, "source %s has no connection here: its workload, namespace and labels are not known, and rules that ask for them do not match\n", clean(s.Source))
		if len(s.Near) > 0 {
			fmt.Fprintf(b, "  sources like it: %s\n", clean(strings.Join(s.Near, ", ")))
		}
		return
	}
	fmt.Fprintf(b, "source %s: %d connections, %d of %d calls in flight (%d when all is wanted), %d of %d queued, %s of %s buffered\n", clean(s.Source), s.Conns,
		s.InFlight, s.MostCalls, s.Share, s.Queued, s.MostQueued, Bytes(s.Bytes), Bytes(s.MostBytes))
	fmt.Fprintf(b, "  weight %d in its workload, which has %d; queue delay p99 %s\n", s.Weight, s.WorkloadWeight, micros(uint64(s.Delay.P99.Microseconds())))
	if s.Privileged {
		b.WriteString("  privileged: it passes limits\n")
	}
	if s.Moved {
		b.WriteString("  ASKED TO MOVE to the remote tier for a while\n")
	}
	if s.Excess > 0 {
		fmt.Fprintf(b, "  %.0f%% of its calls are more than its share while the proxy is hard pressed\n", s.Excess*100)
	}
	if s.Quarantined > 0 {
		fmt.Fprintf(b, "  QUARANTINED for %s more, the %d. time\n", s.Quarantined.Round(100*time.Millisecond), s.Quarantines)
	}
}

func failed(b *strings.Builder, x *proxy.Explanation, p paint) {
	total, wrong := uint64(0), map[string]uint64{}
	for code, n := range x.Calls {
		if total += n; code != "ok" {
			wrong[code] = n
		}
	}
	fmt.Fprintf(b, "since the start %d calls of the method have ended here, %d of them failed%s\n", total, sum(wrong), by(wrong))
	if len(x.Failed) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", p.in(bold, "THE LAST THAT FAILED"))
	for i := range x.Failed {
		failure(b, &x.Failed[i], p)
	}
}

func sum(m map[string]uint64) (n uint64) {
	for _, v := range m {
		n += v
	}
	return n
}

// turnedAway says why an endpoint could not take a call.
func turnedAway(code string) string {
	switch code {
	case "connect":
		return "connecting has failed lately"
	case "queue_full":
		return "its queue was full (max_pending)"
	case "source_queue":
		return "the source had too many calls waiting (limits.source_queued)"
	}
	return code
}

func failure(b *strings.Builder, f *proxy.FailedCall, p paint) {
	fmt.Fprintf(b, "%s  %s after %s, from %s", f.At.Format("15:04:05.000"), p.in(red, f.Code), micros(uint64(max(f.TookUS, 1))), clean(f.Source))
	if f.Caller != "" {
		fmt.Fprintf(b, " as %s", clean(f.Caller))
	}
	for _, w := range []struct {
		word string
		is   bool
	}{{"oneway", f.Oneway}, {"handed over", f.Handed}, {"after " + micros(uint64(f.QueuedUS)) + " in a queue", f.QueuedUS > 0}, {"rule " + clean(f.Rule), f.Rule != ""}} {
		if w.is {
			b.WriteString(", " + w.word)
		}
	}
	b.WriteByte('\n')
	if f.Text != "" {
		fmt.Fprintf(b, "    %s\n", clean(f.Text))
	}
	for i, a := range f.Attempts {
		what := "not over when the call ended"
		switch a.Class {
		case "unknown":
		case "turned_away":
			what = "could not take it: " + turnedAway(a.Code)
		case "connect":
			what = "no connection could be opened"
		default:
			what = fmt.Sprintf("%s after %s", a.Class, micros(uint64(max(a.TookUS, 1))))
		}
		fmt.Fprintf(b, "    %d. %s: %s\n", i+1, clean(a.Endpoint), what)
	}
	if f.More > 0 {
		fmt.Fprintf(b, "    and %d more\n", f.More)
	}
}
