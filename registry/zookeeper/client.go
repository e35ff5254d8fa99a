package zookeeper

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"
)

// ClientConfig says how an ensemble is reached. Zero fields mean their defaults.
type ClientConfig struct {
	Servers   string        // a connect string, see ParseServers
	Session   time.Duration // the session's time-out as asked for; the server has the last word; default 30s
	Digest    string        // user:password, for the scheme digest; "": none
	TLS       *tls.Config   // nil: plain TCP
	ACL       string        // on nodes that we create: open, creator or creator-read; default creator-read with a digest, else open
	MaxReply  int           // bytes of one reply; default 4 MiB
	Reconnect time.Duration // the longest random pause before going to another server; default 1s, or a tenth of Session
	Log       *slog.Logger

	dial func(network, addr string, timeout time.Duration) (net.Conn, error) // tests
}

// ACLWords are the words of ClientConfig.ACL.
func ACLWords() []string { return []string{"open", "creator", "creator-read"} }

var (
	errGivenUp = errors.New("the session was given up")
	errTooLong = errors.New("the reply is longer than max_reply")
	errDown    = errors.New("no ZooKeeper server can be reached")
)

// Client is one session with an ensemble, for discovery and registration together: an ensemble pays for sessions. It
// reconnects for ever. Safe for concurrent use.
type Client struct {
	cfg    ClientConfig
	chroot string
	acl    []zk.ACL
	conn   *zk.Conn
	hosts  *hosts
	mute   atomic.Bool
	ended  chan struct{}
	end    sync.Once
	authed chan struct{} // closed when the digest was taken

	mu      sync.Mutex // guards what follows
	sockets map[*guard]struct{}
	watch   []func(event)
	said    string        // the last problem, logged once
	up      chan struct{} // closed while there is a session

	connected              atomic.Bool
	sessions, lost, missed atomic.Uint64 // sessions begun, connections lost, sessions expired
	big                    atomic.Uint64
}

// event is what a Client tells its users. It is told on the library's goroutine: whoever gets it must not wait.
type event struct {
	path  string // of a node, with the chroot; "": of the session
	state zk.State
}

// NewClient connects to an ensemble, in the background. The error is about the configuration.
func NewClient(cfg ClientConfig) (*Client, error) {
	servers, chroot, err := ParseServers(cfg.Servers)
	if err != nil {
		return nil, fmt.Errorf("zookeeper servers %q: %w", clip(cfg.Servers), err)
	}
	cfg.defaults()
	c := &Client{cfg: cfg, chroot: chroot, ended: make(chan struct{}), authed: make(chan struct{}), up: make(chan struct{}), sockets: map[*guard]struct{}{}}
	if c.acl, err = cfg.acl(); err != nil {
		return nil, err
	}
	c.hosts = &hosts{names: servers, resolve: net.DefaultResolver.LookupHost, jitter: cfg.Reconnect, pause: c.rest, problem: c.problem}
	conn, _, err := zk.Connect(servers, cfg.Session, zk.WithHostProvider(c.hosts), zk.WithDialer(c.dial),
		zk.WithEventCallback(c.happened), zk.WithMaxBufferSize(cfg.MaxReply), zk.WithLogger(quiet{c}), zk.WithLogInfo(false))
	if err != nil {
		return nil, fmt.Errorf("zookeeper: %w", err)
	}
	c.conn = conn
	go c.authenticate()
	return c, nil
}

func (cfg *ClientConfig) defaults() {
	if cfg.Session == 0 {
		cfg.Session = 30 * time.Second
	}
	if cfg.MaxReply == 0 {
		cfg.MaxReply = 4 << 20
	}
	if cfg.Reconnect == 0 {
		cfg.Reconnect = min(time.Second, cfg.Session/10)
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.ACL == "" {
		cfg.ACL = "open"
		if cfg.Digest != "" {
			cfg.ACL = "creator-read"
		}
	}
	if cfg.dial == nil {
		cfg.dial = net.DialTimeout
	}
}

func (cfg *ClientConfig) acl() ([]zk.ACL, error) {
	if cfg.Digest != "" && !strings.Contains(cfg.Digest, ":") {
		return nil, errors.New("zookeeper digest: write user:password")
	}
	if cfg.ACL != "open" && cfg.Digest == "" {
		return nil, fmt.Errorf("zookeeper acl %s needs a digest: without one there is no creator", cfg.ACL)
	}
	switch cfg.ACL {
	case "creator":
		return zk.AuthACL(zk.PermAll), nil
	case "creator-read":
		return append(zk.AuthACL(zk.PermAll), zk.WorldACL(zk.PermRead)...), nil
	}
	return zk.WorldACL(zk.PermAll), nil
}

// authenticate shows the digest, once: the library shows it again on every connection. Until then no request leaves.
func (c *Client) authenticate() {
	defer close(c.authed)
	for c.cfg.Digest != "" && !c.closed() {
		err := c.conn.AddAuth("digest", []byte(c.cfg.Digest))
		if err == nil {
			return
		}
		if errors.Is(err, zk.ErrAuthFailed) {
			c.problem(errors.New("the ensemble refused the digest; check the file that zookeeper.digest_file names"))
			c.rest(lastPause)
		}
		c.rest(100 * time.Millisecond)
	}
}

func (c *Client) closed() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// rest waits, but not for longer than the client lives.
func (c *Client) rest(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.ended:
	}
}

func (c *Client) dial(network, addr string, _ time.Duration) (net.Conn, error) {
	if c.mute.Load() {
		return nil, errGivenUp
	}
	conn, err := c.cfg.dial(network, addr, connectTimeout)
	if err != nil {
		return nil, err
	}
	if c.cfg.TLS != nil {
		if conn, err = handshake(conn, addr, c.hosts.host(addr), c.cfg.TLS); err != nil {
			return nil, err
		}
	}
	g := &guard{Conn: conn, max: c.cfg.MaxReply, wait: c.cfg.Session * 2 / 3, big: &c.big, mute: &c.mute}
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.sockets) // the library has one connection at a time
	c.sockets[g] = struct{}{}
	return g, nil
}

func handshake(conn net.Conn, addr, host string, cfg *tls.Config) (net.Conn, error) {
	if cfg.ServerName == "" {
		cfg = cfg.Clone()
		cfg.ServerName = host
	}
	t := tls.Client(conn, cfg)
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // the handshake's error is the cause
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: it does not serve now, or the port is one without TLS", err)
		}
		return nil, fmt.Errorf("tls with %s: %w", addr, err)
	}
	return t, nil
}

// bounce ends the connection and keeps the session: the library connects anew and sets every watch again.
func (c *Client) bounce() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for g := range c.sockets {
		_ = g.Close() // the library sees it end
	}
}

// listen has f told of every event. Before the first request only.
func (c *Client) listen(f func(event)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watch = append(c.watch, f)
}

// happened is the library's callback; it runs on the library's goroutines and must not wait.
func (c *Client) happened(ev zk.Event) {
	e := event{path: ev.Path, state: ev.State}
	if ev.Type == zk.EventSession {
		e.path = ""
		switch ev.State {
		case zk.StateHasSession:
			c.sessions.Add(1)
			c.mu.Lock()
			c.said = ""
			if !c.connected.Swap(true) {
				close(c.up)
			}
			c.mu.Unlock()
		case zk.StateDisconnected:
			c.down()
		case zk.StateExpired:
			c.missed.Add(1)
			c.down()
			c.cfg.Log.Warn("zookeeper session expired; a new one is begun", "servers", c.cfg.Servers)
		}
	}
	c.mu.Lock()
	watch := c.watch
	c.mu.Unlock()
	for _, f := range watch {
		f(e)
	}
}

func (c *Client) down() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.connected.Swap(false) {
		c.lost.Add(1)
		c.up = make(chan struct{})
	}
}

// problem logs what is wrong with the connection, once while it stays the same.
func (c *Client) problem(err error) {
	c.mu.Lock()
	again := c.said == err.Error()
	c.said = err.Error()
	c.mu.Unlock()
	if !again && !c.closed() {
		c.cfg.Log.Warn("zookeeper connection", "problem", err, "servers", c.cfg.Servers)
	}
}

// Problem is why there is no session now; "" while there is one, and before the first try ended. Safe for concurrent use.
func (c *Client) Problem() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.connected.Load() {
		return ""
	}
	return c.said
}

// quiet takes the library's lines: each is a problem of the connection.
type quiet struct{ c *Client }

// Printf takes one line.
func (q quiet) Printf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if strings.HasPrefix(text, "send loop terminated: <nil>") || strings.Contains(text, errGivenUp.Error()) {
		return
	}
	q.c.problem(errors.New(text))
}

// Close ends the session: its ephemeral nodes are gone at once.
func (c *Client) Close() {
	c.end.Do(func() {
		close(c.ended)
		c.conn.Close()
	})
}

// Abandon gives the session up without ending it: its ephemeral nodes live on until it expires, or until a successor
// has taken them over.
func (c *Client) Abandon() {
	c.end.Do(func() {
		c.mute.Store(true)
		close(c.ended)
		c.bounce()
		c.conn.Close()
	})
}

// jittered is d, less a random part of up to a half: thousands of hosts have the same clock.
func jittered(d time.Duration) time.Duration { return d - rand.N(d/2+1) }
