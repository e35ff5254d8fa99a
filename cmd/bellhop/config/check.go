package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/registry/strict"
	"github.com/bellhop-mesh/bellhop/registry/zookeeper"
)

// checks are the judges that the tag `check` names. Their errors say what to write instead.
var checks = map[string]func(string) error{
	"cidr":     strict.CheckCIDR,
	"mode":     checkMode,
	"framing":  checkFraming,
	"hostport": checkHostPort,
	"admin":    checkAdmin,

	"word":       checkWord,
	"wire":       checkWire,
	"label":      checkLabel,
	"zkservers":  checkServers,
	"zkpath":     checkNode,
	"zktemplate": checkTemplate,
	"zkservice":  zookeeper.CheckName,
	"znode":      checkZnode,
	"configmap":  checkConfigMap,
}

func checkZnode(s string) error {
	if !strings.HasPrefix(s, "/") || s == "/" || filepath.Clean(s) != s {
		return errors.New("write the path of a node, like /bellhop/rules")
	}
	return nil
}

func checkConfigMap(s string) error {
	if namespace, name, ok := strings.Cut(s, "/"); !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
		return errors.New("write namespace/name, like bellhop/rules")
	}
	return nil
}

func checkMode(s string) error {
	if n, err := strconv.ParseUint(s, 8, 32); err != nil || n > 0o777 {
		return errors.New(`write an octal mode in quotes, like "0660"`)
	}
	return nil
}

func checkFraming(s string) error {
	_, err := ParseFraming(s)
	return err
}

// ParseFraming turns a listener's word into a framing; auto and "" are FramingUnknown. The error lists the words.
func ParseFraming(s string) (protocol.Framing, error) {
	if s == "" || s == "auto" {
		return protocol.FramingUnknown, nil
	}
	var words []string
	for f := protocol.UnframedBinary; f <= protocol.Dapeng; f++ {
		if f.String() == s {
			return f, nil
		}
		words = append(words, f.String())
	}
	return 0, fmt.Errorf("write auto or one of %s", strings.Join(words, ", "))
}

func checkHostPort(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" {
		return errors.New("write host:port, or [v6]:port")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return errors.New("write a port from 1 to 65535")
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		return errors.New("is a wildcard, which nobody can connect to; write the address that others reach")
	}
	return nil
}

func checkAdmin(s string) error {
	if s == Off {
		return nil
	}
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if !filepath.IsAbs(path) {
			return errors.New("write an absolute path, like unix:/run/bellhop/private/admin.sock")
		}
		return nil
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return errors.New("write unix:/path, or a loopback address with a port, like 127.0.0.1:7071")
	}
	if !ap.Addr().IsLoopback() {
		return errors.New("is not a loopback address: the admin side has no authentication")
	}
	return nil
}

// cross judges what several keys say together.
func (d *decoder) cross(c *Config) {
	if len(c.Listeners) == 0 {
		d.bad(d.lines["listeners"], "listeners", "is empty: nobody could call; leave the key out for the defaults")
	}
	taken := map[string]string{}
	for i := range c.Listeners {
		l, path := &c.Listeners[i], fmt.Sprintf("listeners[%d]", i)
		d.listener(l, path)
		if first := taken[l.Net+l.Addr]; first != "" && !strings.HasSuffix(l.Addr, ":0") {
			d.at(path+".addr", path, "is taken by %s", first)
		}
		taken[l.Net+l.Addr] = path
	}
	if t := c.HandOff.TLS; (t.Cert == "") != (t.Key == "") {
		d.at("handoff.tls", "handoff.tls", "has one of cert and key; write both")
	}
	d.pair(c.Remote.TLS, "remote.tls")
	if c.Timeouts.Call > c.Timeouts.MaxCall {
		d.at("timeouts.call", "timeouts.max_call", "%s is longer than timeouts.max_call, %s", strict.ShowDuration(c.Timeouts.Call), strict.ShowDuration(c.Timeouts.MaxCall))
	}
	if c.Drain.Grace >= c.Drain.Timeout {
		d.at("drain.grace", "drain.timeout", "%s leaves nothing of drain.timeout, %s", strict.ShowDuration(c.Drain.Grace), strict.ShowDuration(c.Drain.Timeout))
	}
	if c.Quarantine.First > c.Quarantine.Most {
		d.at("quarantine.first", "quarantine.most", "%s is longer than quarantine.most, %s", strict.ShowDuration(c.Quarantine.First), strict.ShowDuration(c.Quarantine.Most))
	}
	d.registries(c)
	d.rules(c)
	l := &c.Limits
	d.share("calls", l.SourceCalls > l.TotalCalls)
	d.share("bytes", l.SourceBytes > l.TotalBytes)
	d.share("connections", l.SourceConns > l.TotalConns)
	d.share("lookups", l.SourceLookups > l.TotalLookups)
}

// rules: one place, and what belongs to it.
func (d *decoder) rules(c *Config) {
	r := &c.Rules
	places := 0
	for _, p := range []string{r.Path, r.ZooKeeper, r.ConfigMap} {
		if p != "" {
			places++
		}
	}
	if places > 1 {
		d.at("rules", "rules", "names %d places; write one of path, zookeeper and configmap", places)
	}
	if r.Ensemble != "" && d.lines["rules.zookeeper"] == 0 {
		d.at("rules.ensemble", "rules", "is for rules.zookeeper only")
	}
	switch {
	case r.ZooKeeper == "" || c.ensemble(r.Ensemble) != nil:
	case r.Ensemble == "":
		d.at("rules.zookeeper", "rules", "needs an ensemble; write one into registry.zookeeper")
	default:
		d.at("rules.ensemble", "rules.zookeeper", "names %q, which is no ensemble of registry.zookeeper", r.Ensemble)
	}
	if r.Key != "" && d.lines["rules.configmap"] == 0 {
		d.at("rules.key", "rules", "is for rules.configmap only")
	}
	if r.LastGood != "" && places == 0 && d.lines["rules.path"]+d.lines["rules.zookeeper"]+d.lines["rules.configmap"] == 0 {
		d.at("rules.last_good", "rules", "keeps nothing without a place of rules; write path, zookeeper or configmap")
	}
}

// share: one source's bound is at most that of all.
func (d *decoder) share(of string, above bool) {
	if above {
		d.at("limits.source_"+of, "limits.total_"+of, "is above limits.total_%s; lower it, or raise the other", of)
	}
}

// at reports at the line of key, or at that of the other key when this one was not written. A key whose own value was
// wrong already is not judged again.
func (d *decoder) at(key, other, format string, args ...any) {
	for _, p := range d.problems {
		if p.Key == key || p.Key == other {
			return
		}
	}
	line := d.lines[key]
	if line == 0 {
		line = d.lines[other]
	}
	d.bad(line, key, format, args...)
}

func (d *decoder) listener(l *Listener, path string) {
	switch l.Net {
	case "unix":
		if l.Addr != "" && !filepath.IsAbs(l.Addr) && !filepath.IsLocal(l.Addr) {
			d.at(path+".addr", path, "leaves the run directory's pub; write a name in it, or an absolute path")
		}
		if l.Advertise != "" {
			d.at(path+".advertise", path, "is for tcp listeners only")
		}
		if l.TLS.Set() {
			d.at(path+".tls", path, "is for tcp listeners only")
		}
	case "tcp":
		if host, port, err := net.SplitHostPort(l.Addr); l.Addr != "" && (err != nil || !isPort(port)) {
			d.at(path+".addr", path, "is %q; write host:port or [v6]:port, with port 0 for a free one", l.Addr)
		} else if _, err := netip.ParseAddr(host); l.Addr != "" && host != "" && err != nil {
			d.at(path+".addr", path, "is %q; write an IP address, not a name: a name may move", l.Addr)
		}
		if l.Mode != "" || l.Owner != "" {
			d.at(path+".mode", path, "mode and owner are for unix listeners only")
		}
	default:
		if d.lines[path+".net"] == 0 {
			d.at(path+".net", path, "is missing; write net: unix or net: tcp")
		}
	}
	if l.Addr == "" && d.lines[path+".addr"] == 0 {
		d.at(path+".addr", path, "is missing; write a path or host:port")
	}
	d.pair(l.TLS, path+".tls")
}

func isPort(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}

// pair: the accepting side needs a certificate, and its key.
func (d *decoder) pair(t ServerTLS, path string) {
	switch {
	case (t.Cert == "") != (t.Key == ""):
		d.at(path, path, "has one of cert and key; write both")
	case t.Set() && t.Cert == "":
		d.at(path, path, "has no cert and key, which the accepting side needs")
	}
}
