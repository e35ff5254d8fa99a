package main

import "math"

// world is a number of hosts on an ensemble of so many servers, voters and observers.
type world struct {
	m       measured
	p       plan
	hosts   int
	servers int
	users   []int // hosts that use each service
	used    int   // their sum: watches of the ensemble
}

func at(m measured, p plan, hosts, servers int) world {
	return with(m, p, hosts, servers, popularity(p, hosts))
}

func with(m measured, p plan, hosts, servers int, users []int) world {
	w := world{m: m, p: p, hosts: hosts, servers: servers, users: users}
	for _, n := range users {
		w.used += n
	}
	return w
}

// top is how many hosts use the most used service.
func (w world) top() (n int) {
	for _, u := range w.users {
		n = max(n, u)
	}
	return n
}

func (w world) sessions() int { return share(w.hosts, w.servers) }
func (w world) watches() int  { return share(w.used, w.servers) }

// registrations are the ephemeral nodes; every server holds all of them.
func (w world) registrations() int { return w.p.Services * w.p.Instances }

func (w world) heap() float64 {
	m := w.m.Memory
	return m.Heap + float64(w.sessions())*m.Session + float64(w.watches())*m.Watch + float64(w.registrations())*m.Ephemeral
}

// audits a second of the ensemble: one exists a service in use, after Audit less a random part of up to a half.
func (w world) audits() float64 { return float64(w.used) / (w.p.Audit * 0.75) }

// pings a second of the ensemble: every third of a session's time-out.
func (w world) pings() float64 { return float64(w.hosts) / (w.p.Session / 3) }

// told is how many hosts hear of the changes of a second, all services being changed equally often.
func (w world) told() float64 { return w.p.Changes * float64(w.used) / float64(w.p.Services) }

// restarted is how many proxies are restarted in a second of a rolling restart.
func (w world) restarted() float64 { return float64(w.hosts) / w.p.RollingHour }

// perChange are the bytes of a change at one host: the event, a listing, and half a read, as every second change is a new
// instance.
func (w world) perChange() float64 {
	return w.m.Wire.Event.sum() + w.m.Wire.List10.sum() + w.m.Wire.Read.sum()/2
}

// perStart are the bytes of a proxy that begins with nothing.
func (w world) perStart() float64 {
	lists := float64(w.p.PerHost)
	return w.m.Wire.Session.sum() + lists*w.m.Wire.List10.sum() + lists*float64(w.p.Instances)*w.m.Wire.Read.sum()
}

// startRequests are the listings and reads of a proxy that begins with nothing.
func (w world) startRequests() float64 { return float64(w.p.PerHost * (1 + w.p.Instances)) }

// startWork is the CPU time of a proxy that begins with nothing, in seconds, its server's alone.
func (w world) startWork() float64 {
	lists := float64(w.p.PerHost)
	return (w.m.Open.Micros + lists*w.m.List10.Micros + lists*float64(w.p.Instances)*w.m.Read.Micros) / 1e6
}

// steadyBytes are what the ensemble carries in a second, the proxies' restarts included.
func (w world) steadyBytes() float64 {
	return w.audits()*w.m.Wire.Exists.sum() + w.pings()*w.m.Wire.Ping.sum() + w.told()*w.perChange() + w.restarted()*w.perStart()
}

// rolloutBytes are what a rollout of the most used service adds in a second.
func (w world) rolloutBytes() float64 {
	return 2 / w.p.RolloutEvery * float64(w.top()) * w.perChange()
}

// writes a second of the ensemble: registrations, a rollout, and sessions that end and begin in a rolling restart.
func (w world) writes() float64 { return w.p.Changes + 2/w.p.RolloutEvery + 2*w.restarted() }

// single is what a request costs that comes alone, at so many a second of one server, in seconds of CPU. Between what was
// measured it is interpolated, beyond it stays what it was.
func (w world) single(rate float64) float64 {
	p := w.m.Paced
	if len(p) == 0 || rate <= p[0].PerSecond {
		return w.paced(0)
	}
	for i := 1; i < len(p); i++ {
		if rate <= p[i].PerSecond {
			part := (rate - p[i-1].PerSecond) / (p[i].PerSecond - p[i-1].PerSecond)
			return w.paced(i-1) + part*(w.paced(i)-w.paced(i-1))
		}
	}
	return w.paced(len(p) - 1)
}

func (w world) paced(i int) float64 {
	if len(w.m.Paced) == 0 {
		return w.m.Exists.Micros / 1e6
	}
	return w.m.Paced[i].Micros / 1e6
}

// cpu is the share of a server's cores in a steady state with a rolling restart and one rollout.
func (w world) cpu() float64 {
	n := float64(w.servers)
	alone := (w.audits() + w.pings()) / n
	changes := (w.told() + 2/w.p.RolloutEvery*float64(w.top())) / n
	used := alone*w.single(alone) +
		changes*(w.m.FanOut.Micros+w.m.List10.Micros+w.m.Read.Micros/2)/1e6 +
		w.restarted()/n*w.startWork() +
		w.writes()*w.m.Write.LeaderMicros/1e6
	return used / float64(w.p.Cores)
}

// fanOut is when the last host knows of a change of the most used service. One thread of each server sends the events,
// one after the other; the hosts list and read at once.
func (w world) fanOut() float64 {
	jobs := make([]job, share(w.top(), w.servers))
	for i := range jobs {
		jobs[i] = job{float64(i+1)*w.m.FanOut.Micros/1e6 + w.p.RoundTrip, (w.m.List10.Micros + w.m.Read.Micros) / 1e6}
	}
	return last(serve(jobs, w.p.Cores)) + 2*w.p.RoundTrip
}

// loseFollower is when the sessions of a lost server are back with their watches, and when each has looked at all of its
// services.
func (w world) loseFollower() (back, looked float64) {
	return w.move(share(w.sessions(), w.servers-1), 0)
}

// loseLeader is the same for all sessions: an election ends every connection.
func (w world) loseLeader() (back, looked float64) {
	return w.move(share(w.hosts, w.servers-1), w.m.Leader.SessionsMs/1000)
}

// move lets n sessions come to one server within Reconnect, and audit their services after Grace.
func (w world) move(n int, after float64) (back, looked float64) {
	each := w.m.Loss.Micros / 1e6 * float64(w.p.PerHost) / float64(w.m.Loss.WatchesOf)
	moved := serve(spread(n, w.p.Reconnect, each), w.p.Cores)
	audits := spread(n, w.p.Grace/2, float64(w.p.PerHost)*w.m.Exists.Micros/1e6)
	for i := range audits {
		audits[i].at += moved[i] + w.p.Grace/2
	}
	return after + last(moved), after + last(serve(audits, w.p.Cores))
}

// powerLoss is when all hosts know all services after all of them began at once: by the servers' CPU, by their network,
// and by the writes, which are each session and registration that begins, and each that ends.
func (w world) powerLoss() (reads, bytes, writes float64) {
	n := w.sessions()
	reads = last(serve(spread(n, w.p.Reconnect, w.startWork()), w.p.Cores))
	bytes = float64(n) * w.perStart() / (2 * w.p.Bounds.Bytes) // the whole of a network of which a steady state may take half
	writes = 2 * float64(w.hosts+w.registrations()) / w.m.Write.PerSecond
	return reads, bytes, writes
}

func last(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	return list[len(list)-1]
}

// use is how much of one bound is taken; 1 is all of it.
type use struct {
	name  string
	limit string
	of    func(w world) float64
	// observers tells that more servers help; otherwise only sharding does.
	observers bool
}

const powerWrites = "power loss, writes"

// uses are all bounds of a plan.
func uses(m measured, p plan) []use {
	b := p.Bounds
	return []use{
		{"sessions of a server", count(b.Sessions), func(w world) float64 { return float64(w.sessions()) / b.Sessions }, true},
		{"heap of a server", size(b.Heap), func(w world) float64 { return w.heap() / b.Heap }, true},
		{"CPU, steady with a rollout", percent(b.Share), func(w world) float64 { return w.cpu() / b.Share }, true},
		{"bytes of a server, steady with a rollout", size(b.Bytes) + "/s", func(w world) float64 {
			return (w.steadyBytes() + w.rolloutBytes()) / float64(w.servers) / b.Bytes
		}, true},
		{"fan-out of a change", seconds(b.FanOut), func(w world) float64 { return w.fanOut() / b.FanOut }, true},
		{"loss of a server", seconds(b.Loss), func(w world) float64 { _, looked := w.loseFollower(); return looked / b.Loss }, true},
		{"loss of the leader", seconds(b.Loss), func(w world) float64 { _, looked := w.loseLeader(); return looked / b.Loss }, true},
		{"power loss, reads", seconds(b.PowerLoss), func(w world) float64 {
			reads, bytes, _ := w.powerLoss()
			return max(reads, bytes) / b.PowerLoss
		}, true},
		{powerWrites, seconds(b.PowerLoss), func(w world) float64 { _, _, writes := w.powerLoss(); return writes / b.PowerLoss }, false},
		{"writes, steady with a rollout", count(b.Writes*m.Write.PerSecond) + "/s", func(w world) float64 {
			return w.writes() / (b.Writes * m.Write.PerSecond)
		}, false},
	}
}

// first is the bound that is taken most, and how much of it.
func first(w world, list []use) (most use, taken float64) {
	for _, u := range list {
		if by := u.of(w); by > taken {
			most, taken = u, by
		}
	}
	return most, taken
}

// sample is a draw of 10,000 hosts, from which others are scaled where an exact draw would tell no more.
func sample(p plan) func(hosts int) []int {
	const drawn = 10_000
	users := popularity(p, drawn)
	return func(hosts int) []int {
		out := make([]int, len(users))
		for s, n := range users {
			out[s] = int(math.Round(float64(n) * float64(hosts) / drawn))
		}
		return out
	}
}

// reached is the number of hosts at which a bound is all taken, by halving; 0 when that is beyond a million.
func reached(m measured, p plan, servers int, u use, users func(hosts int) []int) int {
	const most = 1_000_000
	taken := func(hosts int) float64 { return u.of(with(m, p, hosts, servers, users(hosts))) }
	if taken(most) < 1 {
		return 0
	}
	lo, hi := 0, most
	for hi-lo > max(1, lo/200) {
		if mid := (lo + hi) / 2; taken(mid) >= 1 {
			hi = mid
		} else {
			lo = mid
		}
	}
	return hi
}

// needed is the least number of servers with which every bound that servers help with is kept; 0: not with 63.
func needed(m measured, p plan, hosts int) int {
	users := popularity(p, hosts)
	var list []use
	for _, u := range uses(m, p) {
		if u.observers {
			list = append(list, u)
		}
	}
	for n := p.Servers; n < 64; n++ {
		if _, taken := first(with(m, p, hosts, n, users), list); taken <= 1 {
			return n
		}
	}
	return 0
}
