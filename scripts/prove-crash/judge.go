package main

import (
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/bellhop-mesh/bellhop/client"
	"github.com/bellhop-mesh/bellhop/scripts/prove"
)

// tally is what one kill did, or all of them.
type tally struct {
	inFlight    int // calls that overlap the kill
	inFlightPut int // … that are not idempotent
	lostPut     int // not idempotent, written, no reply: allowed, up to inFlightPut
	ranAnyway   int // … of these, executed all the same
	lostCalm    int // … of these, not in flight when the proxy was killed: not allowed
	failedGet   int // idempotent and failed, however
	unsent      int // failed although no byte was written, or a proxy said that it was not executed
	other       int // not idempotent, failed otherwise
	twicePut    int // executed twice
	twiceGet    int // executed twice: allowed
	missing     int // answered, but never executed
	wrong       int // answered with somebody else's reply
	gap         time.Duration
	calmGap     time.Duration // in the half second before the kill
	stall       time.Duration // the load's own longest stall around the kill
	first       error         // of the failures that no target allows
}

// judge turns what happened into the table.
func judge(table *prove.Table, kills []kill, load *load, l *ledger, verbose bool) {
	calls := load.taken()
	slices.SortFunc(calls, func(a, b call) int { return int(a.start - b.start) })
	each := make([]tally, len(kills))
	total, failed := tally{}, map[string]int{}
	for i := range calls {
		c := &calls[i]
		k := killOf(kills, c)
		each[k].count(c, kills[k], l.times(c.id))
		if c.class != client.ClassOK {
			failed[c.class.String()]++
		}
	}
	within, hit := true, 0
	var gaps, calm, stalls []time.Duration
	for i := range each {
		t := &each[i]
		t.gap = longestGap(calls, kills[i].at, kills[i].gone+downtime)
		t.calmGap = longestGap(calls, kills[i].at-before/2, kills[i].at)
		t.stall = longestStall(load.stalls, kills[i])
		gaps, calm, stalls = append(gaps, t.gap), append(calm, t.calmGap), append(stalls, t.stall)
		within = within && t.lostPut <= t.inFlightPut && t.lostCalm == 0
		if k := kills[i]; k.onLocal > 0 && !k.awayTooSoon && k.onRemote > 0 {
			hit++
		}
		total.add(t)
	}
	if verbose {
		printKills(each)
	}
	table.Add("kills that found the callers on the local proxy, who then went on by the remote one",
		fmt.Sprintf("%d of %d", len(kills), len(kills)), fmt.Sprint(hit), hit == len(kills) && hit > 0)
	table.Note("calls, failed by class", fmt.Sprintf("%d, %v", len(calls), failed))
	table.Note("calls in flight at the kills", fmt.Sprintf("%d, %d of them not idempotent", total.inFlight, total.inFlightPut))
	table.Add("failed, idempotent", "0", fmt.Sprint(total.failedGet), total.failedGet == 0)
	table.Add("failed, not idempotent and unsent or not executed", "0", fmt.Sprint(total.unsent), total.unsent == 0)
	table.Add("lost, not idempotent", "only calls in flight at a kill", fmt.Sprintf("%d in all, %d of them had run", total.lostPut, total.ranAnyway), within)
	table.Add("failed, not idempotent, otherwise", "0", fmt.Sprint(total.other), total.other == 0)
	table.Add("executed twice, not idempotent", "0", fmt.Sprint(total.twicePut), total.twicePut == 0)
	table.Note("executed twice, idempotent", fmt.Sprint(total.twiceGet))
	table.Add("answered and not in the ledger, or with another call's reply", "0", fmt.Sprint(total.missing+total.wrong), total.missing+total.wrong == 0)
	text, worst := medianAndWorst(gaps)
	table.Add("longest gap between successful calls at a kill", "≤ 100 ms", text, worst <= gapMax)
	text, _ = medianAndWorst(calm)
	table.Note("… and in the half second before a kill", text)
	text, _ = medianAndWorst(stalls)
	table.Note("longest stall of the load itself around a kill", text)
	if total.first != nil {
		fmt.Fprintln(os.Stderr, "the first failure that is not allowed:", total.first)
	}
}

func medianAndWorst(v []time.Duration) (text string, worst time.Duration) {
	if len(v) == 0 {
		return "none", 0
	}
	slices.Sort(v)
	worst = v[len(v)-1]
	return fmt.Sprintf("median %s, worst %s", ms(v[len(v)/2]), ms(worst)), worst
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }

// killOf returns the index of the kill that a call belongs to: the last one that it did not end before.
func killOf(kills []kill, c *call) int {
	for i := len(kills) - 1; i > 0; i-- {
		if c.end >= kills[i].at {
			return i
		}
	}
	return 0
}

func (t *tally) count(c *call, k kill, executed int) {
	inFlight := c.start <= k.gone && c.end >= k.at
	if inFlight {
		t.inFlight++
		if !c.idempotent {
			t.inFlightPut++
		}
	}
	switch {
	case c.class == client.ClassOK && executed == 0:
		t.missing++
	case c.wrong:
		t.wrong++
	case executed > 1 && c.idempotent:
		t.twiceGet++
	case executed > 1:
		t.twicePut++
	}
	switch {
	case c.class == client.ClassOK:
		return
	case c.class == client.ClassUnsent || c.class == client.ClassNotExecuted:
		if c.idempotent {
			t.failedGet++
		} else {
			t.unsent++
		}
	case c.idempotent:
		t.failedGet++
	case c.class == client.ClassLost:
		t.lostPut++
		t.ranAnyway += min(1, executed)
		if inFlight {
			return
		}
		t.lostCalm++
	default:
		t.other++
	}
	if t.first == nil {
		t.first = fmt.Errorf("%s, %s after the kill: %w", c.id, ms(c.end-k.at), c.err)
	}
}

func (t *tally) add(o *tally) {
	t.inFlight += o.inFlight
	t.inFlightPut += o.inFlightPut
	t.lostPut += o.lostPut
	t.lostCalm += o.lostCalm
	t.ranAnyway += o.ranAnyway
	t.failedGet += o.failedGet
	t.unsent += o.unsent
	t.other += o.other
	t.twicePut += o.twicePut
	t.twiceGet += o.twiceGet
	t.missing += o.missing
	t.wrong += o.wrong
	if t.first == nil {
		t.first = o.first
	}
}

// longestGap is the longest time without the end of a call that went well, of those that touch from…to.
func longestGap(calls []call, from, to time.Duration) (gap time.Duration) {
	var ends []time.Duration
	for i := range calls {
		if c := &calls[i]; c.class == client.ClassOK && c.end > from-before/2 && c.end < to {
			ends = append(ends, c.end)
		}
	}
	slices.Sort(ends)
	last := from - before/2
	for _, e := range append(ends, to) {
		if e >= from {
			gap = max(gap, e-last)
		}
		last = e
	}
	return gap
}

// longestStall is the load's own longest stall in the seconds around a kill.
func longestStall(stalls []stall, k kill) (longest time.Duration) {
	for _, s := range stalls {
		if s.to > k.at-before && s.from < k.gone+downtime {
			longest = max(longest, s.to-s.from)
		}
	}
	return longest
}

func printKills(each []tally) {
	rows := [][]string{{"kill", "in flight", "not idempotent", "lost", "failed", "twice (idempotent)", "gap", "gap before", "own stall"}}
	for i := range each {
		t := &each[i]
		rows = append(rows, []string{
			fmt.Sprint(i + 1), fmt.Sprint(t.inFlight), fmt.Sprint(t.inFlightPut), fmt.Sprint(t.lostPut),
			fmt.Sprint(t.failedGet + t.unsent + t.other), fmt.Sprint(t.twiceGet), ms(t.gap), ms(t.calmGap), ms(t.stall),
		})
	}
	prove.Columns(os.Stdout, rows)
}
