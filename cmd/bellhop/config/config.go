package config

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/bellhop-mesh/bellhop/daemonset/addrfile"
	"github.com/bellhop-mesh/bellhop/daemonset/rundir"
	"github.com/bellhop-mesh/bellhop/proxy"
	"github.com/bellhop-mesh/bellhop/proxy/pressure"
)

// Role is which of the two kinds of proxy a process is.
type Role string

// The roles.
const (
	Local  Role = "local"
	Remote Role = "remote"
)

// Config is everything that the file can say.
type Config struct {
	RunDir     string `yaml:"run_dir" help:"the run directory: pub/ is for guests, private/ for the proxy; one proxy each. --run-dir goes before it; $BELLHOP_RUN_DIR is the default where it is set"`
	Host       string `yaml:"host" help:"this host's name, as endpoints and remote proxies know it; empty: the kernel's host name"`
	Zone       string `yaml:"zone" help:"this host's zone, for the order same host, same zone, the rest"`
	Labels     []Text `yaml:"labels" check:"label" help:"labels of this host, KEY=VALUE each, for rules about hosts"`
	Workers    int    `yaml:"workers" min:"0" max:"64" help:"event loops; 0: one for each CPU that the process may use, at most 16"`
	AllowCIDRs []Text `yaml:"allow_cidrs" check:"cidr" help:"networks that TCP callers may come from, besides this node's own addresses; a shared proxy is no open relay"`

	Listeners   []Listener      `yaml:"listeners" list:"listeners" help:"where callers come in; what is listed replaces the defaults"`
	Registry    Registry        `yaml:"registry"`
	Register    []Registration  `yaml:"register" role:"local" list:"registrations" help:"services of this host to register while they are healthy, because they can't do it themselves"`
	Rules       Rules           `yaml:"rules"`
	Defaults    ServiceDefaults `yaml:"service_defaults"`
	Limits      Limits          `yaml:"limits"`
	Timeouts    Timeouts        `yaml:"timeouts"`
	Protection  Protection      `yaml:"protection"`
	Quarantine  Quarantine      `yaml:"quarantine"`
	HandOff     HandOff         `yaml:"handoff" role:"local"`
	Remote      RemoteRole      `yaml:"remote" role:"remote"`
	AddressFile AddressFile     `yaml:"address_file"`
	Admin       Admin           `yaml:"admin"`
	Drain       Drain           `yaml:"drain"`
	Log         Log             `yaml:"log"`
	AccessLog   AccessLog       `yaml:"access_log"`
}

// Text is a string in a list; it is not empty.
type Text = string

// Size is a number of bytes, written like 64MiB.
type Size int64

// Listener is one place where callers come in.
type Listener struct {
	Name      string    `yaml:"name" help:"its name in logs and in status; default NET:ADDR"`
	Net       string    `yaml:"net" oneof:"unix,tcp" help:"unix or tcp"`
	Addr      string    `yaml:"addr" help:"unix: a path, relative to the run directory's pub; tcp: host:port, where port 0 takes a free one"`
	Mode      string    `yaml:"mode" check:"mode" help:"unix: the socket's mode, in octal; default 0666"`
	Owner     string    `yaml:"owner" help:"unix: user, user:group or :group, by name or number; default: the process's own"`
	Service   string    `yaml:"service" help:"calls that name no service go to this one: unmodified clients; such a listener is not in the address file"`
	Framing   string    `yaml:"framing" check:"framing" help:"the only framing spoken here; default auto: told by a connection's first bytes"`
	Ordered   bool      `yaml:"ordered" help:"one call at a time for each connection"`
	Advertise string    `yaml:"advertise" check:"hostport" help:"tcp: the host:port that the address file names; default the one listened on, loopback for a wildcard"`
	TLS       ServerTLS `yaml:"tls"`
}

// ServerTLS names the files of the accepting side.
type ServerTLS struct {
	Cert string `yaml:"cert" help:"PEM file of this side's certificate chain"`
	Key  string `yaml:"key" help:"PEM file of the certificate's private key"`
	CA   string `yaml:"ca" help:"PEM file of the authorities that callers' certificates are verified with; without one no certificate is asked for"`
}

// Set reports whether anything was said.
func (t ServerTLS) Set() bool { return t != ServerTLS{} }

// ClientTLS names the files of the connecting side.
type ClientTLS struct {
	Cert       string `yaml:"cert" help:"PEM file of this side's certificate chain"`
	Key        string `yaml:"key" help:"PEM file of the certificate's private key"`
	CA         string `yaml:"ca" help:"PEM file of the authorities that the other side's certificate is verified with; default the system's"`
	ServerName string `yaml:"server_name" help:"the name in the other side's certificate; default the host that was connected to"`
}

// Set reports whether anything was said.
func (t ClientTLS) Set() bool { return t != ClientTLS{} }

// Registry says where services are known from.
type Registry struct {
	Path          string        `yaml:"path" help:"a YAML file or a folder of them, watched; default /etc/bellhop/services.d where it exists, else services.d in the run directory's private, which is made"`
	Wait          time.Duration `yaml:"wait" min:"0s" max:"10m" help:"how long the start waits for the first answer of every registry, before it goes on with what was known at the last run; at most 500ms when that is something and a registry is over the network"`
	Poll          time.Duration `yaml:"poll" min:"10ms" max:"1h" help:"how often files are looked at where inotify is not to be had; every tenth of that where it is"`
	Coalesce      time.Duration `yaml:"coalesce" min:"1ms" max:"1m" help:"the shortest time between two routing tables"`
	HoldRemoved   time.Duration `yaml:"hold_removed" min:"0s" max:"24h" help:"how long endpoints of a mass removal, or the last of a service, are kept at most; those that fail probes go before; an edit of a file is the operator's will and takes effect at once; 0s: not at all"`
	MassShare     float64       `yaml:"mass_removal_share" min:"0.01" max:"1" help:"removing more than this share of the endpoints at once is a mass removal"`
	MassMin       int           `yaml:"mass_removal_min" min:"1" max:"100000" help:"... if it is at least so many endpoints"`
	MaxServices   int           `yaml:"max_services" min:"1" max:"1000000" help:"an update with more services is rejected"`
	MaxEndpoints  int           `yaml:"max_endpoints" min:"1" max:"1000000" help:"an update with more endpoints is rejected"`
	LastKnownGood string        `yaml:"last_known_good" help:"the file that keeps what was known over a restart; default registry.json in the run directory's private; off: none"`
	Order         []Text        `yaml:"order" help:"the registries by name (file, kubernetes, names of ensembles), the one whose word counts most first; those left out come after: files, then ensembles as listed, then kubernetes"`
	Kubernetes    Kubernetes    `yaml:"kubernetes"`
	ZooKeeper     []ZooKeeper   `yaml:"zookeeper" list:"ensembles" help:"ensembles to look for services in, besides the files"`
}

// Rules says where the rules document lies. One place at most; none: no rules.
type Rules struct {
	Path      string `yaml:"path" help:"a YAML file, watched; it need not be there yet"`
	ZooKeeper string `yaml:"zookeeper" check:"znode" help:"the path of a ZooKeeper node, like /bellhop/rules"`
	Ensemble  string `yaml:"ensemble" help:"the name of the ensemble of registry.zookeeper that has the node; default the first"`
	ConfigMap string `yaml:"configmap" check:"configmap" help:"namespace/name of a Kubernetes ConfigMap, watched by the API"`
	Key       string `yaml:"key" help:"the ConfigMap's key that has the document; default rules.yaml"`
	LastGood  string `yaml:"last_good" help:"the file that keeps the rules over a restart; default rules.json in the run directory's private; off: none"`
}

// Set reports whether there is a place for rules.
func (r Rules) Set() bool { return r.Path != "" || r.ZooKeeper != "" || r.ConfigMap != "" }

// ServiceDefaults are what a service gets that does not say. Its deadline is timeouts.call.
type ServiceDefaults struct {
	MaxConns   int `yaml:"max_connections" min:"1" max:"1000000" help:"connections to one endpoint, over all workers"`
	MaxPending int `yaml:"max_pending" min:"1" max:"1000000" help:"calls that wait for a connection, per endpoint and worker"`
	Depth      int `yaml:"depth" min:"1" max:"65536" help:"calls in flight on one multiplexed connection to a plain Thrift, THeader or TTHeader server"`
}

// Limits are proxy.Limits.
type Limits struct {
	MaxFrame      Size    `yaml:"max_frame" min:"1024" max:"1073741823" help:"bytes of one frame"`
	Window        Size    `yaml:"window" min:"1024" max:"1073741823" help:"bytes of a large frame that are held on either side: larger frames are forwarded while they arrive"`
	Depth         int     `yaml:"depth" min:"1" max:"65536" help:"calls pipelined on one plain Thrift connection of a caller"`
	SourceCalls   int     `yaml:"source_calls" min:"1" max:"1000000" help:"calls in flight of one source"`
	TotalCalls    int     `yaml:"total_calls" min:"1" max:"1000000" help:"calls in flight of the proxy"`
	SourceBytes   Size    `yaml:"source_bytes" min:"65536" max:"1099511627776" help:"bytes buffered for one source"`
	TotalBytes    Size    `yaml:"total_bytes" min:"65536" max:"1099511627776" help:"bytes buffered by the proxy"`
	SourceConns   int     `yaml:"source_connections" min:"1" max:"1000000" help:"connections of one source"`
	TotalConns    int     `yaml:"total_connections" min:"1" max:"1000000" help:"connections of callers"`
	SourceQueued  int     `yaml:"source_queued" min:"1" max:"1000000" help:"calls of one source that wait for a connection; below source_calls it leaves room for its calls to other services"`
	SourceLookups int     `yaml:"source_lookups" min:"1" max:"1000000" help:"services that the registry looks up because a call of one source named them, counted by worker"`
	TotalLookups  int     `yaml:"total_lookups" min:"1" max:"1000000" help:"services that the registry looks up because a call named them, counted by worker"`
	MaxMethods    int     `yaml:"max_methods" min:"1" max:"100000" help:"methods of one service that have metrics of their own; the rest is other"`
	MaxSources    int     `yaml:"max_sources" min:"1" max:"100000" help:"sources that have metrics of their own; the rest is other"`
	FailedCalls   int     `yaml:"failed_calls" min:"0" max:"1000" help:"failed calls of one method that each worker remembers, for bellhop explain; 0: none"`
	FailedTotal   int     `yaml:"failed_calls_total" min:"1" max:"1000000" help:"failed calls that are remembered in all, about 1.5 kB each"`
	RetryShare    float64 `yaml:"retry_share" min:"0" max:"1" help:"calls that are sent again though they may have run or were shed, for each call of their service"`
	RetryMin      int     `yaml:"retry_min" min:"0" max:"100000" help:"... and so many a second besides, for each service"`
	RequeueShare  float64 `yaml:"requeue_share" min:"0" max:"2" help:"calls that are offered to another endpoint because they are provably unsent, for each call of their service"`
	RequeueMin    int     `yaml:"requeue_min" min:"0" max:"100000" help:"... and so many a second besides, for each service"`
	IdlePerPool   int     `yaml:"idle_per_pool" min:"0" max:"100000" help:"idle connections kept to one endpoint by one worker"`
	ConnectsOpen  int     `yaml:"connects_open" min:"1" max:"10000" help:"connects under way to one endpoint by one worker"`
}

// Timeouts are proxy.Timeouts.
type Timeouts struct {
	Detect       time.Duration `yaml:"detect" min:"10ms" max:"1h" help:"a caller's connection: from accept to the first bytes that tell the framing"`
	Frame        time.Duration `yaml:"frame" min:"10ms" max:"1h" help:"a caller's frame: from its first byte to its last"`
	WriteStall   time.Duration `yaml:"write_stall" min:"10ms" max:"1h" help:"a peer that takes none of the bytes waiting for it"`
	Idle         time.Duration `yaml:"idle" min:"100ms" max:"168h" help:"a caller's connection without a call"`
	MaxAge       time.Duration `yaml:"max_age" min:"0s" max:"8760h" help:"a caller's connection, closed between two calls; 0s: never"`
	Call         time.Duration `yaml:"call" min:"1ms" max:"1h" help:"deadline of calls that bring none, where the service names none"`
	MaxCall      time.Duration `yaml:"max_call" min:"1ms" max:"24h" help:"the longest deadline that a caller may ask for"`
	Lookup       time.Duration `yaml:"lookup" min:"1ms" max:"5m" help:"how long a call waits for the registry to look up a service that is not known yet; what is left of its deadline is for the remote tier"`
	Connect      time.Duration `yaml:"connect" min:"1ms" max:"5m" help:"connecting to an endpoint"`
	UpstreamIdle time.Duration `yaml:"upstream_idle" min:"100ms" max:"24h" help:"a connection to an endpoint without a call; keep it below the server's own"`
	UpstreamAge  time.Duration `yaml:"upstream_age" min:"0s" max:"8760h" help:"a connection to an endpoint, closed between two calls so that host names are resolved anew; 0s: never"`
	Stall        time.Duration `yaml:"stall" min:"10ms" max:"1h" help:"a multiplexed connection to an endpoint with calls in flight and no byte"`
	KeepAlive    time.Duration `yaml:"keepalive" min:"1s" max:"2h" help:"TCP keepalive to endpoints"`
	UserTimeout  time.Duration `yaml:"user_timeout" min:"100ms" max:"1h" help:"TCP_USER_TIMEOUT to endpoints: written bytes that nobody acknowledges"`
}

// Protection is what the proxy does against more calls than it can carry.
type Protection struct {
	Profile string        `yaml:"profile" oneof:"auto,small,medium,large,off" help:"thresholds for a class of hardware; auto: small up to 1 CPU or 512 MiB, large from 8 CPUs and 8 GiB on, else medium; off: the proxy does not protect itself"`
	CPU     float64       `yaml:"cpu" min:"0" max:"0.99" help:"the share of the CPU time it may use (its cgroup's quota, or all CPUs) from which it begins to protect itself; 0: the profile's"`
	Delay   time.Duration `yaml:"queue_delay" min:"0s" max:"10s" help:"the mean wait of calls for a worker from which it begins to; 0s: the profile's"`
	Memory  float64       `yaml:"memory" min:"0" max:"0.99" help:"the share of its memory limit (GOMEMLIMIT, or its cgroup's) from which it begins to; 0: the profile's"`
	MoveTTL time.Duration `yaml:"move_ttl" min:"0s" max:"10m" help:"how long a source is asked to use the remote tier, renewed while it would be too much again; 0s: nobody is asked"`
	Reserve float64       `yaml:"reserve" min:"0" max:"0.9" help:"a remote proxy: the share of what it can carry that is kept for callers whose local proxy is gone"`
}

// Quarantine is proxy.Quarantine.
type Quarantine struct {
	Strikes int           `yaml:"strikes" min:"0" max:"1000000" help:"what a source may do wrong within window before it is kept out: bytes that can't be understood count 1, replies that are not taken 5, a panic of a codec 10; 0: it never is"`
	Window  time.Duration `yaml:"window" min:"100ms" max:"1h" help:"how long a strike counts"`
	First   time.Duration `yaml:"first" min:"10ms" max:"1h" help:"how long a source is kept out the first time; it doubles each time, and is halved by as long a time without another"`
	Most    time.Duration `yaml:"most" min:"10ms" max:"24h" help:"the longest that it is kept out at once"`
}

// HandOff says how `bellhop local` hands calls over to the remote tier. Nothing said: it does not.
type HandOff struct {
	TokenFile string    `yaml:"token_file" help:"file of the secret that the remote proxies know; turns handing over on"`
	TLS       ClientTLS `yaml:"tls"`
}

// RemoteRole says how `bellhop remote` takes part in its cluster.
type RemoteRole struct {
	TokenFile string    `yaml:"token_file" help:"file of the secret that admits hand-off connections"`
	TLS       ServerTLS `yaml:"tls"`
	Advertise string    `yaml:"advertise" check:"hostport" help:"the host:port to register; default the first tcp listener's"`
	Register  string    `yaml:"register" help:"the registry folder to register in, or zookeeper:NAME for an ensemble; default registry.path; off: not at all"`
	Grant     Grant     `yaml:"grant"`
}

// Grant is what one hand-off connection may use.
type Grant struct {
	Calls int           `yaml:"calls" min:"1" max:"1000000" help:"calls in flight on one hand-off connection"`
	Bytes Size          `yaml:"bytes" min:"65536" max:"1099511627776" help:"bytes in flight on one hand-off connection"`
	Valid time.Duration `yaml:"valid" min:"0s" max:"24h" help:"how long a grant holds; 0s: as long as its connection"`
}

// AddressFile is what guests read.
type AddressFile struct {
	Lease time.Duration `yaml:"lease" min:"100ms" max:"10m" help:"how long guests believe the file without a sign of life; it is touched at least every third of that"`
}

// Admin is the HTTP side.
type Admin struct {
	Listen string `yaml:"listen" check:"admin" help:"unix:/path or a loopback host:port; default admin.sock in the run directory's private; off: none"`
}

// Drain is the end.
type Drain struct {
	Grace   time.Duration `yaml:"grace" min:"0s" max:"1h" help:"how long it goes on accepting after the address file says draining"`
	Timeout time.Duration `yaml:"timeout" min:"100ms" max:"24h" help:"how long the end may take in all; calls still in flight are then cut"`
}

// Log is what is written to standard error.
type Log struct {
	Level  string `yaml:"level" oneof:"debug,info,warn,error" help:"the least level that is written"`
	Format string `yaml:"format" oneof:"text,json" help:"text or json"`
}

// AccessLog says which calls are logged.
type AccessLog struct {
	Sample float64       `yaml:"sample" min:"0" max:"1" help:"share of the calls that are logged"`
	Slow   time.Duration `yaml:"slow" min:"0s" max:"1h" help:"calls at least this slow are always logged; 0s: none"`
	Queue  int           `yaml:"queue" min:"1" max:"1000000" help:"lines waiting to be written; more are dropped and counted"`
}

// The places that need no configuration.
const (
	etcServices = "/etc/bellhop/services.d"
	// RunDirEnv names the run directory for every command.
	RunDirEnv = "BELLHOP_RUN_DIR"
	// NodeEnv in registry.kubernetes.node stands for what the environment says: the downward API's spec.nodeName.
	NodeEnv = "$NODE"
	// Off turns a path or a listener off.
	Off = "off"
)

// DefaultRunDir is the run directory of a role when the file does not say.
func DefaultRunDir(r Role) string {
	if dir := os.Getenv(RunDirEnv); dir != "" {
		return dir
	}
	if r == Remote {
		return rundir.DefaultPath + "-remote" // a host may run one of each
	}
	return rundir.DefaultPath
}

// Default returns the configuration of a role that has no file.
func Default(r Role) *Config {
	l, t, q := proxy.DefaultLimits(), proxy.DefaultTimeouts(), proxy.DefaultQuarantine()
	c := &Config{
		RunDir: DefaultRunDir(r),
		Registry: Registry{
			Wait: 2 * time.Second, Poll: time.Second, Coalesce: 100 * time.Millisecond, HoldRemoved: 10 * time.Minute,
			MassShare: 0.3, MassMin: 2, MaxServices: 100_000, MaxEndpoints: 100_000,
			Kubernetes: Kubernetes{
				Selector: "bellhop.dev/enabled=true", QPS: 20, Burst: 50,
				MaxServices: 10_000, MaxEndpoints: 100_000, MaxPerService: 20_000, MaxPods: 2_000,
			},
		},
		Defaults: ServiceDefaults{MaxConns: 256, MaxPending: 1024, Depth: 8},
		Limits: Limits{
			MaxFrame: Size(l.MaxFrame), Window: Size(l.Window), Depth: l.Depth, SourceCalls: l.SourceCalls, TotalCalls: l.TotalCalls,
			SourceBytes: Size(l.SourceBytes), TotalBytes: Size(l.TotalBytes), SourceConns: l.SourceConns, TotalConns: l.TotalConns,
			SourceQueued: l.SourceQueued, SourceLookups: l.SourceLookups, TotalLookups: l.TotalLookups, MaxMethods: l.MaxMethods, MaxSources: l.MaxSources,
			FailedCalls: l.FailedCalls, FailedTotal: l.FailedTotal,
			RetryShare: l.RetryShare, RetryMin: l.RetryMin, RequeueShare: l.RequeueShare, RequeueMin: l.RequeueMin, IdlePerPool: l.IdlePerPool, ConnectsOpen: l.ConnectsOpen,
		},
		Timeouts: Timeouts{
			Detect: t.Detect, Frame: t.Frame, WriteStall: t.WriteStall, Idle: t.Idle, MaxAge: t.MaxAge, Call: t.Call,
			MaxCall: t.MaxCall, Lookup: t.Lookup, Connect: t.Connect, UpstreamIdle: t.UpstreamIdle, UpstreamAge: t.UpstreamAge, Stall: t.Stall,
			KeepAlive: t.KeepAlive, UserTimeout: t.UserTimeout,
		},
		Protection:  Protection{Profile: pressure.Auto, MoveTTL: 30 * time.Second, Reserve: 0.3},
		Quarantine:  Quarantine{Strikes: q.Strikes, Window: q.Window, First: q.First, Most: q.Most},
		Remote:      RemoteRole{Grant: Grant{Calls: 256, Bytes: 64 << 20}},
		AddressFile: AddressFile{Lease: addrfile.DefaultLease},
		Drain:       Drain{Grace: 2 * time.Second, Timeout: 30 * time.Second},
		Log:         Log{Level: "info", Format: "text"},
		AccessLog:   AccessLog{Queue: 1024},
	}
	c.Listeners = []Listener{{Net: "unix", Addr: "call.sock"}, {Net: "tcp", Addr: "127.0.0.1:7070"}}
	if r == Remote {
		c.Listeners = []Listener{{Net: "tcp", Addr: "127.0.0.1:7300"}}
	}
	return c
}

// Resolve fills in the paths that depend on the run directory or on the machine. Call it once, after Parse and flags.
// The error is of the file system: the working directory is gone.
func (c *Config) Resolve() error {
	dir, err := filepath.Abs(c.RunDir)
	if err != nil {
		return fmt.Errorf("run directory: %w", err)
	}
	c.RunDir = dir
	private := filepath.Join(c.RunDir, "private")
	or := func(s *string, def string) {
		if *s == "" {
			*s = def
		}
	}
	if c.Registry.Path == "" {
		if info, err := os.Stat(etcServices); err == nil && info.IsDir() {
			c.Registry.Path = etcServices
		}
	}
	or(&c.Registry.Path, filepath.Join(private, "services.d"))
	or(&c.Registry.LastKnownGood, filepath.Join(private, "registry.json"))
	if c.Rules.ConfigMap != "" {
		or(&c.Rules.Key, "rules.yaml")
	}
	or(&c.Rules.LastGood, filepath.Join(private, "rules.json"))
	or(&c.Admin.Listen, "unix:"+filepath.Join(private, "admin.sock"))
	or(&c.Remote.Register, c.Registry.Path)
	if c.Host == "" {
		c.Host, _ = os.Hostname() // without one, no endpoint is on the same host
	}
	if c.Registry.Kubernetes.Node == NodeEnv {
		c.Registry.Kubernetes.Node = os.Getenv("NODE")
	}
	c.resolveRegistries()
	for i := range c.Listeners {
		c.Listeners[i].resolve(filepath.Join(c.RunDir, "pub"))
	}
	return nil
}

func (l *Listener) resolve(pub string) {
	if l.Name == "" {
		l.Name = l.Net + ":" + l.Addr
	}
	if l.Net == "unix" && !filepath.IsAbs(l.Addr) {
		l.Addr = filepath.Join(pub, l.Addr)
	}
	if l.Net == "unix" && l.Mode == "" {
		l.Mode = "0666"
	}
}
