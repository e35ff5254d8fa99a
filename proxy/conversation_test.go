package proxy

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/rules"
	"github.com/bellhop-mesh/bellhop/registry"
)

// TestConversations plays the files in testdata/*.txtar: a caller's and an endpoint's bytes on fake connections, on a
// fake clock. Frames are made and read by Apache's library, not by our codecs. testdata/README.md lists the words.
func TestConversations(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no conversations: %v", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(f)
			if err != nil {
				t.Fatal(err)
			}
			play(t, f, a)
		})
	}
}

// talk is one conversation being played.
type talk struct {
	*rig
	conns map[string]*fakeConn // callers by name, endpoints by address
	seen  map[string][]message // calls an endpoint has seen and not answered
	later *registry.Snapshot   // what "swap" brings
	rest  map[string][]byte    // bytes written to a connection and not looked at
	more  map[string][]byte    // of a large frame that a peer has begun
	wants string               // what Config.Lookup says: true, false, or "" when it must not be called
	asked []string             // names it was called with and that "asked" has not looked at

	rules   *rules.Rules // what the word "rules" brings
	inForce *rules.Rules
	over    *rules.Applier
	snap    *registry.Snapshot // what the registry says now
}

type message struct {
	name, text string
	typ        thrift.TMessageType
	seq, code  int32
	header     bool // came as THeader
}

func play(t *testing.T, file string, a *txtar.Archive) {
	limits, snap, next := "", &registry.Snapshot{}, &registry.Snapshot{}
	var script string
	var remotes []string
	var inForce, later *rules.Rules
	for _, f := range a.Files {
		switch f.Name {
		case "services":
			snap.Services = parseServices(t, f.Data)
		case "services-later":
			next.Services = parseServices(t, f.Data)
		case "rules":
			inForce = readRules(t, f.Data)
		case "rules-later":
			later = readRules(t, f.Data)
		case "remotes":
			remotes = strings.Fields(string(f.Data))
		case "limits":
			limits = string(f.Data)
		case "talk":
			script = string(f.Data)
		default:
			t.Fatalf("%s: unknown section %q", file, f.Name)
		}
	}
	k := &talk{conns: map[string]*fakeConn{}, seen: map[string][]message{}, rest: map[string][]byte{}, more: map[string][]byte{}}
	k.later, k.rules, k.snap, k.over = next, later, snap, rules.NewApplier(nil, nil)
	k.rig = newRig(t, func(c *Config) {
		setLimits(t, c, limits)
		c.HandOff = withRemotes(snap, remotes)
		c.Lookup = func(service string) bool {
			if k.wants == "" {
				return false
			}
			k.asked = append(k.asked, service)
			return k.wants == "true"
		}
	}, snap)
	k.obey(inForce)
	for i, line := range strings.Split(script, "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		if err := k.step(strings.Fields(line)); err != nil {
			t.Fatalf("%s: talk line %d: %s: %v", file, i+1, line, err)
		}
	}
	k.atEnd(t)
}

// atEnd closes everything and checks that nothing is left: no call, no byte, no timer.
func (k *talk) atEnd(t *testing.T) {
	for len(k.rig.conns) > 0 {
		for c := range k.rig.conns {
			c.drop()
			break
		}
	}
	for len(k.dials) > 0 {
		k.connected(k.dials[0], errRefused)
	}
	k.pass(time.Minute)
	for len(k.dials) > 0 {
		k.connected(k.dials[0], errRefused)
	}
	if k.w.calls.used != 0 || k.w.calls.active != 0 {
		t.Errorf("%d calls left in the table, %d of them active", k.w.calls.used, k.w.calls.active)
	}
	if n := k.p.inFlight.Load(); n != 0 {
		t.Errorf("%d calls left in flight", n)
	}
	if l := &k.w.lookups; len(l.byName)+len(l.over)+l.orphans != 0 || k.p.lookups.Load() != 0 {
		t.Errorf("left %d look-ups, %d counted, %d that are over, %d oneways without a caller", len(l.byName), k.p.lookups.Load(), len(l.over), l.orphans)
	}
	k.rulesAtEnd(t)
	k.sharesAtEnd(t)
	if n := k.p.bytes.Load(); n != 0 {
		t.Errorf("%d bytes left counted", n)
	}
	if n := k.p.conns.Load(); n != 0 {
		t.Errorf("%d callers left counted", n)
	}
	for _, s := range k.p.sources.byKey {
		if s.calls.Load() != 0 || s.queued.Load() != 0 || s.bytes.Load() != 0 || s.conns.Load() != 0 || s.lookups.Load() != 0 {
			t.Errorf("source %s: left %d calls, %d bytes, %d connections, %d look-ups", s.Source, s.calls.Load(), s.bytes.Load(), s.conns.Load(), s.lookups.Load())
		}
	}
	for _, p := range k.w.pools {
		if p.conns != 0 || p.waiting() != 0 || p.endpoint.Conns.Load() != 0 || p.endpoint.States[0].Active != 0 {
			t.Errorf("pool %s: left %d connections (%d over all workers), %d waiting, %d active", p.endpoint, p.conns,
				p.endpoint.Conns.Load(), p.waiting(), p.endpoint.States[0].Active)
		}
	}
}

func parseServices(t *testing.T, text []byte) map[string]*registry.Service {
	all := map[string]*registry.Service{}
	for line := range strings.Lines(string(text)) {
		s := parseService(t, strings.Fields(line))
		all[s.Name] = s
	}
	return all
}

func parseService(t *testing.T, words []string) *registry.Service {
	s := &registry.Service{Name: words[0]}
	for _, w := range words[1:] {
		key, val, _ := strings.Cut(w, "=")
		switch key {
		case "framing":
			s.Framing = val
		case "mode":
			s.Mode = val
		case "balancer":
			s.Balancer = val
		case "seqid":
			s.SeqID = val
		case "ordered":
			s.Ordered = true
		case "remote":
			s.Remote = true
		case "keep_prefix":
			s.KeepPrefix = true
		case "idempotent":
			s.Idempotent = strings.Split(val, ",")
		case "oneway":
			s.Oneway = strings.Split(val, ",")
		case "timeout":
			s.Timeout = duration(t, val)
		case "max_connections":
			s.MaxConns = number(t, val)
		case "max_pending":
			s.MaxPending = number(t, val)
		case "depth":
			s.Depth = number(t, val)
		case "endpoints":
			for _, e := range strings.Split(val, ",") {
				addr, version, _ := strings.Cut(e, "/")
				version, label, labelled := strings.Cut(version, "/")
				ep := registry.Endpoint{Addr: addr + ":1", Version: version}
				if labelled {
					k, v, _ := strings.Cut(label, "=")
					ep.Labels = map[string]string{k: v}
				}
				s.Endpoints = append(s.Endpoints, ep)
			}
		default:
			t.Fatalf("service %s: unknown key %q", s.Name, key)
		}
	}
	return s
}

func setLimits(t *testing.T, c *Config, text string) {
	for _, w := range strings.Fields(text) {
		key, val, _ := strings.Cut(w, "=")
		switch key {
		case "window":
			c.Limits.Window = number(t, val)
		case "depth":
			c.Limits.Depth = number(t, val)
		case "source_calls":
			c.Limits.SourceCalls = number(t, val)
		case "total_calls":
			c.Limits.TotalCalls = number(t, val)
		case "source_bytes":
			c.Limits.SourceBytes = int64(number(t, val))
		case "retry_min":
			c.Limits.RetryMin = number(t, val)
		case "requeue_min":
			c.Limits.RequeueMin = number(t, val)
		case "retry_share", "requeue_share":
			share, err := strconv.ParseFloat(val, 64)
			if err != nil {
				t.Fatal(err)
			}
			if key == "retry_share" {
				c.Limits.RetryShare = share
			} else {
				c.Limits.RequeueShare = share
			}
		case "connects_open":
			c.Limits.ConnectsOpen = number(t, val)
		case "quarantine": // strikes
			c.Quarantine = DefaultQuarantine()
			c.Quarantine.Strikes = number(t, val)
		case "source_queued":
			c.Limits.SourceQueued = number(t, val)
		case "source_lookups":
			c.Limits.SourceLookups = number(t, val)
		case "total_lookups":
			c.Limits.TotalLookups = number(t, val)
		case "call":
			c.Timeouts.Call = duration(t, val)
		case "max_frame":
			c.Limits.MaxFrame = number(t, val)
		default:
			t.Fatalf("unknown limit %q", key)
		}
	}
}

func number(t *testing.T, s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func duration(t *testing.T, s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// step plays one line.
func (k *talk) step(w []string) error {
	switch w[0] {
	case "open":
		return k.open(w[1], w[2:])
	case "pass":
		k.pass(duration(k.t.(*testing.T), w[1]))
		return nil
	case "lookup", "asked", "notfound", "draining", "used":
		return k.look(w[0], w[1:])
	case "breaker":
		return k.breaker(w[1:])
	case "failed", "failed-by":
		return k.failed(w[0], w[1:])
	case "swap":
		k.snap = k.later
		k.setTable(k.over.Apply(k.snap, k.inForce))
		k.woken = true
		k.settle()
		return nil
	case "rules":
		k.obey(k.rules)
		k.settle()
		return nil
	case "connect", "refuse":
		return k.connect(w[0] == "connect", w[1], w[len(w)-1])
	case "nobody":
		if len(k.dials) > 0 {
			return fmt.Errorf("%s is being connected", k.dials[0].endpoint)
		}
		return nil
	}
	c := k.conns[w[0]]
	if c == nil {
		return fmt.Errorf("no connection %q", w[0])
	}
	return k.on(c, w[0], w[1], w[2:])
}

func (k *talk) open(name string, opts []string) error {
	l := &listener{ListenerConfig: ListenerConfig{Name: "test"}}
	id := Identity{Source: name}
	for _, o := range opts {
		key, val, _ := strings.Cut(o, "=")
		switch key {
		case "service":
			l.service = []byte(val)
		case "ordered":
			l.Ordered = true
		default:
			if !identityOption(&id, key, val) {
				return fmt.Errorf("unknown option %q", o)
			}
		}
	}
	k.conns[name] = k.caller(l, id)
	return nil
}

// connect ends the connect to an endpoint that must be under way.
func (k *talk) connect(ok bool, endpoint, name string) error {
	for _, u := range k.dials {
		if u.endpoint.Addr != endpoint+":1" {
			continue
		}
		if !ok {
			k.connected(u, errRefused)
			return nil
		}
		k.conns[name] = k.connected(u, nil)
		k.rest[name], k.seen[name] = nil, nil
		return nil
	}
	return errors.New("is not being connected")
}

// on plays what one connection does or must show.
func (k *talk) on(c *fakeConn, name, verb string, args []string) error {
	switch verb {
	case "calls", "oneway":
		c.bring(callFrame(args, verb == "oneway", args[1:]))
	case "calls-with":
		c.bring(headerFrame(args[0], args[1:]))
	case "oneway-call": // two frames in one read
		c.bring(append(callFrame(args[:1], true, args[2:]), callFrame(args[1:2], false, args[2:])...))
	case "sends":
		b, err := hex.DecodeString(strings.Join(args, ""))
		if err != nil {
			return err
		}
		c.bring(b)
	case "sends-zeros":
		c.bring(make([]byte, number(k.t.(*testing.T), args[0])))
	case "replies-large":
		return k.replies(c, name, false, []string{strings.Repeat("x", number(k.t.(*testing.T), args[0]))})
	case "begins", "begins-reply", "goes-on", "ends", "has-part":
		return k.large(c, name, verb, args)
	case "admits":
		return k.admits(c, name, number(k.t.(*testing.T), args[0]))
	case "sees":
		return k.sees(c, name, args)
	case "replies", "fails":
		return k.replies(c, name, verb == "fails", args)
	case "fails-with":
		return k.failsWith(c, name, args)
	case "gets":
		return k.gets(c, name, args)
	case "gets-bytes", "gets-text":
		want := []byte(strings.Join(args, " "))
		if verb == "gets-bytes" {
			want, _ = hex.DecodeString(args[0])
		}
		if got := c.taken(); !bytes.HasPrefix(got, want) {
			return fmt.Errorf("got %q", got)
		}
	case "idle":
		if b := k.rest[name]; len(b) > 0 || len(c.out) > 0 {
			return fmt.Errorf("was sent %x%x", b, c.out)
		}
	case "drops":
		c.drop()
	case "stuck":
		c.stuck = true
	case "takes": // its kernel buffer drains
		c.stuck, c.backlog = false, 0
	case "closed":
		if !c.gone {
			return errors.New("is open")
		}
	case "parked":
		if c.gone || c.ctx != nil {
			return errors.New("is being read from, or closed")
		}
	case "stands":
		if c.gone {
			return errors.New("is closed")
		}
	default:
		return fmt.Errorf("unknown word %q", verb)
	}
	return nil
}

// callFrame makes "SEQ" and "NAME TEXT" into a framed strict-binary message.
func callFrame(seqWord []string, oneway bool, args []string) []byte {
	seq, _ := strconv.Atoi(seqWord[0]) //nolint:errcheck // a wrong number shows as a wrong sequence
	typ := thrift.CALL
	if oneway {
		typ = thrift.ONEWAY
	}
	return frame(args[0], typ, int32(seq), 1, textOf(args[1:]))
}

func frame(name string, typ thrift.TMessageType, seq int32, field int16, text string) []byte {
	ctx, buf := context.Background(), thrift.NewTMemoryBuffer()
	p := thrift.NewTBinaryProtocolConf(buf, nil)
	err := errors.Join(p.WriteMessageBegin(ctx, name, typ, seq), p.WriteFieldBegin(ctx, "", thrift.STRING, field),
		p.WriteString(ctx, text), p.WriteFieldStop(ctx), p.Flush(ctx))
	if err != nil {
		panic(err)
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(buf.Len())), buf.Bytes()...)
}

// next takes one framed message off what was written to a connection.
func (k *talk) next(c *fakeConn, name string) (m message, err error) {
	b := append(k.rest[name], c.taken()...)
	if len(b) < 4 || len(b) < 4+int(binary.BigEndian.Uint32(b)) {
		k.rest[name] = b
		return m, fmt.Errorf("was sent no whole frame, but %d bytes: %.99x", len(b), b)
	}
	n := 4 + int(binary.BigEndian.Uint32(b))
	k.rest[name] = bytes.Clone(b[n:])
	ctx, p := context.Background(), protocolOf(b[:n])
	m.header = isHeader(b[:n])
	if m.name, m.typ, m.seq, err = p.ReadMessageBegin(ctx); err != nil {
		return m, err
	}
	for {
		_, typ, id, err := p.ReadFieldBegin(ctx)
		if err != nil || typ == thrift.STOP {
			return m, err
		}
		if typ == thrift.I32 && id == 2 {
			m.code, err = p.ReadI32(ctx)
		} else {
			m.text, err = p.ReadString(ctx)
		}
		if err != nil {
			return m, err
		}
	}
}

// sees: "call NAME TEXT" or "oneway NAME TEXT" must have been sent to an endpoint.
func (k *talk) sees(c *fakeConn, name string, args []string) error {
	m, err := k.next(c, name)
	if err != nil {
		return err
	}
	want := map[string]thrift.TMessageType{"call": thrift.CALL, "oneway": thrift.ONEWAY}[args[0]]
	if m.typ != want || m.name != args[1] || m.text != textOf(args[2:]) {
		return fmt.Errorf("saw type %d %s %q", m.typ, m.name, m.text)
	}
	if m.typ == thrift.CALL {
		k.seen[name] = append(k.seen[name], m)
	}
	return nil
}

// replies: "TEXT" answers the oldest call seen, "last TEXT" the newest, "seq N TEXT" one with any sequence.
func (k *talk) replies(c *fakeConn, name string, fails bool, args []string) error {
	var m message
	seen := k.seen[name]
	switch {
	case args[0] == "seq":
		n, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		m, args = message{name: "say", seq: int32(n)}, args[2:]
	case len(seen) == 0:
		return errors.New("has seen no call that waits for an answer")
	case args[0] == "last":
		m, args = seen[len(seen)-1], args[1:]
		k.seen[name] = seen[:len(seen)-1]
	default:
		m = seen[0]
		k.seen[name] = seen[1:]
	}
	typ, field := thrift.REPLY, int16(0)
	if fails {
		typ, field = thrift.EXCEPTION, 1
	}
	if m.header {
		c.bring(withHeader(m.name, typ, m.seq, nil, text(field, textOf(args))))
		return nil
	}
	c.bring(frame(m.name, typ, m.seq, field, textOf(args)))
	return nil
}

// gets: "reply SEQ NAME TEXT" or "fault SEQ NAME TYPE [words that the message contains]" must have been sent to a caller.
func (k *talk) gets(c *fakeConn, name string, args []string) error {
	m, err := k.next(c, name)
	if err != nil {
		return err
	}
	seq, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	if m.seq != int32(seq) || m.name != args[2] {
		return fmt.Errorf("got sequence %d of %s (%q)", m.seq, m.name, m.text)
	}
	switch args[0] {
	case "reply":
		if text := textOf(args[3:]); m.typ != thrift.REPLY || m.text != text {
			return fmt.Errorf("got type %d %q", m.typ, m.text)
		}
	case "fault":
		want, ok := map[string]int32{
			"TIMEOUT": protocol.AppTimeout, "LOADSHEDDING": protocol.AppLoadshedding, "PROTOCOL_ERROR": protocol.AppProtocolError,
			"UNKNOWN_METHOD": protocol.AppUnknownMethod, "INTERNAL_ERROR": protocol.AppInternalError, "UNKNOWN": protocol.AppUnknown,
		}[args[3]]
		if text := strings.Join(args[4:], " "); !ok || m.typ != thrift.EXCEPTION || m.code != want || !strings.Contains(m.text, text) {
			return fmt.Errorf("got type %d, exception %d, %q", m.typ, m.code, m.text)
		}
	default:
		return fmt.Errorf("unknown word %q", args[0])
	}
	return nil
}
