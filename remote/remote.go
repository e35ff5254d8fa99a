// Package remote decides whether a call is handed over to the remote proxy cluster and speaks the first words of the
// hand-off connection (docs/protocols.md, "The hand-off connection"): the hello that authenticates it and the grant that
// bounds it. It must never hold a connection itself: package proxy does.
//
//	local proxy ── hello{version, host, instance, token} ──► remote proxy
//	            ◄── {version, grant{calls, bytes, valid}} ──
//	            ── calls, each with bellhop-hop: 1 ──►
package remote

import (
	"cmp"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/registry"
)

// Names of the hand-off protocol (wire.md §8). Keys with KeyPrefix are ours alone: they are never taken from a caller
// whose connection is not an admitted hand-off.
const (
	Service        = "bellhop"
	MethodHello    = "hello"
	MethodMoved    = "moved" // a oneway: what a caller that was asked to move begins its connection with
	Version        = 1
	KeyPrefix      = "bellhop-"
	KeyHop         = "bellhop-hop"
	KeySource      = "bellhop-source"
	KeyWorkload    = "bellhop-workload"
	KeyClass       = "bellhop-class"
	KeyDeadline    = "bellhop-deadline-ms"
	KeyGrant       = "bellhop-grant"
	KeyNotExecuted = "bellhop-not-executed"
	ClassOverflow  = "overflow"
	KeyGoHome      = "bellhop-go-home"
	ClassMoved     = "moved"
	MaxHops        = 1
)

// Grant is what a remote proxy allows one hand-off connection.
type Grant struct {
	Calls int32         // in flight
	Bytes int64         // in flight
	Valid time.Duration // from its receipt; 0: as long as the connection lives
}

// Client is the local proxy's side. Read-only after it was made: safe for concurrent use.
type Client struct {
	Host     string // this host's name, for the remote's logs and its order of preference
	Instance string
	Token    string      // shared secret; empty under mTLS
	TLS      *tls.Config // nil: plain TCP
}

// Server is the remote proxy's side. Read-only after it was made: safe for concurrent use.
type Server struct {
	Token string // shared secret; empty: only connections with a verified client certificate are admitted
	Grant Grant
}

// Hello is what a hand-off connection begins with.
type Hello struct {
	Version               int32
	Host, Instance, Token string
	Features              []string
}

// HandsOff reports whether a call that this proxy can't serve for this reason goes to the remote tier: its own bounds
// are reached, it has more than it can carry, a rule says so, or it knows no endpoint and the remote tier may know one (mayRemote: the service says so, or is not known
// here at all). A nil client never hands off.
func (c *Client) HandsOff(code protocol.Code, mayRemote bool) bool {
	if c == nil {
		return false
	}
	switch code {
	case protocol.CodeOK, protocol.CodeLimit: // a rule sends it there, or has a limit that is reached
		return true
	case protocol.CodeSourceCalls, protocol.CodeTotalCalls, protocol.CodeQueueFull, protocol.CodeOverload,
		protocol.CodeSourceQueue, protocol.CodeDraining:
		return true
	case protocol.CodeNoEndpoint, protocol.CodeNoService, protocol.CodeConnect, protocol.CodeSourceLookups, protocol.CodeTotalLookups:
		return mayRemote
	default:
		return false
	}
}

// AppendHello appends the hello's argument struct (TBinary).
func (c *Client) AppendHello(dst []byte) []byte {
	dst = appendI32(dst, 1, Version)
	dst = appendString(dst, 2, c.Host)
	dst = appendString(dst, 3, c.Instance)
	if c.Token != "" {
		dst = appendString(dst, 4, c.Token)
	}
	return append(dst, 0)
}

// ErrRefused is what an unauthenticated hello gets.
var ErrRefused = errors.New("hand-off refused: the hello carries neither the shared token nor a verified client certificate")

// Admit judges a hello. verified: the connection has a client certificate that was verified. The error is for the
// peer: it does not say how close a token came.
func (s *Server) Admit(body []byte, verified bool) (Hello, error) {
	if s == nil {
		return Hello{}, errors.New("hand-off refused: this proxy is not a member of a remote cluster")
	}
	h, err := parseHello(body)
	if err != nil {
		return h, err
	}
	if h.Version != Version {
		return h, fmt.Errorf("hand-off refused: version %d, this proxy speaks %d", h.Version, Version)
	}
	if verified || s.Token != "" && subtle.ConstantTimeCompare([]byte(h.Token), []byte(s.Token)) == 1 {
		return h, nil
	}
	return h, ErrRefused
}

// AppendGranted appends the reply struct to an admitted hello (TBinary).
func (s *Server) AppendGranted(dst []byte) []byte {
	dst = appendI32(dst, 1, Version)
	dst = append(dst, tStruct, 0, 2)
	dst = appendI32(dst, 1, s.Grant.Calls)
	dst = appendI64(dst, 2, s.Grant.Bytes)
	dst = appendI32(dst, 3, int32(s.Grant.Valid.Milliseconds()))
	return append(dst, 0, 0)
}

// ParseGranted reads the reply to a hello.
func ParseGranted(body []byte) (Grant, error) {
	var g Grant
	err := fields(body, func(id int16, f field) error {
		if id != 2 || f.typ != tStruct {
			return nil
		}
		return fields(f.raw, func(id int16, f field) error {
			switch id {
			case 1:
				g.Calls = int32(f.num)
			case 2:
				g.Bytes = f.num
			case 3:
				g.Valid = time.Duration(f.num) * time.Millisecond
			}
			return nil
		})
	})
	return g, err
}

// Value is the grant as bellhop-grant carries it in replies: calls, bytes and ms, separated by commas.
func (g Grant) Value() []byte {
	return fmt.Appendf(nil, "%d,%d,%d", g.Calls, g.Bytes, g.Valid.Milliseconds())
}

// ParseGrant reads a bellhop-grant value.
func ParseGrant(v []byte) (Grant, error) {
	var g Grant
	var ms int64
	if _, err := fmt.Sscanf(string(v)+"\n", "%d,%d,%d\n", &g.Calls, &g.Bytes, &ms); err != nil {
		return g, fmt.Errorf("grant %q: want calls,bytes,ms: %w", v, err)
	}
	if g.Calls < 0 || g.Bytes < 0 || ms < 0 || ms > math.MaxInt32 {
		return g, fmt.Errorf("grant %q: a number is out of range", v)
	}
	g.Valid = time.Duration(ms) * time.Millisecond
	return g, nil
}

func parseHello(body []byte) (Hello, error) {
	var h Hello
	err := fields(body, func(id int16, f field) error {
		switch {
		case id == 1 && f.typ == tI32:
			h.Version = int32(f.num)
		case id == 2 && f.typ == tString:
			h.Host = string(f.raw)
		case id == 3 && f.typ == tString:
			h.Instance = string(f.raw)
		case id == 4 && f.typ == tString:
			h.Token = string(f.raw)
		case id == 5 && f.typ == tList:
			h.Features = stringList(f.raw)
		}
		return nil
	})
	return h, err
}

// Order puts the remote proxies into this host's order of preference by rendezvous hashing, so that hosts spread over
// them and one that leaves moves only its own hosts. The input is not changed.
func Order(host string, remotes []registry.Remote) []registry.Remote {
	type scored struct {
		r     registry.Remote
		score uint64
	}
	s := make([]scored, len(remotes))
	for i, r := range remotes {
		h := fnv.New64a()
		_, _ = h.Write([]byte(host))   // a hash never fails
		_, _ = h.Write([]byte{0})      // keeps "a"+"bc" and "ab"+"c" apart
		_, _ = h.Write([]byte(r.Addr)) // a hash never fails
		s[i] = scored{r, mix(h.Sum64())}
	}
	slices.SortFunc(s, func(a, b scored) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.r.Addr, b.r.Addr))
	})
	out := make([]registry.Remote, len(s))
	for i := range s {
		out[i] = s[i].r
	}
	return out
}

// mix spreads the last bytes of an FNV sum over all its bits (splitmix64's finaliser).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
