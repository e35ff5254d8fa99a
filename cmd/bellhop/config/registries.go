package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/registry/zookeeper"
)

// ZooKeeper is one ensemble. In a list there are no defaults: what is zero gets the one that its help names.
type ZooKeeper struct {
	Name        string        `yaml:"name" check:"word" help:"its name in logs, metrics and other keys; default zookeeper"`
	Servers     string        `yaml:"servers" check:"zkservers" help:"the connect string: host:port, separated by commas, perhaps with a chroot"`
	Layout      string        `yaml:"layout" oneof:"bellhop,dapeng,curator,serverset" help:"how services lie in it: bellhop (default), dapeng, curator or serverset"`
	Path        string        `yaml:"path" check:"zktemplate" help:"the node of a service, with {service} for its name; default the layout's"`
	Remotes     string        `yaml:"remotes" check:"zkpath" help:"the node under which remote proxies register; default /bellhop/remotes; off: they are not looked for"`
	Endpoint    string        `yaml:"endpoint" help:"serverset: the additional endpoint that speaks Thrift; default the service endpoint"`
	Framing     string        `yaml:"framing" check:"wire" help:"of services whose instances do not say; default framed-binary, in the layout dapeng dapeng"`
	Services    []Text        `yaml:"services" check:"zkservice" help:"services to watch from the start and for ever; the others are learned from calls"`
	Session     time.Duration `yaml:"session" min:"1s" max:"10m" help:"the session's time-out as asked for; default 30s"`
	Audit       time.Duration `yaml:"audit" min:"1s" max:"1h" help:"how often every node in use is looked at, besides its watch; default 25s"`
	Unknown     time.Duration `yaml:"unknown" min:"100ms" max:"1h" help:"how long a name that is not there is not asked for again; default 5s"`
	Forget      time.Duration `yaml:"forget" min:"1m" max:"8760h" help:"a service that nobody has called for so long is not watched any more; default 168h"`
	Reconnect   time.Duration `yaml:"reconnect" min:"1ms" max:"1m" help:"the longest random pause before another server is taken; default 1s, or a tenth of session"`
	MaxServices int           `yaml:"max_services" min:"1" max:"1000000" help:"services watched; default 10000"`
	MaxPending  int           `yaml:"max_pending" min:"1" max:"1000000" help:"look-ups that wait; default 1000"`
	MaxUnknown  int           `yaml:"max_unknown" min:"1" max:"1000000" help:"names remembered as unknown; default 10000"`
	MaxReply    Size          `yaml:"max_reply" min:"65536" max:"1073741823" help:"bytes of one reply; default 4MiB"`
	DigestFile  string        `yaml:"digest_file" help:"file that holds user:password for the scheme digest"`
	ACL         string        `yaml:"acl" oneof:"open,creator,creator-read" help:"on nodes that are created: open, creator or creator-read; default creator-read with a digest, else open"`
	TLS         ClientTLS     `yaml:"tls"`
}

// Kubernetes is a cluster.
type Kubernetes struct {
	Services      bool    `yaml:"services" help:"look for services in the cluster: those whose labels selector takes"`
	Node          string  `yaml:"node" help:"this node's name in the cluster: callers are then known by their pods; $NODE is what the environment says; off, or nothing: they are known by their cgroups alone"`
	Kubeconfig    string  `yaml:"kubeconfig" help:"a kubeconfig file; default: as a pod, with its ServiceAccount"`
	Context       string  `yaml:"context" help:"the kubeconfig's context; default its current one"`
	Namespaces    []Text  `yaml:"namespaces" help:"namespaces whose services count; none: all"`
	Selector      string  `yaml:"selector" help:"the label selector of Services"`
	Family        string  `yaml:"family" oneof:"IPv4,IPv6" help:"IPv4 or IPv6: preferred for pods that have both; default each Service's primary one"`
	QPS           float64 `yaml:"qps" min:"0.1" max:"10000" help:"requests a second to the API server"`
	Burst         int     `yaml:"burst" min:"1" max:"10000" help:"... at once"`
	MaxServices   int     `yaml:"max_services" min:"1" max:"1000000" help:"Services read"`
	MaxEndpoints  int     `yaml:"max_endpoints" min:"1" max:"1000000" help:"... their endpoints"`
	MaxPerService int     `yaml:"max_per_service" min:"1" max:"1000000" help:"endpoints of one service"`
	MaxPods       int     `yaml:"max_pods" min:"1" max:"1000000" help:"pods of this node"`
}

// Pods reports whether callers are to be known by their pods.
func (k Kubernetes) Pods() bool { return k.Node != "" && k.Node != Off }

// Registration is one service of this host that can't register itself: the proxy does it, while the service is healthy.
type Registration struct {
	Service  string        `yaml:"service" check:"zkservice" help:"the service's name"`
	Addr     string        `yaml:"addr" check:"hostport" help:"host:port as callers reach it"`
	In       string        `yaml:"in" help:"the name of the ensemble; default the first"`
	Weight   int           `yaml:"weight" min:"1" max:"1000" help:"its share of the calls; default 100"`
	Version  string        `yaml:"version" help:"its version"`
	Labels   []Text        `yaml:"labels" check:"label" help:"its labels, each key=value"`
	Framing  string        `yaml:"framing" check:"wire" help:"what it speaks; default the service's"`
	Mode     string        `yaml:"mode" oneof:"exclusive,multiplexed,per-call" help:"how connections to it are used; default by framing"`
	Check    string        `yaml:"check" oneof:"tcp,thrift,heartbeat" help:"tcp: it accepts a connection (default); thrift: it answers a call of method; heartbeat: it echoes one (OSP, dapeng)"`
	Method   string        `yaml:"method" help:"thrift: the method to call without arguments; any reply but an INTERNAL_ERROR is healthy"`
	Target   string        `yaml:"target" check:"hostport" help:"host:port to check; default addr"`
	Interval time.Duration `yaml:"interval" min:"100ms" max:"1h" help:"between two checks; default 2s"`
	Timeout  time.Duration `yaml:"timeout" min:"10ms" max:"1m" help:"of one check; default 1s"`
	Failures int           `yaml:"failures" min:"1" max:"100" help:"checks that fail in a row before it is taken out; default 3"`
}

// DefaultRemotes is the node under which remote proxies register.
const DefaultRemotes = "/bellhop/remotes"

func checkWord(s string) error {
	if len(s) > 64 || strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
	}) || strings.Trim(s, ".") == "" {
		return errors.New("write at most 64 of letters, digits, dots, - and _")
	}
	return nil
}

func checkServers(s string) error {
	_, _, err := zookeeper.ParseServers(s)
	return err
}

func checkNode(s string) error {
	if s == Off {
		return nil
	}
	return zookeeper.CheckPath(s)
}

func checkTemplate(s string) error {
	if n := strings.Count(s, "{service}"); n != 1 {
		return fmt.Errorf("has {service} %d times; write it once, like /bellhop/services/{service}", n)
	}
	return zookeeper.CheckPath(strings.Replace(s, "{service}", "x", 1))
}

func checkWire(s string) error {
	_, err := protocol.ParseWire(s)
	return err
}

func checkLabel(s string) error {
	if k, _, ok := strings.Cut(s, "="); !ok || k == "" {
		return errors.New("write key=value")
	}
	return nil
}

// registries judges the list of ensembles, and what names one of them.
func (d *decoder) registries(c *Config) {
	names := map[string]bool{FileRegistry: true, KubernetesRegistry: c.Registry.Kubernetes.Services}
	for i := range c.Registry.ZooKeeper {
		z, path := &c.Registry.ZooKeeper[i], fmt.Sprintf("registry.zookeeper[%d]", i)
		if z.Servers == "" {
			d.at(path+".servers", path, "is missing; write host:port, separated by commas")
		}
		if z.ACL != "" && z.ACL != "open" && z.DigestFile == "" {
			d.at(path+".acl", path, "is %s, which needs a digest_file: without a digest there is no creator", z.ACL)
		}
		if z.Endpoint != "" && z.Layout != string(zookeeper.ServerSet) {
			d.at(path+".endpoint", path, "is for the layout serverset only")
		}
		if (z.TLS.Cert == "") != (z.TLS.Key == "") {
			d.at(path+".tls", path, "has one of cert and key; write both")
		}
		if name := z.Label(); names[name] || name == KubernetesRegistry {
			d.at(path+".name", path, "is %q, as another registry is called; write another name", name)
		}
		names[z.Label()] = true
	}
	for i, name := range c.Registry.Order {
		if path := fmt.Sprintf("registry.order[%d]", i); !names[name] {
			d.at(path, "registry.order", "is %q, which is no registry here", name)
		} else if slices.Index(c.Registry.Order, name) < i {
			d.at(path, "registry.order", "is %q a second time; keep one", name)
		}
	}
	for i := range c.Register {
		d.registration(c, &c.Register[i], fmt.Sprintf("register[%d]", i))
	}
	if name, ok := strings.CutPrefix(c.Remote.Register, "zookeeper:"); ok && c.ensemble(name) == nil {
		d.at("remote.register", "remote", "names %q, which is no ensemble of registry.zookeeper", name)
	}
}

func (d *decoder) registration(c *Config, r *Registration, path string) {
	if r.Service == "" {
		d.at(path+".service", path, "is missing; write the service's name")
	}
	if r.Addr == "" {
		d.at(path+".addr", path, "is missing; write host:port as callers reach it")
	}
	if c.ensemble(r.In) == nil {
		d.at(path+".in", path, "names %q; write the name of one of registry.zookeeper", r.In)
	}
	if (r.Check == "thrift") != (r.Method != "") {
		d.at(path+".method", path, "goes with check: thrift, and check: thrift needs it")
	}
	if r.Timeout > 0 && r.Interval > 0 && r.Timeout > r.Interval {
		d.at(path+".timeout", path, "is longer than interval")
	}
}

// The names of registries that are no ensembles, in registry.order.
const (
	FileRegistry       = "file"
	KubernetesRegistry = "kubernetes"
)

// Label is what the ensemble is called.
func (z *ZooKeeper) Label() string {
	if z.Name == "" {
		return "zookeeper"
	}
	return z.Name
}

// ensemble finds one by its name, "" the first; nil: there is none.
func (c *Config) ensemble(name string) *ZooKeeper {
	for i := range c.Registry.ZooKeeper {
		if z := &c.Registry.ZooKeeper[i]; name == "" || z.Label() == name {
			return z
		}
	}
	return nil
}

// resolve fills in what depends on nothing but the role's defaults.
func (z *ZooKeeper) resolve() {
	z.Name = z.Label()
	switch z.Remotes {
	case "":
		z.Remotes = DefaultRemotes
	case Off:
		z.Remotes = ""
	}
}

func (c *Config) resolveRegistries() {
	for i := range c.Registry.ZooKeeper {
		c.Registry.ZooKeeper[i].resolve()
	}
	if len(c.Registry.ZooKeeper) == 0 {
		return
	}
	for i := range c.Register {
		if r := &c.Register[i]; r.In == "" {
			r.In = c.Registry.ZooKeeper[0].Name
		}
	}
}

// RegistryOrder are the names of the registries, the one whose word counts most first: those of registry.order, then the
// others in the order files, ensembles as they are listed, Kubernetes.
func (c *Config) RegistryOrder() []string {
	out := slices.Clone(c.Registry.Order)
	add := func(name string) {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	add(FileRegistry)
	for i := range c.Registry.ZooKeeper {
		add(c.Registry.ZooKeeper[i].Label())
	}
	if c.Registry.Kubernetes.Services {
		add(KubernetesRegistry)
	}
	return out
}

// UsedFile is where the names of the services in use are kept for an ensemble.
func (c *Config) UsedFile(z *ZooKeeper) string {
	return filepath.Join(c.RunDir, "private", "used-"+z.Label()+".json")
}
