package proxy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/pressure"
	"github.com/bellhop-mesh/bellhop/registry"
	"github.com/bellhop-mesh/bellhop/remote"
)

// This file is what the remote tier adds to TestRandomly: proxies that admit, refuse and say not-executed, rules that send
// calls there, a host that is drained to it.

// remoteRules are documents for a proxy with a remote tier.
var remoteRules = []string{
	`version: 1
rules:
  - {name: again, retry: {on: [lost, deadline, busy, failed], attempts: 3, backoff: 2ms, per_try: 15ms, idempotent: true}}
  - {name: away, match: {service: [Twice, Ord]}, remote: true}
  - {name: over, match: {service: [Mux, Ex, One]}, limit: {concurrency: 1, by: [service], over: overflow}}
  - {name: wait, limit: {concurrency: 2, by: [workload], over: queue, queue_for: 40ms}}
`,
	`version: 1
sources: [{match: {source: s1}, weight: 3, privileged: true}]
rules:
  - {name: open, match: {service: [Ex, Pos]}, breaker: {scope: method, window: 1s, min_calls: 2, error_share: 30%, open_for: 100ms, probes: 2}}
  - {name: trip, match: {service: [Mux, Osp]}, breaker: {window: 1s, min_calls: 2, error_share: 30%, slow: 10ms, open_for: 100ms}}
  - {name: some, match: {service: [Mux, Head]}, split: {parts: [{weight: 1, version: v1, strict: true}, {weight: 1, version: v2}]}}
  - {name: per try, retry: {on: [deadline], attempts: 2, backoff: 0ms, per_try: 5ms, idempotent: true}}
  - {name: rate, match: {not: {service: Ex}}, limit: {rate: 50, burst: 2, by: [source], over: overflow}}
`,
	`version: 1
rules:
  - {name: none, match: {service: Twice, source: s2}, access: deny}
  - {name: wait, limit: {rate: 200, burst: 1, by: [method], over: queue, queue_for: 20ms, queue_most: 4}}
  - {name: wait too, limit: {concurrency: 3, over: queue, queue_for: 20ms, queue_most: 4}}
  - {name: away, remote: true}
  - {name: again, retry: {on: [lost, deadline, busy, failed], attempts: 1, backoff: 0ms, per_try: 5ms, idempotent: true}}
`,
}

// withTier gives the proxy a remote tier.
func (c *chance) withTier(cfg *Config) {
	c.tier = true
	cfg.HandOff = &remote.Client{Host: "host", Instance: "instance", Token: "token"}
	cfg.Quarantine = Quarantine{Strikes: 3, Window: time.Second, First: 100 * time.Millisecond, Most: time.Second}
	cfg.Limits.SourceQueued, cfg.Limits.RequeueMin, cfg.Limits.RetryMin = 1+c.rnd.IntN(6), 10, 50
}

// addTier adds remote proxies, and versions that parts are told by.
func (c *chance) addTier(s *registry.Snapshot) {
	for i := range c.rnd.IntN(3) {
		s.Remotes = append(s.Remotes, registry.Remote{Addr: fmt.Sprintf("Remote%d:1", i)})
	}
	for _, svc := range s.Services {
		svc.Remote = c.rnd.IntN(2) == 0
		for i := range svc.Endpoints {
			svc.Endpoints[i].Version = fmt.Sprint("v", 1+c.rnd.IntN(2))
		}
	}
}

// drain begins or ends a drain to the remote tier, or some pressure.
func (c *chance) drain() {
	if !c.tier {
		return
	}
	g := &c.p.guard
	g.active.Store(true)
	g.level.Store(uint32(c.rnd.IntN(pressure.NumLevels)))
	g.probing.Store(c.rnd.IntN(3) == 0)
	for _, s := range c.p.sources.byKey {
		s.excess.Store(uint32(c.rnd.IntN(spillOne + 1)))
	}
	if c.rnd.IntN(2) == 0 {
		g.until.Store(c.now + int64(time.Duration(c.rnd.IntN(300))*time.Millisecond))
	}
}

// admits has a remote proxy answer a hello, or say that it does not run a call.
func (c *chance) admits(p *peer, a *asked) {
	if !a.hello {
		to := a.to
		to.Handoff = true
		c.bringCut(p.c, p.u.codec.AppendFault(nil, protocol.Fault{Code: protocol.CodeOverload, Message: "full"}, &to))
		return
	}
	typ, calls := thrift.REPLY, int32(1+c.rnd.IntN(5))
	if c.rnd.IntN(8) == 0 {
		typ = thrift.EXCEPTION
	}
	c.bringCut(p.c, withHeader(remote.MethodHello, typ, a.to.Seq, nil, func(ctx context.Context, out thrift.TProtocol) error {
		return errors.Join(out.WriteFieldBegin(ctx, "", thrift.I32, 1), out.WriteI32(ctx, remote.Version), out.WriteFieldBegin(ctx, "", thrift.STRUCT, 2),
			out.WriteFieldBegin(ctx, "", thrift.I32, 1), out.WriteI32(ctx, calls), out.WriteFieldStop(ctx))
	}))
}
