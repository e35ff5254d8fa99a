// Command prove-kubernetes shows what a proxy's callers feel while an API server fails, and Services change as a cluster
// changes them: nothing. etcd, kube-apiserver, the servers and the proxy are real; there is no kubelet: pods are played by
// the proof. It must never stop calling around an event, nor touch a network that is not its own.
//
//	calls at a fixed rate ─► client ─► bellhop local ─► peers, in processes of their own, at addresses of pods
//	                                        ▲
//	          stage, as operator ─► kube-apiserver ─► etcd
//
// An API server takes no loopback address for an endpoint, so the whole proof runs in a network namespace of its own (which
// takes root), that ends with it. Exit code 1: a target was missed, or an event did not come to its end; 2: nothing was run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/kubeapi"
	"github.com/bellhop-mesh/bellhop/scripts/prove"
	"github.com/bellhop-mesh/bellhop/scripts/prove/callers"
	"github.com/bellhop-mesh/bellhop/scripts/zkensemble"
)

// within is set, in the environment, where the proof has a network of its own already.
const within = "BELLHOP_PROVE_KUBERNETES_NETWORK"

func main() {
	if os.Getenv(within) == "" {
		os.Exit(inOwnNetwork())
	}
	outage := flag.Duration("outage", 20*time.Second, "how long kube-apiserver is down")
	event := func(name string, o kubeapi.Options, happens func(context.Context, *stage, *prove.Table) error) callers.Event {
		return callers.Event{Name: name, Happens: func(ctx context.Context, dir string, t *prove.Table) error {
			s, err := newStage(dir, *outage, o)
			if err != nil {
				return err
			}
			defer s.stop()
			return happens(ctx, s, t)
		}}
	}
	callers.Main("prove-kubernetes", []callers.Event{
		event("outage", kubeapi.Options{}, outageOfServer),
		event("rollout", kubeapi.Options{}, rollout),
		event("deployment", kubeapi.Options{Controllers: controllers}, deployment),
		event("zero", kubeapi.Options{}, toZero),
		event("migration", kubeapi.Options{}, migration),
		event("address", kubeapi.Options{}, address),
		event("scale", kubeapi.Options{}, scale),
	}, missing)
}

func missing() string {
	if why := kubeapi.Missing(); why != "" {
		return why
	}
	return zkensemble.Missing()
}

// inOwnNetwork runs the proof again, in a network with nothing but a loopback device that has all addresses of pods.
func inOwnNetwork() int {
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, "prove-kubernetes:", err)
		return 2
	}
	runtime.LockOSThread() // Pdeathsig is sent when the thread ends
	const script = `ip link set lo up && ip address add 10.98.0.1/15 dev lo && exec "$0" "$@"`
	cmd := exec.Command("/bin/sh", append([]string{"-c", script, self}, os.Args[1:]...)...)
	cmd.Env = append(os.Environ(), within+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGTERM}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, os.Interrupt, syscall.SIGTERM)
	if err = cmd.Start(); err == nil {
		go func() {
			for sig := range asked {
				_ = cmd.Process.Signal(sig) // it cleans up; it may have ended
			}
		}()
		err = cmd.Wait()
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	fmt.Fprintln(os.Stderr, "prove-kubernetes: no network namespace of its own, which takes root:", err)
	return 2
}
