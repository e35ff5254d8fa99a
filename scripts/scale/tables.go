package main

import (
	"fmt"
	"strconv"
	"strings"
)

// tables are all tables as Markdown.
func tables(m measured, p plan) string {
	var b strings.Builder
	measuredTable(&b, m)
	holdTables(&b, m, p)
	recoverTable(&b, m, p)
	boundTables(&b, m, p)
	settingTables(&b, m, p)
	modelTable(&b, m)
	b.WriteString("\nAPI servers of Kubernetes, " + strconv.Itoa(apiServers) + " of them; an EndpointSlice of " + strconv.Itoa(p.Instances) +
		" pods has " + count(float64(sliceBytes(p.Instances))) + " bytes (computed):\n\n")
	table(&b, []string{"hosts", "watches of one", "bytes of one, steady", "… with a rollout", "all hosts list anew: bytes of one", "… at 1 Gbit/s"}, func(row func(...string)) {
		for _, n := range p.Hosts {
			row(clusterRow(p, n)...)
		}
	})
	return strings.TrimPrefix(b.String(), "\n")
}

// table writes one; rows calls row for each.
func table(b *strings.Builder, head []string, rows func(row func(...string))) {
	line := func(cells ...string) { b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	line(head...)
	b.WriteString("|" + strings.Repeat("---|", len(head)) + "\n")
	rows(line)
}

func measuredTable(b *strings.Builder, m measured) {
	fmt.Fprintf(b, "\nMeasured %s, %s, three servers and their clients on %s:\n\n", m.Date, m.Server, m.Machine)
	w := m.Wire
	table(b, []string{"what", "bytes up", "bytes down", "CPU of the server"}, func(row func(...string)) {
		for _, r := range []struct {
			name string
			both
			cpu string
		}{
			{"a session begins", w.Session, micros(m.Open.Micros) + ", all servers together"},
			{"a session comes from another connection", w.Resume, fmt.Sprintf("%s with %d watches, all servers together", micros(m.Loss.Micros), m.Loss.WatchesOf)},
			{"… each of its watches", w.SetWatches, "in the line above"},
			{"ping", w.Ping, micros(m.Ping.Micros) + fmt.Sprintf(" at %s/s over all servers", count(m.Ping.PerSecond))},
			{"listing with a watch, 10 children", w.List10, micros(m.List10.Micros)},
			{"listing with a watch, 100 children", w.List100, micros(m.List100.Micros)},
			{"a child's data", w.Read, micros(m.Read.Micros)},
			{"exists", w.Exists, micros(m.Exists.Micros) + pacedText(m)},
			{"a watch's event", w.Event, micros(m.FanOut.Micros)},
		} {
			row(r.name, number(r.Up), number(r.Down), r.cpu)
		}
	})
	b.WriteString("\n")
	table(b, []string{"what", ""}, func(row func(...string)) {
		row("requests/s of one server (a follower), 64 in flight", fmt.Sprintf("exists %s, data %s, 10 children %s, 100 children %s",
			count(m.Exists.PerSecond), count(m.Read.PerSecond), count(m.List10.PerSecond), count(m.List100.PerSecond)))
		row("writes/s of the ensemble, 64 in flight", fmt.Sprintf("%s; CPU %s of the leader, %s of each follower",
			count(m.Write.PerSecond), micros(m.Write.LeaderMicros), micros(m.Write.FollowerMicros)))
		row("live heap of a server", fmt.Sprintf("%s empty; %s bytes a session, %s a watch, %s an ephemeral node (%s, %s, %s of them)", size(m.Memory.Heap),
			count(m.Memory.Session), count(m.Memory.Watch), count(m.Memory.Ephemeral),
			count(float64(m.Memory.Sessions)), count(float64(m.Memory.Watches)), count(float64(m.Memory.Ephemerals))))
		row(fmt.Sprintf("a change to the event, %s sessions that watch", count(float64(m.FanOut.Sessions))),
			fmt.Sprintf("first %s ms, half %s, last %s; worst of %d rounds %s", number(m.FanOut.FirstMs), number(m.FanOut.HalfMs),
				number(m.FanOut.LastMs), m.FanOut.Rounds, number(m.FanOut.WorstMs)))
		for name, l := range ordered("a follower ends", m.Loss, "the leader ends", m.Leader) {
			row(fmt.Sprintf("%s, %d sessions × %d watches, no pause", name, l.Sessions, l.WatchesOf),
				fmt.Sprintf("%d sessions moved, the last back after %s ms, all watches after %s ms", l.Moved, number(l.SessionsMs), number(l.WatchesMs)))
		}
	})
}

func ordered(a string, la loss, z string, lz loss) func(func(string, loss) bool) {
	return func(yield func(string, loss) bool) { _ = yield(a, la) && yield(z, lz) }
}

func pacedText(m measured) string {
	var b strings.Builder
	for _, c := range m.Paced {
		fmt.Fprintf(&b, "; %s one by one at %s/s", micros(c.Micros), count(c.PerSecond))
	}
	return b.String()
}

func holdTables(b *strings.Builder, m measured, p plan) {
	fmt.Fprintf(b, "\nAn ensemble of %d servers of %d cores: what one server holds, and what the ensemble carries.\n\n", p.Servers, p.Cores)
	table(b, []string{"hosts", "sessions of a server", "watches of a server", "heap", "hosts on the most used service", "on the median one"}, func(row func(...string)) {
		for _, n := range p.Hosts {
			w := at(m, p, n, p.Servers)
			row(count(float64(n)), count(float64(w.sessions())), count(float64(w.watches())), size(w.heap()), count(float64(w.top())), count(median(floats(w.users))))
		}
	})
	b.WriteString("\n")
	table(b, []string{"hosts", "audits/s", "pings/s", "requests/s of a rolling restart", "writes/s", "bytes/s steady", "+ a rollout", "CPU of a server", "fan-out, last host"}, func(row func(...string)) {
		for _, n := range p.Hosts {
			w := at(m, p, n, p.Servers)
			row(count(float64(n)), count(w.audits()), count(w.pings()), count(w.restarted()*w.startRequests()), number(w.writes()), size(w.steadyBytes()), size(w.rolloutBytes()), percent(w.cpu()), seconds(w.fanOut()))
		}
	})
}

func recoverTable(b *strings.Builder, m measured, p plan) {
	b.WriteString("\nTime until all is as before:\n\n")
	table(b, []string{
		"hosts", "a server lost: watches back", "… all audited", "leader lost: watches back", "… all audited",
		"power loss: reads", "… network", "… writes",
	}, func(row func(...string)) {
		for _, n := range p.Hosts {
			w := at(m, p, n, p.Servers)
			back, looked := w.loseFollower()
			led, ledLooked := w.loseLeader()
			reads, bytes, writes := w.powerLoss()
			row(count(float64(n)), seconds(back), seconds(looked), seconds(led), seconds(ledLooked), seconds(reads), seconds(bytes), seconds(writes))
		}
	})
}

func floats(list []int) []float64 {
	out := make([]float64, len(list))
	for i, n := range list {
		out[i] = float64(n)
	}
	return out
}

// count is a number without decimals, with commas.
func count(f float64) string {
	s := strconv.FormatFloat(f, 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// number has one decimal while it is small.
func number(f float64) string {
	if f < 100 && f != float64(int(f)) {
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	return count(f)
}

func seconds(f float64) string {
	switch {
	case f < 0.01:
		return strconv.FormatFloat(f*1000, 'f', 1, 64) + " ms"
	case f < 1:
		return strconv.FormatFloat(f*1000, 'f', 0, 64) + " ms"
	}
	return number(f) + " s"
}

func micros(f float64) string  { return number(f) + " µs" }
func percent(f float64) string { return number(f*100) + " %" }

func size(f float64) string {
	for _, unit := range []string{"B", "kB", "MB", "GB"} {
		if f < 1000 {
			return number(f) + " " + unit
		}
		f /= 1000
	}
	return number(f) + " TB"
}
