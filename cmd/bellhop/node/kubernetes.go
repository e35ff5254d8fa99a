package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/bellhop-mesh/bellhop/cmd/bellhop/admin"
	"github.com/bellhop-mesh/bellhop/daemonset/identity"
	"github.com/bellhop-mesh/bellhop/registry"
	"github.com/bellhop-mesh/bellhop/registry/kubernetes"
)

// kubernetesCluster is the cluster that is in use; all fields are nil when none is.
type kubernetesCluster struct {
	client *kubernetes.Client
	source *kubernetes.Source
	pods   *kubernetes.Pods
}

// openKubernetes connects to the cluster, where anything is wanted of it.
func (n *node) openKubernetes() error {
	k := &n.Config.Registry.Kubernetes
	if !k.Services && !k.Pods() && n.Config.Rules.ConfigMap == "" {
		return nil
	}
	log := n.Log.With("registry", "kubernetes")
	client, err := kubernetes.NewClient(kubernetes.ClientConfig{Kubeconfig: k.Kubeconfig, Context: k.Context, QPS: k.QPS, Burst: k.Burst, UserAgent: "bellhop/" + n.Version, Log: log})
	if err != nil {
		return err
	}
	n.onClose(client.Close)
	n.cluster.client = client
	if k.Services {
		n.cluster.source, err = kubernetes.New(client, kubernetes.Options{
			Namespaces: k.Namespaces, Selector: k.Selector, Family: k.Family, MaxServices: k.MaxServices, MaxEndpoints: k.MaxEndpoints,
			MaxPerService: k.MaxPerService, CheckFraming: CheckFraming, CheckService: CheckService, Log: log,
		})
		if err != nil {
			return err
		}
	}
	if k.Pods() {
		if n.cluster.pods, err = kubernetes.NewPods(client, kubernetes.PodsOptions{Node: k.Node, Max: k.MaxPods, Log: log}); err != nil {
			return err
		}
		n.spawn(func(ctx context.Context) { _ = n.cluster.pods.Run(ctx) }) // returns nil
	}
	return nil
}

// rulesDocument is the ConfigMap that holds the rules.
func (n *node) rulesDocument() (registry.DocumentSource, error) {
	namespace, name, _ := strings.Cut(n.Config.Rules.ConfigMap, "/") // judged when it was read
	d, err := kubernetes.NewDocument(n.cluster.client, kubernetes.DocumentOptions{Namespace: namespace, Name: name, Key: n.Config.Rules.Key, Log: n.Log})
	if err != nil {
		return nil, fmt.Errorf("rules.configmap: %w", err)
	}
	return d, nil
}

// problem says why nothing can be had of the cluster now; nil: it can, or is not used for services.
func (c *kubernetesCluster) problem() error {
	if c.source == nil {
		return nil
	}
	if st := c.source.Stats(); !st.Synced && st.Problem != "" {
		return errors.New("kubernetes: " + st.Problem)
	}
	return nil
}

// late says whether the pods of this node are still being read: until they are, no caller is known by its pod.
func (c *kubernetesCluster) late() bool { return c.pods != nil && !c.pods.Synced() }

func (c *kubernetesCluster) status() *admin.Kubernetes {
	if c.client == nil {
		return nil
	}
	k := &admin.Kubernetes{}
	if c.source != nil {
		k.Services = c.source.Stats
	}
	if c.pods != nil {
		k.Pods = c.pods.Stats
	}
	return k
}

// resolver gives sources their identity by the pods of this node; nil: they are not known.
func (c *kubernetesCluster) resolver() identity.Resolver {
	if c.pods == nil {
		return nil
	}
	return podResolver{c.pods}
}

type podResolver struct{ pods *kubernetes.Pods }

// PodByIP is the pod with this address, only while it is neither finished nor deleted.
func (r podResolver) PodByIP(a netip.Addr) (identity.Source, bool) {
	return sourceOf(r.pods.PodByIP(a))
}

// PodByUID is the pod with this UID.
func (r podResolver) PodByUID(uid string) (identity.Source, bool) {
	return sourceOf(r.pods.PodByUID(uid))
}

func sourceOf(p kubernetes.Pod, ok bool) (identity.Source, bool) {
	if !ok {
		return identity.Source{}, false
	}
	return identity.Source{Kind: identity.Pod, Key: p.UID, Workload: p.Workload}, true
}

// describe tells namespace and labels of the pods of this node; nil: they are not known.
func (c *kubernetesCluster) describe() podDescriber {
	if c.pods == nil {
		return nil
	}
	return func(uid string) (string, map[string]string) {
		p, _ := c.pods.PodByUID(uid)
		return p.Namespace, c.pods.Labels(uid)
	}
}
