package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/kubeapi"
	"github.com/bellhop-mesh/bellhop/scripts/prove"
	"github.com/bellhop-mesh/bellhop/scripts/prove/callers"
)

const (
	port     = 9090
	name     = "shop" // of the namespace
	slicesAt = "/apis/discovery.k8s.io/v1/namespaces/" + name + "/endpointslices"
	core     = "/api/v1/namespaces/" + name
)

// shop is what ordinary events have.
var shop = []string{"shop.Cart", "shop.Price", "shop.Stock", "shop.User"}

// condition is what a slice says of a pod.
type condition int

const (
	ready condition = iota
	terminating
)

// pod is a server as a slice knows it. Its UID is its own for ever, its address is not.
type pod struct {
	addr string // host:port
	uid  int
	is   condition
}

// stage is what an event happens on. Every event has one of its own.
type stage struct {
	*callers.Rig
	outage time.Duration
	api    *kubeapi.API
	more   string            // registries of the proxy, beside Kubernetes
	pods   map[string][]*pod // what the slice of a service says
	last   int               // pod that was made
}

// newStage starts an API. Servers, proxy and load are the event's.
func newStage(dir string, outage time.Duration, o kubeapi.Options) (*stage, error) {
	s := &stage{Rig: callers.NewRig(dir), outage: outage, pods: map[string][]*pod{}}
	place := filepath.Join(dir, "kube")
	if err := os.Mkdir(place, 0o700); err != nil {
		return nil, err
	}
	o.Flags = append(o.Flags, "--advertise-address=10.98.0.1") // it looks for a default route otherwise
	var err error
	if s.api, err = kubeapi.Start(place, o); err != nil {
		return nil, err
	}
	if err := s.do("POST", "/api/v1/namespaces", object{"metadata": object{"name": name}}); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *stage) stop() {
	s.Rig.Stop()
	s.api.Close()
}

type object = map[string]any

// do asks the API.
func (s *stage) do(method, path string, body any) error {
	b, err := json.Marshal(body)
	if err == nil {
		_, err = s.api.Do(method, path, string(b))
	}
	return err
}

// named is the Kubernetes name of a service.
func named(service string) string { return strings.ToLower(strings.ReplaceAll(service, ".", "-")) }

// enabled is the label that the proxy selects by.
const enabled = "bellhop.dev/enabled"

// labels are what a slice has that no controller made.
func labels(service string) object {
	return object{enabled: "true", "kubernetes.io/service-name": named(service)}
}

// declare makes a Service.
func (s *stage) declare(service string, spec object) error {
	spec["ports"] = []object{{"name": "thrift", "port": port}}
	return s.do("POST", core+"/services", object{
		"metadata": object{"name": named(service), "labels": object{enabled: "true"}, "annotations": object{"bellhop.dev/service": service}}, "spec": spec,
	})
}

// slice is the object that says what pods a service has.
func slice(service string, pods []*pod) (object, error) {
	at, list := port, []object{}
	for _, p := range pods {
		host, text, err := net.SplitHostPort(p.addr)
		if err != nil {
			return nil, err
		}
		if at, err = strconv.Atoi(text); err != nil {
			return nil, err
		}
		conditions := object{"ready": true, "serving": true, "terminating": false}
		if p.is == terminating {
			conditions = object{"ready": false, "serving": true, "terminating": true}
		}
		list = append(list, object{
			"addresses": []string{host}, "conditions": conditions,
			"targetRef": object{"kind": "Pod", "namespace": name, "name": fmt.Sprintf("pod-%d", p.uid), "uid": fmt.Sprintf("00000000-0000-0000-0000-%012d", p.uid)},
		})
	}
	return object{
		"metadata": object{"name": named(service) + "-1", "labels": labels(service)}, "addressType": "IPv4",
		"ports": []object{{"name": "thrift", "port": at}}, "endpoints": list,
	}, nil
}

// create makes a Service with its slice.
func (s *stage) create(service string) error {
	o, err := slice(service, s.pods[service])
	if err == nil {
		err = s.declare(service, object{"clusterIP": "None"})
	}
	if err == nil {
		err = s.do("POST", slicesAt, o)
	}
	return err
}

// tell writes what the slice of a service says now.
func (s *stage) tell(service string) error {
	o, err := slice(service, s.pods[service])
	if err != nil {
		return err
	}
	return s.do("PUT", slicesAt+"/"+named(service)+"-1", o)
}

// start starts a server in a pod of its own, at a new address, or at one that is given. Nobody knows it yet.
func (s *stage) start(service, addr string) (*pod, error) {
	s.last++
	if addr == "" {
		addr = fmt.Sprintf("10.98.%d.%d:%d", 1+s.last/250, 1+s.last%250, port)
	}
	_, err := s.Serve(service, addr)
	return &pod{addr: addr, uid: s.last}, err
}

// add starts servers of a service, which the slice does not say yet.
func (s *stage) add(service string, n int) error {
	for range n {
		p, err := s.start(service, "")
		if err != nil {
			return err
		}
		s.pods[service] = append(s.pods[service], p)
	}
	return nil
}

// remove has a service's slice name a pod no more; it is not told yet.
func (s *stage) remove(service string, p *pod) {
	s.pods[service] = slices.DeleteFunc(s.pods[service], func(q *pod) bool { return p == q })
}

// begin starts the proxy and callers of services.
func (s *stage) begin(ctx context.Context, called ...string) error {
	return s.Begin(ctx, &prove.Bellhop{
		Dir: filepath.Join(s.Dir, "local"), Config: "listeners:\n  - {net: unix, addr: call.sock}\n",
		Registries: fmt.Sprintf("kubernetes: {services: true, kubeconfig: %q}%s", s.api.Kubeconfig("admin"), s.more),
	}, called...)
}

// ordinary starts four services with four servers each, the proxy, and callers of all.
func (s *stage) ordinary(ctx context.Context) error {
	for _, service := range shop {
		if err := s.add(service, 4); err != nil {
			return err
		}
	}
	for _, service := range slices.Sorted(maps.Keys(s.pods)) {
		if err := s.create(service); err != nil {
			return err
		}
	}
	return s.begin(ctx, shop...)
}

// change starts one more server of a service and returns how long after its being told its first reply came.
func (s *stage) change(ctx context.Context, service string) (time.Duration, error) {
	if err := s.add(service, 1); err != nil {
		return 0, err
	}
	return s.told(ctx, service)
}

// told tells of the newest pod of a service, and returns how long after that its first reply came.
func (s *stage) told(ctx context.Context, service string) (time.Duration, error) {
	pods := s.pods[service]
	first := s.Load.From(pods[len(pods)-1].addr)
	begun := time.Now()
	if err := s.tell(service); err != nil {
		return 0, err
	}
	return callers.Until(ctx, first, begun)
}
