// Package kubeapi runs a real Kubernetes API for tests and proofs: etcd and kube-apiserver, and kube-controller-manager where
// EndpointSlices shall come of Services, on loopback, with ports that were free and certificates of its own, in a folder of
// the caller's. Roles are enforced (RBAC). It must never be part of a proxy, and never touch a process that it did not start.
package kubeapi

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
)

// The versions that scripts/kube.sh builds, and where.
const (
	kubeVersion = "v1.35.4"
	etcdVersion = "v3.6.16"
	etcd        = "etcd"
	apiserver   = "kube-apiserver"
	manager     = "kube-controller-manager"
)

// binary is where a program of the three lies; "": it was not built.
func binary(name string) string {
	_, self, _, ok := runtime.Caller(0)
	if !ok {
		return ""
	}
	folder := "kubernetes-" + kubeVersion
	if name == etcd {
		folder = "etcd-" + etcdVersion
	}
	path := filepath.Join(filepath.Dir(self), "../../.cache/kube/bin", folder, name)
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// Missing says what this machine lacks to run an API, and how to get it; "" when nothing is.
func Missing() string {
	for _, name := range []string{etcd, apiserver, manager} {
		if binary(name) == "" {
			return name + " is missing; run scripts/kube.sh (minutes, once), or make test-cluster"
		}
	}
	return ""
}

// User is somebody who may ask the API, by a token. What he may do, roles say.
type User struct {
	Name   string
	Groups []string
}

// Options are what a test may want otherwise.
type Options struct {
	Controllers []string // of kube-controller-manager; none: it is not started
	Users       []User   // beside admin, who may do everything
	Flags       []string // more of kube-apiserver
}

// API is a running API. Its methods are for one goroutine.
type API struct {
	dir   string
	o     Options
	ports []int // etcd for clients, etcd for peers, kube-apiserver, kube-controller-manager
	procs map[string]*exec.Cmd

	ca     []byte // the certificate of its authority
	admin  string // token
	client *http.Client
}

// Start runs an API in dir and waits until it serves. Ports are taken again when somebody else was quicker.
func Start(dir string, o Options) (*API, error) {
	var err error
	for range 3 {
		a := &API{dir: dir, o: o, procs: map[string]*exec.Cmd{}}
		if a.ports, err = prove.FreePorts(4); err != nil {
			return nil, err
		}
		if err = a.start(); err == nil {
			return a, nil
		}
		a.Close()
		_ = os.RemoveAll(filepath.Join(dir, "etcd")) // of the failed start
	}
	return nil, err
}

func (a *API) start() error {
	if err := a.files(); err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(a.ca)
	a.client = &http.Client{
		Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, MaxIdleConnsPerHost: 16},
	}
	if err := errors.Join(a.startEtcd(), a.StartServer()); err != nil {
		return err
	}
	if len(a.o.Controllers) == 0 {
		return nil
	}
	return a.run(manager, "--kubeconfig", a.Kubeconfig("admin"), "--authentication-kubeconfig", a.Kubeconfig("admin"),
		"--authorization-kubeconfig", a.Kubeconfig("admin"), "--controllers", strings.Join(a.o.Controllers, ","), "--leader-elect=false",
		"--bind-address", "127.0.0.1", "--secure-port", strconv.Itoa(a.ports[3]), "--cert-dir", a.path("pki"), "--kube-api-qps", "500", "--kube-api-burst", "1000",
		"--concurrent-service-endpoint-syncs", "10")
}

func (a *API) startEtcd() error {
	peer := "http://127.0.0.1:" + strconv.Itoa(a.ports[1])
	return a.run(etcd, "--data-dir", a.path("etcd"), "--listen-client-urls", a.etcdURL(), "--advertise-client-urls", a.etcdURL(),
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer, "--unsafe-no-fsync",
		"--log-level", "warn")
}

func (a *API) etcdURL() string { return "http://127.0.0.1:" + strconv.Itoa(a.ports[0]) }

func (a *API) path(parts ...string) string {
	return filepath.Join(append([]string{a.dir}, parts...)...)
}

// StartServer starts kube-apiserver, which must not be running, and waits until it serves. What etcd holds is still there.
func (a *API) StartServer() error {
	args := append([]string{
		"--etcd-servers", a.etcdURL(), "--bind-address", "127.0.0.1", "--secure-port", strconv.Itoa(a.ports[2]),
		"--tls-cert-file", a.path("pki", "server.crt"), "--tls-private-key-file", a.path("pki", "server.key"), "--token-auth-file", a.path("tokens.csv"),
		"--authorization-mode", "RBAC", "--service-cluster-ip-range", "10.96.0.0/16", "--service-account-issuer", "https://kubernetes.default.svc",
		"--service-account-key-file", a.path("pki", "accounts.pub"), "--service-account-signing-key-file", a.path("pki", "accounts.key"),
		"--endpoint-reconciler-type", "none", "--enable-priority-and-fairness=false", "--profiling=false",
		"--max-requests-inflight", "2000", "--max-mutating-requests-inflight", "1000",
	}, a.o.Flags...)
	if err := a.run(apiserver, args...); err != nil {
		return err
	}
	return a.await(60 * time.Second)
}

// StopServer ends kube-apiserver at once, and with it every watch.
func (a *API) StopServer() { a.kill(apiserver) }

// Restart ends kube-apiserver and starts it again.
func (a *API) Restart() error {
	a.StopServer()
	return a.StartServer()
}

// Backup copies what etcd holds, for Restore. kube-apiserver and etcd are away meanwhile.
func (a *API) Backup() error {
	a.StopServer()
	a.end(etcd)
	err := errors.Join(os.RemoveAll(a.path("backup")), os.CopyFS(a.path("backup"), os.DirFS(a.path("etcd"))))
	return errors.Join(err, a.startEtcd(), a.StartServer())
}

// Restore sets the API back to what it was at Backup, resource versions included.
func (a *API) Restore() error {
	a.StopServer()
	a.kill(etcd)
	err := errors.Join(os.RemoveAll(a.path("etcd")), os.CopyFS(a.path("etcd"), os.DirFS(a.path("backup"))), os.Chmod(a.path("etcd"), 0o700))
	return errors.Join(err, a.startEtcd(), a.StartServer())
}

// run starts a program, with its output in a file of its name.
func (a *API) run(name string, args ...string) error {
	path := binary(name)
	if path == "" {
		return errors.New(Missing())
	}
	log, err := os.OpenFile(a.path(name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = a.dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a test that is killed leaves nothing
	if err := cmd.Start(); err != nil {
		return err
	}
	a.procs[name] = cmd
	return nil
}

// await waits until the API serves. Seen: 3 s after its start.
func (a *API) await(within time.Duration) error {
	deadline := time.Now().Add(within)
	for {
		if resp, err := a.client.Get(a.URL() + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		if time.Now().After(deadline) || a.ended(apiserver) {
			log, _ := os.ReadFile(a.path(apiserver + ".log")) // only to say more
			return fmt.Errorf("kube-apiserver does not serve after %s; its log ends with:\n%s", within, log[max(0, len(log)-2000):])
		}
		<-time.After(50 * time.Millisecond)
	}
}

// ended says whether a program that was started ended by itself.
func (a *API) ended(name string) bool {
	p := a.procs[name]
	if p == nil {
		return true
	}
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(p.Process.Pid, &status, syscall.WNOHANG, nil)
	return err != nil || pid == p.Process.Pid
}

// URL is where the API is asked.
func (a *API) URL() string { return "https://127.0.0.1:" + strconv.Itoa(a.ports[2]) }

// Kubeconfig is the path of a kubeconfig for admin or one of Options.Users.
func (a *API) Kubeconfig(user string) string { return a.path(user + ".kubeconfig") }

// AddKubeconfig writes a kubeconfig for a token that the API gave out, like a ServiceAccount's. Kubeconfig has its path.
func (a *API) AddKubeconfig(user, token string) error {
	return os.WriteFile(a.Kubeconfig(user), a.kubeconfig(a.ca, token), 0o600)
}

// Do asks the API as admin, with JSON. An answer other than 2xx is an error that holds it.
func (a *API) Do(method, path, body string) ([]byte, error) {
	req, err := http.NewRequest(method, a.URL()+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+a.admin)
	req.Header.Set("Content-Type", "application/json")
	if method == http.MethodPatch {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, out)
	}
	return out, err
}

// PID is the process of kube-apiserver; 0 when it is not running.
func (a *API) PID() int {
	if p := a.procs[apiserver]; p != nil {
		return p.Process.Pid
	}
	return 0
}

// end lets a program end by itself, so that everything it has is written.
func (a *API) end(name string) {
	if p := a.procs[name]; p != nil {
		_ = p.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		_ = p.Wait()                          // ended by a signal: an error
		delete(a.procs, name)
	}
}

// kill ends a program at once.
func (a *API) kill(name string) {
	if p := a.procs[name]; p != nil {
		_ = p.Process.Kill() // it may have ended by itself
		_ = p.Wait()         // killed: an error
		delete(a.procs, name)
	}
}

// Close ends everything that was started.
func (a *API) Close() {
	for _, name := range []string{manager, apiserver, etcd} {
		a.kill(name)
	}
	if a.client != nil {
		a.client.CloseIdleConnections()
	}
}
