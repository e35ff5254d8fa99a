package cluster

import (
	"cmp"
	"slices"
	"strings"
	"sync/atomic"
)

// successGrain is how exactly the time of the last success is kept, in ns: a store that other CPUs see is not worth its
// price at every call.
const successGrain = int64(100e6)

// Succeeded notes that a call ended well: with a result, or with an exception that the method declares. Loop only.
func (s *State) Succeeded(now int64) {
	if last := s.answered; last == 0 || now-last >= successGrain {
		atomic.StoreInt64(&s.answered, max(now, 1))
	}
}

// LastSuccess returns when a call last ended well here, on any worker: worker clock, ns, exact to 0.1 s; 0: never. Safe
// for concurrent use.
func (e *Endpoint) LastSuccess() (ns int64) {
	for i := range e.States {
		ns = max(ns, atomic.LoadInt64(&e.States[i].answered))
	}
	return ns
}

// Find returns the endpoint with this address, written as the registry does; nil: there is none. It is quick where the
// endpoints are in the order of a snapshot. Safe for concurrent use.
func (c *Cluster) Find(addr string) *Endpoint {
	if i, ok := slices.BinarySearchFunc(c.all, addr, compareAddr); ok {
		return c.all[i]
	}
	for _, e := range c.all { // remote proxies are in this host's order
		if compareAddr(e, addr) == 0 {
			return e
		}
	}
	return nil
}

// compareAddr compares e.String with addr, and makes no string.
func compareAddr(e *Endpoint, addr string) int {
	if e.Network != "unix" {
		return cmp.Compare(e.Addr, addr)
	}
	const scheme = "unix:"
	if path, ok := strings.CutPrefix(addr, scheme); ok {
		return cmp.Compare(e.Addr, path)
	}
	return cmp.Compare(scheme, addr)
}
