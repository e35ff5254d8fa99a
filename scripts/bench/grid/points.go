package main

import (
	"fmt"
	"slices"
	"strings"
)

// point is a place of the grid: everything that a load and its proxies can differ in.
type point struct {
	Callers int    `json:"callers"`
	Size    int    `json:"size_bytes"`
	Network string `json:"network"`
	Framing string `json:"framing"`
	Workers int    `json:"workers"`
	PerCall bool   `json:"connection_per_call"`
}

var base = point{Callers: 64, Size: 128, Network: "tcp", Framing: "framed-binary", Workers: 1}

// axis is a line of points through, or beside, the base point. Points that are on several axes are measured once.
type axis struct {
	name, title string
	points      []point
	labels      []string
	log         bool // its CPU plot needs a logarithmic scale; those of latencies have one anyway
}

// with returns the base point changed by f.
func with(f func(*point)) point {
	p := base
	f(&p)
	return p
}

// grid returns all axes.
func grid() []axis {
	axes := []axis{
		{name: "callers", title: "Callers, one call in flight each"},
		{name: "payload", title: "Payload", log: true},
		{name: "socket", title: "Kind of socket, on both sides of the proxy"},
		{name: "framing", title: "Framing, the same on both sides"},
		{name: "workers", title: "Workers (threads, processes) of the proxy"},
		{name: "percall", title: "A connection for every call"},
	}
	add := func(i int, label string, f func(*point)) {
		axes[i].points = append(axes[i].points, with(f))
		axes[i].labels = append(axes[i].labels, label)
	}
	for _, n := range []int{1, 16, 64, 256, 1000} {
		add(0, fmt.Sprint(n), func(p *point) { p.Callers = n })
	}
	for _, s := range []struct {
		label string
		bytes int
	}{{"128 B", 128}, {"1 KB", 1 << 10}, {"16 KB", 16 << 10}, {"1 MB", 1 << 20}} {
		add(1, s.label, func(p *point) { p.Size = s.bytes })
	}
	for _, n := range []string{"tcp", "unix"} {
		add(2, n, func(p *point) { p.Network = n })
		add(5, n, func(p *point) { p.Network, p.PerCall = n, true })
	}
	for _, f := range []string{"framed-binary", "theader", "osp"} {
		add(3, f, func(p *point) { p.Framing = f })
	}
	for _, n := range []int{1, 2} {
		add(4, fmt.Sprint(n), func(p *point) { p.Workers = n })
	}
	return axes
}

// choose returns the axes that are named, all for an empty list.
func choose(names string) ([]axis, error) {
	all := grid()
	if names == "" {
		return all, nil
	}
	var chosen []axis
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(a axis) bool { return a.name == name })
		if i < 0 {
			return nil, fmt.Errorf("--axes: %q is none of callers, payload, socket, framing, workers, percall", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// distinct lists the points of the axes, each once, in their order.
func distinct(axes []axis) (points []point) {
	for _, a := range axes {
		for _, p := range a.points {
			if !slices.Contains(points, p) {
				points = append(points, p)
			}
		}
	}
	return points
}

func (p point) String() string {
	s := fmt.Sprintf("%d callers, %d B, %s, %s, %d worker(s)", p.Callers, p.Size, p.Network, p.Framing, p.Workers)
	if p.PerCall {
		s += ", a connection for every call"
	}
	return s
}
