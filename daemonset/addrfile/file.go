package addrfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"time"
)

const (
	// Name is the address file's name in the pub directory.
	Name = "address"
	// DefaultPath is where guests look when nothing else was said.
	DefaultPath = "/run/bellhop/pub/address"
	// Version is the only format version there is.
	Version = 1
	// MaxSize bounds the file, in bytes.
	MaxSize = 64 << 10
	// MaxRemote bounds the list of remote proxies.
	MaxRemote = 16
	// DefaultLease is the lease of a file that names none.
	DefaultLease = 3 * time.Second

	maxLocal = 16
	minLease = 100 * time.Millisecond
	maxLease = 10 * time.Minute
)

// State is what the local proxy says about itself.
type State string

// The states, in the order a proxy goes through them.
const (
	Serving  State = "serving"
	Draining State = "draining"
	Down     State = "down"
)

// The networks an Addr can name.
const (
	Unix = "unix"
	TCP  = "tcp"
)

// Addr is one address to call. For TCP, Addr is host:port (an IPv6 host in brackets). For Unix it is a path relative
// to the address file's own directory, because every guest mounts that directory somewhere else.
type Addr struct {
	Net  string `json:"net"`
	Addr string `json:"addr"`
}

// Move asks one source to use the remote tier.
type Move struct {
	// Key is the source's key, which the source knows as BELLHOP_SOURCE.
	Key string `json:"key"`
	// TTLMillis is how long the request holds, counted on the reader's clock from when it first read this generation.
	TTLMillis int64 `json:"ttl_ms"`
}

// File is the content of an address file. Unknown keys are ignored on reading and not kept.
type File struct {
	Version    int    `json:"version"`
	Instance   string `json:"instance"`
	Generation int64  `json:"generation"`
	State      State  `json:"state"`
	LeaseMS    int64  `json:"lease_ms"`
	Local      []Addr `json:"local"`
	Remote     []Addr `json:"remote"`
	Move       []Move `json:"move,omitempty"`
}

// Lease is how long the file counts as fresh after a touch.
func (f *File) Lease() time.Duration {
	if f.LeaseMS == 0 {
		return DefaultLease
	}
	return time.Duration(f.LeaseMS) * time.Millisecond
}

// Resolve turns an entry into the arguments of a dial: dir is the address file's own directory.
// Safe for concurrent use.
func (a Addr) Resolve(dir string) (network, address string) {
	if a.Net == Unix {
		return Unix, filepath.Join(dir, a.Addr)
	}
	return a.Net, a.Addr
}

// Parse reads a file's content. The error names the key that is wrong. Safe for concurrent use.
func Parse(b []byte) (*File, error) {
	if len(b) > MaxSize {
		return nil, fmt.Errorf("address file: larger than %d bytes", MaxSize)
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, errors.New("address file: empty")
	}
	f := new(File)
	if err := json.Unmarshal(b, f); err != nil {
		var syn *json.SyntaxError
		if errors.As(err, &syn) {
			return nil, fmt.Errorf("address file: byte %d: %w", syn.Offset, err)
		}
		return nil, fmt.Errorf("address file: %w", err)
	}
	if err := f.check(); err != nil {
		return nil, fmt.Errorf("address file: %w", err)
	}
	return f, nil
}

// check is the same for readers and the writer, so that a proxy can't publish what guests would refuse.
func (f *File) check() error {
	switch {
	case f.Version != Version:
		return fmt.Errorf("version: %d, want %d", f.Version, Version)
	case f.Instance == "":
		return errors.New("instance: missing")
	case f.Generation <= 0:
		return fmt.Errorf("generation: %d, want a positive number", f.Generation)
	case f.State != Serving && f.State != Draining && f.State != Down:
		return fmt.Errorf("state: %q, want serving, draining or down", f.State)
	case f.LeaseMS != 0 && (f.Lease() < minLease || f.LeaseMS > maxLease.Milliseconds()):
		return fmt.Errorf("lease_ms: %d, want %d to %d", f.LeaseMS, minLease.Milliseconds(), maxLease.Milliseconds())
	}
	if err := checkAddrs("local", f.Local, maxLocal); err != nil {
		return err
	}
	if err := checkAddrs("remote", f.Remote, MaxRemote); err != nil {
		return err
	}
	for i, m := range f.Move {
		if m.Key == "" || m.TTLMillis < 0 {
			return fmt.Errorf("move[%d]: want a key and a ttl_ms that is not negative", i)
		}
	}
	return nil
}

func checkAddrs(key string, list []Addr, limit int) error {
	if len(list) > limit {
		return fmt.Errorf("%s: %d entries, at most %d", key, len(list), limit)
	}
	for i, a := range list {
		if err := a.check(); err != nil {
			return fmt.Errorf("%s[%d]: %w", key, i, err)
		}
	}
	return nil
}

func (a Addr) check() error {
	switch a.Net {
	case TCP:
		host, port, err := net.SplitHostPort(a.Addr)
		if err != nil {
			return fmt.Errorf("addr: %w", err)
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" {
			return fmt.Errorf("addr: %q, want host:port with a port of 1 to 65535", a.Addr)
		}
	case Unix:
		// A path that leaves the directory would point somewhere else in every guest.
		if !filepath.IsLocal(a.Addr) {
			return fmt.Errorf("addr: %q, want a path inside the address file's own directory", a.Addr)
		}
	default:
		return fmt.Errorf("net: %q, want unix or tcp", a.Net)
	}
	return nil
}
