package interop

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Proxy is a running bellhop.
type Proxy struct {
	Addr string // of its TCP listener, for every framing
}

// StartProxy runs bin/bellhop with this file registry and returns once it answers. The caller must stop it.
func StartProxy(_ context.Context, _, _ string) (*Proxy, error) {
	return nil, errors.New("bin/bellhop has no configuration yet: use --direct")
}

// Stop ends it.
func (p *Proxy) Stop() {}

// MatrixRegistry is the file registry of the matrix: one service for each target.
func MatrixRegistry(targets []Target) string {
	var b strings.Builder
	b.WriteString("services:\n")
	for _, t := range targets {
		// Go's library sends a oneway as a call: the registry says which methods never answer.
		fmt.Fprintf(&b, "  %s: {framing: %s, timeout: 5s, oneway: [notify], endpoints: [%q]}\n", t.Service(), t.Framing, t.Addr)
	}
	return b.String()
}

// IsolationRegistry is the file registry of the isolation proof: attackers and victims share one upstream connection.
func IsolationRegistry(fields []Field) string {
	var b strings.Builder
	b.WriteString("services:\n")
	for _, f := range fields {
		fmt.Fprintf(&b, "  %s: {framing: %s, mode: %s, max_connections: 1, max_pending: 64, timeout: 5s, oneway: [notify], endpoints: [%q]}\n",
			f.Service, f.To.Framing, f.Mode, f.To.Addr)
	}
	return b.String()
}
