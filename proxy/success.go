package proxy

import (
	"time"

	"github.com/bellhop-mesh/bellhop/proxy/cluster"
)

// LastSuccess returns when a call of the service last ended well at the endpoint with this address, written as the
// registry does: with a result, or with an exception that the method declares. It is exact to 0.1 s. The service ""
// stands for the remote proxies. Zero: never since it is in the table, or it is not in the table in force. Safe for
// concurrent use; it takes no lock.
func (p *Proxy) LastSuccess(service, addr string) time.Time {
	t := p.table.Load()
	if t == nil {
		return time.Time{}
	}
	c := t.Remotes
	if service != "" {
		c = t.Lookup([]byte(service))
	}
	if c == nil {
		return time.Time{}
	}
	return p.timeOf(c.Find(addr))
}

func (p *Proxy) timeOf(e *cluster.Endpoint) time.Time {
	if e == nil {
		return time.Time{}
	}
	ns := e.LastSuccess()
	if ns == 0 {
		return time.Time{}
	}
	return p.born.Add(time.Duration(ns))
}
