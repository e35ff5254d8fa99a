package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/daemonset/addrfile"
	"github.com/bellhop-mesh/bellhop/protocol"
)

// The tiers that --address-file knows; without it all lines are of the first.
const (
	localTier  = 0
	remoteTier = 1
)

// homeAfter is how long the address file must have stopped asking us to be away before we come back.
const homeAfter = time.Second

// tiers follow an address file as the client libraries do, as far as a load needs it: away while the file says that we
// are to move, that the proxy closes or that its lease ran out; a call that the local tier did not execute is sent once to
// the remote one. Other than callers it connects to both at its start and to the first remote proxy only. A nil *tiers is
// one target.
type tiers struct {
	watch   *addrfile.Watcher
	source  string
	targets [2]address
	away    bool
	moved   bool      // away because we were asked
	again   bool      // a call is being sent again that the local tier, which lives, did not execute
	homing  int64     // the generation of the file whose asking a remote proxy has ended
	left    time.Time // the last moment at which the file wanted us away
	looked  time.Time
}

// followFile reads the file. It must be there, with a local and a remote proxy.
func followFile(path, source string) (*tiers, error) {
	if filepath.Base(path) != addrfile.Name {
		return nil, fmt.Errorf("--address-file %s: its name must be %q", path, addrfile.Name)
	}
	t := &tiers{watch: addrfile.Watch(path, addrfile.WatchOptions{}), source: source}
	v := t.watch.View()
	if v.File == nil || len(v.File.Local) == 0 || len(v.File.Remote) == 0 {
		t.close()
		return nil, errors.Join(fmt.Errorf("--address-file %s: names no local or no remote proxy", path), v.Err)
	}
	for tier, a := range []addrfile.Addr{v.File.Local[0], v.File.Remote[0]} {
		network, addr := a.Resolve(v.Dir)
		t.targets[tier] = address{network, addr}
	}
	return t, nil
}

func (t *tiers) close() {
	if t != nil {
		_ = t.watch.Close()
	}
}

// count is how many tiers there are.
func (t *tiers) count() int {
	if t == nil {
		return 1
	}
	return len(t.targets)
}

// target is where a tier is.
func (t *tiers) target(tier int, otherwise address) address {
	if t == nil {
		return otherwise
	}
	return t.targets[tier]
}

// now is the tier that a new call goes to. The file is asked at most every millisecond.
func (t *tiers) now() int {
	if t == nil {
		return localTier
	}
	if at := time.Now(); at.Sub(t.looked) >= time.Millisecond {
		t.looked = at
		v := t.watch.View()
		moved := v.Moved(t.source) && v.File.Generation != t.homing
		if v.Stale || moved || v.File != nil && v.File.State != addrfile.Serving {
			t.away, t.left, t.moved = true, at, moved
		} else if t.away && at.Sub(t.left) >= homeAfter {
			t.away = false
		}
	}
	if t.away {
		return remoteTier
	}
	return localTier
}

// sendOn gives the other tier a call that one did not execute, once, and reports whether it did. A remote proxy that says "go
// home" ends our absence.
func (g *generator) sendOn(from *line, s slot, err error) bool {
	if g.tier == nil || !errors.Is(err, errNotExecuted) {
		return false
	}
	home := from.tier == remoteTier && strings.HasPrefix(err.(*appError).text, goHome)
	if v := g.tier.watch.View(); home && v.File != nil {
		g.tier.homing, g.tier.away = v.File.Generation, false
	}
	if s.again {
		return false
	}
	l := g.freeOf(1 - from.tier)
	if l == nil {
		return false
	}
	at := l.free[len(l.free)-1]
	g.tier.again = true
	g.start(l, s.start, g.now())
	g.tier.again = false
	if !l.up {
		return false
	}
	l.slots[at].again = true
	g.res.again++
	return true
}

// goHome begins the fault by which a remote proxy sends a moved caller home.
const goHome = "not executed: go home"

// announce says on a connection to the remote tier, before its first call, that we were asked to come, or that the
// local tier has no room for a call: a oneway
// bellhop:moved with the instance that asked. It is no call of the load.
func (g *generator) announce(l *line) {
	if g.tier == nil || !g.tier.moved && !g.tier.again || l.tier != remoteTier || l.announced {
		return
	}
	l.announced = true
	m := protocol.Message{
		Wire: strange(l.talk.wire.Framing, l.talk.wire.Payload), Type: protocol.MessageOneway, KeepPrefix: true,
		Service: []byte("bellhop"), Method: []byte("moved"), Body: appendText(nil, l.talk.wire.Payload, 1, []byte(g.tier.instance())),
	}
	var s protocol.Scratch
	if out, err := l.codec.AppendCall(l.out, &m, l.talk.wire, 0, &s); err == nil {
		l.out = out
	}
}

// instance is that of the local proxy.
func (t *tiers) instance() string {
	if v := t.watch.View(); v.File != nil {
		return v.File.Instance
	}
	return ""
}
