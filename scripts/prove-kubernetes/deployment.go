package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
	"github.com/bellhop-mesh/bellhop/scripts/prove/callers"
)

const (
	node     = "n1"
	replicas = 4
	looked   = 20 * time.Millisecond // between two looks of the kubelet that the proof plays
)

// controllers are those that make a rollout of a Deployment, and the slices of a Service.
var controllers = []string{"deployment-controller", "replicaset-controller", "endpointslice-controller"}

// kubelet plays the node's part, and the scheduler's: every pod is bound, gets a server and an address, and is said to be
// ready; one that is deleted has its server asked to end after preStop, and is gone when that has ended.
type kubelet struct {
	s       *stage
	preStop time.Duration
	servers map[string]string    // address, by pod
	ends    map[string]time.Time // when a deleted pod's server is asked to end
}

// listed is what is used of a list of pods.
type listed struct {
	Items []struct {
		Metadata struct {
			Name              string
			DeletionTimestamp string
		}
	}
}

// look does what is due for every pod, and returns how many there are.
func (k *kubelet) look(service string) (int, error) {
	b, err := k.s.api.Do("GET", core+"/pods", "")
	if err != nil {
		return 0, err
	}
	var all listed
	if err := json.Unmarshal(b, &all); err != nil {
		return 0, err
	}
	for _, p := range all.Items {
		name := p.Metadata.Name
		switch {
		case p.Metadata.DeletionTimestamp != "":
			err = k.end(name)
		case k.servers[name] == "":
			err = k.start(service, name)
		}
		if err != nil {
			return 0, err
		}
	}
	return len(all.Items), nil
}

func (k *kubelet) start(service, name string) error {
	p, err := k.s.start(service, "")
	if err != nil {
		return err
	}
	k.servers[name] = p.addr
	ip, _, err := net.SplitHostPort(p.addr)
	if err != nil {
		return err
	}
	at := core + "/pods/" + name
	if err := k.s.do("POST", at+"/binding", object{"metadata": object{"name": name}, "target": object{"kind": "Node", "name": node}}); err != nil {
		return err
	}
	return k.s.do("PATCH", at+"/status", object{"status": object{
		"phase": "Running", "podIP": ip, "podIPs": []object{{"ip": ip}},
		"conditions": []object{{"type": "Ready", "status": "True", "lastTransitionTime": time.Now().UTC().Format(time.RFC3339)}},
	}})
}

func (k *kubelet) end(name string) error {
	at, known := k.ends[name]
	if !known {
		at = time.Now().Add(k.preStop)
		k.ends[name] = at
	}
	if time.Now().Before(at) {
		return nil
	}
	k.s.Peers[k.servers[name]].Stop(callers.Drained)
	return k.s.do("DELETE", core+"/pods/"+name, object{"gracePeriodSeconds": 0})
}

// play goes on until the Deployment has as many pods as it wants, all of its newest template, and nobody else is left.
func (k *kubelet) play(ctx context.Context, service string) error {
	var d struct {
		Metadata struct{ Generation int }
		Status   struct{ ObservedGeneration, Replicas, UpdatedReplicas, AvailableReplicas int }
	}
	for deadline := time.Now().Add(callers.Patience); time.Now().Before(deadline); {
		n, err := k.look(service)
		if err != nil {
			return err
		}
		b, err := k.s.api.Do("GET", deployments+"/"+named(service), "")
		if err != nil {
			return err
		}
		if err := json.Unmarshal(b, &d); err != nil {
			return err
		}
		st := d.Status
		if st.ObservedGeneration == d.Metadata.Generation && n == replicas && st.Replicas == n && st.UpdatedReplicas == n && st.AvailableReplicas == n {
			return nil
		}
		if err := callers.Wait(ctx, looked); err != nil {
			return err
		}
	}
	return errors.New("the Deployment does not come to rest")
}

const deployments = "/apis/apps/v1/namespaces/" + name + "/deployments"

// deploy makes a Service and its Deployment.
func (s *stage) deploy(service string) error {
	app := object{"app": named(service)}
	return errors.Join(
		s.do("POST", "/api/v1/nodes", object{"metadata": object{"name": node}}),
		s.do("POST", core+"/serviceaccounts", object{"metadata": object{"name": "default"}}),
		s.declare(service, object{"selector": app}),
		s.do("POST", deployments, object{"metadata": object{"name": named(service)}, "spec": object{
			"replicas": replicas, "selector": object{"matchLabels": app},
			"strategy": object{"type": "RollingUpdate", "rollingUpdate": object{"maxSurge": 1, "maxUnavailable": 0}},
			"template": object{"metadata": object{"labels": app}, "spec": object{"containers": []object{{
				"name": "c", "image": "i", "ports": []object{{"name": "thrift", "containerPort": port}},
			}}}},
		}}),
	)
}

// deployment rolls a Deployment out by Kubernetes' own controllers, twice: its pods end a second after they were deleted,
// as those with a preStop hook do, and at once. The latter has no target: the server closes its connections before anybody
// can have been told, and a call that crosses the close may have run, so that it must not be sent again.
func deployment(ctx context.Context, s *stage, t *prove.Table) error {
	service := shop[0]
	if err := s.deploy(service); err != nil {
		return err
	}
	k := &kubelet{s: s, servers: map[string]string{}, ends: map[string]time.Time{}}
	if err := k.play(ctx, service); err != nil {
		return err
	}
	if err := s.begin(ctx, service); err != nil {
		return err
	}
	if err := s.Endpoints(ctx, replicas); err != nil {
		return err
	}
	for i, preStop := range []time.Duration{time.Second, 0} {
		k.preStop = preStop
		before := len(k.servers)
		begun := time.Now()
		n, err := s.Under(ctx, func() error {
			err := s.do("PATCH", deployments+"/"+named(service), object{"spec": object{"template": object{"metadata": object{"annotations": object{"release": fmt.Sprint(i)}}}}})
			if err == nil {
				err = k.play(ctx, service)
			}
			return err
		})
		event := fmt.Sprintf("a Deployment is rolled out, SIGTERM %s after a pod's deletion", preStop)
		if preStop > 0 {
			callers.Calls(t, event, n, time.Since(begun))
		} else {
			t.Note(event+": lost calls", fmt.Sprintf("%d of %d, %d misrouted", n.Failed, n.Calls, n.Wrong))
		}
		if err != nil {
			return err
		}
		if fresh := len(k.servers) - before; fresh != replicas {
			return fmt.Errorf("the rollout made %d pods, not %d", fresh, replicas)
		}
	}
	return nil
}
