package registry

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// maxUnixPath is sizeof(sockaddr_un.sun_path) less the closing NUL (unix(7)).
const maxUnixPath = 107

// CanonicalAddr checks the address of an endpoint or of a remote proxy and returns its one spelling, so that the same
// place written twice is found out. It takes host:port, [v6]:port and unix:/path; a host name stays a name, because the
// data plane resolves it again and again. The error says what is wrong and what to write instead, without naming the
// address itself: the caller knows where it stood. Safe for concurrent use.
func CanonicalAddr(s string) (string, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		return canonicalUnix(path)
	}
	switch {
	case s == "":
		return "", errors.New("is empty; write host:port, [v6]:port or unix:/path")
	case strings.Contains(s, "://"):
		return "", errors.New("is a URL; write host:port, [v6]:port or unix:/path")
	case strings.HasPrefix(s, "/"):
		return "", fmt.Errorf("is a bare path; write unix:%s", s)
	}
	if ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil && ip.Zone() == "" {
		return "", fmt.Errorf("is a bare IP address; write %s", net.JoinHostPort(ip.String(), "9090"))
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", errors.New("is not host:port; write host:port, [v6]:port or unix:/path")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || port[0] == '0' || port[0] == '+' {
		return "", fmt.Errorf("has the port %q; write a number from 1 to 65535", port)
	}
	if host, err = canonicalHost(host); err != nil {
		return "", err
	}
	return net.JoinHostPort(host, port), nil
}

func canonicalUnix(path string) (string, error) {
	switch {
	case !strings.HasPrefix(path, "/"):
		return "", errors.New("is not an absolute unix path; write unix:/run/name.sock")
	case strings.HasSuffix(path, "/"):
		return "", errors.New("names a folder; write the path of a socket, like unix:/run/name.sock")
	case strings.ContainsRune(path, 0):
		return "", errors.New("holds a NUL byte; write a plain path, like unix:/run/name.sock")
	case len(path) > maxUnixPath:
		return "", fmt.Errorf("is %d bytes long, and a unix path has room for %d; write a shorter path", len(path), maxUnixPath)
	}
	return "unix:" + path, nil
}

func canonicalHost(host string) (string, error) {
	if host == "" {
		return "", errors.New("has no host; write host:port, like 127.0.0.1:9090")
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.IsUnspecified() {
			return "", errors.New("is the wildcard address, which is a place to listen and not to connect to; write the host's own address")
		}
		if zone := ip.Zone(); zone != "" && !hostLabel(strings.ReplaceAll(zone, ".", "_")) {
			return "", fmt.Errorf("has the IPv6 zone %q; write the name of an interface", zone)
		}
		return ip.String(), nil
	}
	if len(strings.TrimSuffix(host, ".")) > 253 {
		return "", fmt.Errorf("has a host name of %d bytes; write at most 253 (RFC 1035)", len(host))
	}
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	for _, l := range labels {
		if !hostLabel(l) {
			return "", fmt.Errorf("has %q in its host, which is neither an IP address nor a host name; write letters, digits, - and _ between dots", l)
		}
	}
	// A last label of digits alone is a misspelt IPv4 address, never a name (RFC 3696 §2): a resolver would only guess.
	if strings.Trim(labels[len(labels)-1], "0123456789") == "" {
		return "", fmt.Errorf("has the host %q, which looks like an IPv4 address and is none; write four numbers from 0 to 255", host)
	}
	return strings.ToLower(host), nil
}

func hostLabel(l string) bool {
	if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
		return false
	}
	for i := range len(l) {
		c := l[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
