package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/bellhop-mesh/bellhop/daemonset"
	"github.com/bellhop-mesh/bellhop/proxy"
	"github.com/bellhop-mesh/bellhop/registry"
	"github.com/bellhop-mesh/bellhop/registry/file"
	"github.com/bellhop-mesh/bellhop/registry/kubernetes"
	"github.com/bellhop-mesh/bellhop/registry/zookeeper"
)

// Sources are what the admin side reads.
type Sources struct {
	Proxy      *proxy.Proxy
	Manager    *registry.Manager
	File       *file.Source
	Ensembles  []Ensemble
	Kubernetes *Kubernetes // nil: no cluster is used
	Rules      Rules       // nil: no place of rules is configured
	Ready      *daemonset.Readiness
	Log        *slog.Logger
	Config     map[string]any // in force, without secrets
	Bounds     map[string]float64
	MaxSources int
	Process    Process
	Listeners  []Listener
	State      func() string // of the address file
}

// Ensemble is a ZooKeeper ensemble that services come from.
type Ensemble struct {
	Name    string
	Servers string
	Stats   func() zookeeper.Stats // safe for concurrent use

	Registrar func() zookeeper.RegistrarStats // safe for concurrent use; nil: nothing is registered there
}

// Kubernetes is the cluster that services, or the pods of this node, come from. What is not used is nil. Safe for
// concurrent use.
type Kubernetes struct {
	Services func() kubernetes.Stats
	Pods     func() kubernetes.PodsStats
}

// Process is who answers.
type Process struct {
	Role     string    `json:"role"`
	Version  string    `json:"version"`
	Instance string    `json:"instance"`
	PID      int       `json:"pid"`
	Started  time.Time `json:"started"`
	RunDir   string    `json:"run_dir"`
	Registry string    `json:"registry"`
	Host     string    `json:"host,omitempty"`
	Zone     string    `json:"zone,omitempty"`
}

// Listener is one place where callers come in.
type Listener struct {
	Name    string `json:"name"`
	Net     string `json:"net"`
	Addr    string `json:"addr"`
	Service string `json:"service,omitempty"`
	Framing string `json:"framing"`
	Ordered bool   `json:"ordered,omitempty"`
	TLS     bool   `json:"tls,omitempty"`
}

// Bounds of the admin side: it must not cost the data plane anything.
const (
	askTimeout  = 2 * time.Second // for the workers' counters
	readTimeout = 10 * time.Second
	idleTimeout = time.Minute
	maxHeader   = 16 << 10
)

// Server answers on one listener.
type Server struct {
	Sources
	http http.Server
}

// New makes a server that does not listen yet.
func New(src Sources) *Server {
	s := &Server{Sources: src}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /config", s.config)
	mux.HandleFunc("GET /rules", s.rules)
	mux.HandleFunc("POST /drain", s.drain)
	mux.HandleFunc("GET /explain", s.explain)
	mux.HandleFunc("GET /clusters", s.clusters)
	mux.HandleFunc("GET /breakers", s.breakers)
	mux.HandleFunc("POST /breakers", s.setBreaker)
	mux.HandleFunc("GET /sources", s.sources)
	mux.HandleFunc("GET /status", s.status)
	mux.HandleFunc("GET /registry", s.registry)
	mux.Handle("GET /metrics", s.metrics())
	mux.HandleFunc("GET /{$}", index)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	s.http = http.Server{
		Handler: mux, ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(src.Log.Handler(), slog.LevelDebug),
	}
	return s
}

// Serve answers until Close.
func (s *Server) Serve(l net.Listener) { _ = s.http.Serve(l) } // ends with ErrServerClosed

// Close ends at once: whoever asks an admin question can ask again.
func (s *Server) Close() { _ = s.http.Close() }

func index(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, "/metrics /healthz /readyz /status?window=1s /config /rules /explain?service=S&method=M /clusters /breakers /registry /sources /debug/pprof/ (POST /breakers, POST /drain)")
}

// healthz: the process answers and its workers come round. A platform restarts what fails here.
func (s *Server) healthz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), askTimeout)
	defer cancel()
	say(w, s.Proxy.Tick(ctx))
}

// readyz: one call made now comes back through the data path.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) { say(w, s.Ready.Check(r.Context())) }

func say(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, err)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (s *Server) clusters(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), askTimeout)
	defer cancel()
	list, err := s.Proxy.Clusters(ctx)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	writeJSON(w, list)
}

func (s *Server) sources(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.sortedSources()) }

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // the asker went away
}
