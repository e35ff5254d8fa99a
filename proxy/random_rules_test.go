package proxy

import (
	"slices"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/govern"
)

// This file is what rules add to TestRandomly: documents that come and go, and servers that fail in every class.

// randomRules are the documents; the first says nothing.
var randomRules = []string{
	"version: 1",
	`version: 1
rules:
  - {name: retry, retry: {on: [lost, deadline, busy, failed], attempts: 2, backoff: 5ms, per_try: 20ms, idempotent: true}}
  - {name: few, match: {service: [Mux, Ex]}, limit: {concurrency: 2, by: [source], over: queue, queue_for: 30ms, queue_most: 3}}
`,
	`version: 1
rules:
  - {name: denied, match: {service: Osp, source: s1}, access: deny}
  - {name: short, match: {service: Ord}, deadline: 30ms}
  - {name: slow, limit: {rate: 100, burst: 3, by: [source, service], over: queue, queue_for: 100ms}}
  - {name: once, match: {not: {service: Twice}}, retry: {on: [lost, deadline], attempts: 1, per_try: 10ms, idempotent: true}}
`,
	`version: 1
rules:
  - {name: never, retry: {attempts: 0}}
  - {name: refused, match: {service: "~[A-M].*"}, limit: {rate: 50, burst: 2}}
`,
}

// govern puts one of the documents in force.
func (c *chance) govern() {
	if c.ruled == nil {
		texts := randomRules
		if c.tier {
			texts = slices.Concat(texts, remoteRules, remoteRules)
		}
		for _, text := range texts {
			c.ruled = append(c.ruled, parseRules(c.t, []byte(text)))
		}
	}
	c.p.SetRules(c.ruled[c.rnd.IntN(len(c.ruled))])
}

// exceptions are what servers answer besides results.
var exceptions = []int32{protocol.AppLoadshedding, protocol.AppInternalError, protocol.AppUnknownMethod, protocol.AppLoadshedding}

// answerBody is the result of a call, or an exception now and then.
func (c *chance) answerBody(m *protocol.Message, text string) {
	m.Type, m.Body = protocol.MessageReply, stringStruct(0, "re:"+text)
	if c.rnd.IntN(8) == 0 {
		m.Type, m.Body = protocol.MessageException, protocol.AppendAppException(nil, protocol.Binary, "no", exceptions[c.rnd.IntN(len(exceptions))])
	}
}

// tally counts the attempts that were made again, so that it shows when none was.
func (c *chance) tally(n *[govern.NumClasses]uint64) {
	for i, k := range c.w.stats.retried {
		n[i] += k
	}
}
