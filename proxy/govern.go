package proxy

import (
	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/govern"
)

// govern does with an admitted call what the rules say, and goes on with choose unless they forbid, delay or divert it. Its
// service is known. Loop only.
func (w *worker) govern(c *call, m *protocol.Message) {
	c.policy = &noPolicy
	if f, ok := w.breakerAllows(c); !ok {
		w.fail(c, f)
		return
	}
	w.choose(c, m)
}

// noPolicy is that of a proxy without rules.
var noPolicy govern.Policy
