package main

import (
	"fmt"
	"strconv"
	"strings"
)

func boundTables(b *strings.Builder, m measured, p plan) {
	list := uses(m, p)
	b.WriteString("\nWhich bound is first:\n\n")
	table(b, []string{"hosts", "first bound", "taken of it", "observers needed", "writes after a power loss, of their bound"}, func(row func(...string)) {
		for _, n := range p.Hosts {
			w := at(m, p, n, p.Servers)
			most, taken := first(w, list)
			all, writes := "not with 60", ""
			if k := needed(m, p, n); k > 0 {
				all = strconv.Itoa(k - p.Servers)
			}
			for _, u := range list {
				if u.name == powerWrites {
					writes = percent(u.of(w))
				}
			}
			row(count(float64(n)), most.name, percent(taken), all, writes)
		}
	})
	users := sample(p)
	b.WriteString("\nHosts at which a bound is reached:\n\n")
	table(b, []string{"bound", "limit", fmt.Sprintf("%d voters", p.Servers), "and 3 observers", "and 6", "what helps"}, func(row func(...string)) {
		for _, u := range list {
			helps := "sharding"
			if u.observers {
				helps = "observers"
			}
			var cells []string
			for _, observers := range []int{0, 3, 6} {
				cells = append(cells, about(reached(m, p, p.Servers+observers, u, users)))
			}
			row(append(append([]string{u.name, u.limit}, cells...), helps)...)
		}
	})
}

// about are the first two digits of a number of hosts: more would be a lie.
func about(n int) string {
	if n == 0 {
		return "over 1,000,000"
	}
	unit := 1
	for n/unit >= 100 {
		unit *= 10
	}
	return count(float64(n / unit * unit))
}

// settingTables tell what the settings of registry.zookeeper do to the largest numbers.
func settingTables(b *strings.Builder, m measured, p plan) {
	const hosts = 30_000
	fmt.Fprintf(b, "\nWhat settings do, with %s hosts and %d voters:\n\n", count(hosts), p.Servers)
	table(b, []string{"setting", "audits/s", "pings/s", "watches of a server", "CPU of a server", "a server lost: all audited", "leader lost: all audited"}, func(row func(...string)) {
		line := func(name string, p plan) {
			w := at(m, p, hosts, p.Servers)
			_, looked := w.loseFollower()
			_, led := w.loseLeader()
			row(name, count(w.audits()), count(w.pings()), count(float64(w.watches())), percent(w.cpu()), seconds(looked), seconds(led))
		}
		line("as above", p)
		for _, s := range []float64{60, 120} {
			q := p
			q.Audit = s
			line("`audit: "+number(s)+"s`", q)
		}
		for _, s := range []float64{0.1, 5, 10} {
			q := p
			q.Reconnect = s
			line("`reconnect: "+strconv.FormatFloat(s, 'f', -1, 64)+"s`", q)
		}
		q := p
		q.Services, q.PerHost, q.Changes = p.Services/2, p.PerHost/2, p.Changes/2
		line("two ensembles, half of the services each: one of them", q)
	})
}

// modelTable holds the model against the two times that were measured, on as many cores as there were.
func modelTable(b *strings.Builder, m measured) {
	const cores = 2 // of all servers, and of their clients
	b.WriteString("\nThe model against the measurement, for servers that share 2 cores:\n\n")
	table(b, []string{"what", "model, servers alone", "measured, with the clients on the same cores", "measured / model"}, func(row func(...string)) {
		line := func(name string, model, ms float64) {
			row(name, seconds(model), seconds(ms/1000), number(ms/1000/model))
		}
		f := m.FanOut
		line(fmt.Sprintf("last of %s events", count(float64(f.Sessions))), last(serve(atOnce(f.Sessions, f.Micros), cores)), f.LastMs)
		l := m.Loss
		line(fmt.Sprintf("%d sessions moved, no pause", l.Moved), last(serve(atOnce(l.Moved, l.Micros), cores)), l.WatchesMs)
	})
}

func atOnce(n int, micros float64) []job {
	jobs := make([]job, n)
	for i := range jobs {
		jobs[i].work = micros / 1e6
	}
	return jobs
}
