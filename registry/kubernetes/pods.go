package kubernetes

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Pod is what callers are known by.
type Pod struct {
	UID       string // as cgroups name it: a static pod's is the hash of its manifest
	Namespace string
	Name      string
	Workload  string // namespace/name of what it is a replica of: a Deployment, StatefulSet, DaemonSet, CronJob, Job, or itself
}

// Pods are the pods of one node, watched: those of others are never asked for. Create it with NewPods. Its look-ups are
// safe for concurrent use.
type Pods struct {
	watch *resource
	max   int
	now   func() time.Time

	mu      sync.RWMutex // guards what follows
	byUID   map[string]*nodePod
	byKey   map[string]*nodePod // namespace/name: what is kept, and no other
	byIP    map[netip.Addr][]*nodePod
	refused uint64
}

// nodePod is what is kept of a pod. It is not changed once it was made, but for its end.
type nodePod struct {
	metav1.ObjectMeta // namespace and name only
	pod               Pod
	labels            map[string]string // at most maxLabels
	ips               []netip.Addr      // none: it has the node's network
	finished          bool
	deleted           bool
	grace             time.Duration // … and this long until it is killed
	end               time.Time     // when that is over, by our clock
}

// PodsOptions say which pods. Zero fields mean their defaults.
type PodsOptions struct {
	Node string // the name of this node, as the API knows it; needed
	Max  int    // pods kept at most; default 2,000
	Log  *slog.Logger
}

// NewPods returns the pods of a node over a client.
func NewPods(c *Client, o PodsOptions) (*Pods, error) {
	if o.Max == 0 {
		o.Max = 2_000
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Node == "" {
		return nil, fmt.Errorf("kubernetes: the name of this node is not known; give the container spec.nodeName by the downward API")
	}
	if err := checkName("node", o.Node, validation.IsDNS1123Subdomain); err != nil {
		return nil, err
	}
	return newPods(&resource{
		name: "pods", field: fields.OneTermEqualSelector("spec.nodeName", o.Node).String(), client: c.core, object: &corev1.Pod{},
		newList: func() runtime.Object { return &corev1.PodList{} }, log: o.Log,
	}, o.Max), nil
}

func newPods(r *resource, most int) *Pods {
	return &Pods{watch: r, max: most, now: time.Now, byUID: map[string]*nodePod{}, byKey: map[string]*nodePod{}, byIP: map[netip.Addr][]*nodePod{}}
}

// Run watches until ctx ends; it then returns nil. What is known stands while the API server is away. Once at a time.
func (p *Pods) Run(ctx context.Context) error {
	p.watch.run(ctx, sink{
		shrink:   shrinkPod,
		changed:  func(obj any) { p.set(obj.(*nodePod)) },
		removed:  func(obj any) { p.remove(obj.(*nodePod)) },
		replaced: func(list []any, _ string) { p.replace(typed[*nodePod](list)) },
		after:    func() {},
	})
	return nil
}

// Synced says whether the pods were read once: before, nobody is known. Safe for concurrent use.
func (p *Pods) Synced() bool { return p.watch.synced.Load() }

// PodByIP is the pod that has an address now: one that is neither finished nor deleted. A deleted pod counts until its
// grace period is over, for it calls others while it ends; one that lives goes first. Pods with the node's network have no
// address of their own. Safe for concurrent use.
func (p *Pods) PodByIP(addr netip.Addr) (Pod, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	var found *nodePod
	for _, n := range p.byIP[addr.Unmap().WithZone("")] {
		switch {
		case n.finished || n.deleted && !p.now().Before(n.end):
		case found == nil || found.deleted && !n.deleted:
			found = n
		}
	}
	if found == nil {
		return Pod{}, false
	}
	return found.pod, true
}

// PodByUID is the pod with a UID as cgroups name it. Safe for concurrent use.
func (p *Pods) PodByUID(uid string) (Pod, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	n := p.byUID[uid]
	if n == nil {
		return Pod{}, false
	}
	return n.pod, true
}

// Labels are those of the pod with a UID, as they are now; nil: it is not known. Not to be changed. Safe for concurrent use.
func (p *Pods) Labels(uid string) map[string]string {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if n := p.byUID[uid]; n != nil {
		return n.labels
	}
	return nil
}

// maxLabels bounds the labels that are kept of a pod: the first ones by name.
const maxLabels = 64

func keepLabels(all map[string]string) map[string]string {
	if len(all) == 0 {
		return nil
	}
	names := slices.Sorted(maps.Keys(all))
	kept := make(map[string]string, min(len(names), maxLabels))
	for _, name := range names[:min(len(names), maxLabels)] {
		kept[strings.Clone(name)] = strings.Clone(all[name]) // the object that they are a part of is not kept
	}
	return kept
}

// PodsStats are the counters of Pods, read at scrape.
type PodsStats struct {
	Synced      bool
	Problem     string // why the API server can't be asked now; "": it can
	Pods        int
	Failures    uint64
	Refused     uint64 // pods beyond the bound
	LastContact time.Time
}

// Stats returns the counters as they are now. Safe for concurrent use.
func (p *Pods) Stats() PodsStats {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return PodsStats{
		Synced: p.Synced(), Problem: p.watch.problemNow(), Pods: len(p.byKey), Failures: p.watch.failures.Load(),
		Refused: p.refused, LastContact: p.watch.contact(),
	}
}

func (p *Pods) set(n *nodePod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.put(n)
}

func (p *Pods) put(n *nodePod) {
	key := n.Namespace + "/" + n.Name
	old := p.byKey[key]
	if n.deleted { // counted from when we heard of it: the API server's clock is not ours
		n.end = p.now().Add(n.grace)
		if old != nil && old.pod.UID == n.pod.UID && old.deleted {
			n.end = old.end
			if n.grace < old.grace { // killed sooner than was said
				n.end = old.end.Add(n.grace - old.grace)
			}
		}
	}
	if old != nil {
		p.drop(old)
	} else if len(p.byKey) >= p.max {
		p.refused++
		return
	}
	p.byKey[key], p.byUID[n.pod.UID] = n, n
	for _, ip := range n.ips {
		p.byIP[ip] = append(p.byIP[ip], n)
	}
}

func (p *Pods) remove(n *nodePod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if old := p.byKey[n.Namespace+"/"+n.Name]; old != nil {
		p.drop(old)
	}
}

func (p *Pods) drop(n *nodePod) {
	delete(p.byKey, n.Namespace+"/"+n.Name)
	if p.byUID[n.pod.UID] == n {
		delete(p.byUID, n.pod.UID)
	}
	for _, ip := range n.ips {
		if rest := slices.DeleteFunc(p.byIP[ip], func(o *nodePod) bool { return o == n }); len(rest) > 0 {
			p.byIP[ip] = rest
		} else {
			delete(p.byIP, ip)
		}
	}
}

func (p *Pods) replace(list []*nodePod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	there := make(map[string]bool, len(list))
	for _, n := range list {
		there[n.Namespace+"/"+n.Name] = true
	}
	for key, old := range p.byKey {
		if !there[key] {
			p.drop(old)
		}
	}
	for _, n := range list {
		p.put(n)
	}
}

// shrinkPod keeps of a pod what is needed. It takes what it returned, too.
func shrinkPod(obj any) (any, error) {
	switch o := obj.(type) {
	case *nodePod:
		return o, nil
	case *corev1.Pod:
		return readPod(o), nil
	}
	return nil, unexpected(obj)
}

// configHash is where a kubelet notes which UID a static pod has on its node; the API knows it by another.
const configHash = "kubernetes.io/config.hash"

func readPod(o *corev1.Pod) *nodePod {
	n := &nodePod{
		ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name},
		pod: Pod{
			UID: cmp.Or(strings.Clone(o.Annotations[configHash]), string(o.UID)), Namespace: o.Namespace, Name: o.Name, Workload: o.Namespace + "/" + workload(o),
		},
		labels:   keepLabels(o.Labels),
		finished: o.Status.Phase == corev1.PodSucceeded || o.Status.Phase == corev1.PodFailed,
		deleted:  o.DeletionTimestamp != nil,
	}
	if s := o.DeletionGracePeriodSeconds; s != nil {
		n.grace = time.Duration(max(*s, 0)) * time.Second
	}
	if o.Spec.HostNetwork {
		return n
	}
	for _, ip := range o.Status.PodIPs {
		if a, err := netip.ParseAddr(ip.IP); err == nil {
			n.ips = append(n.ips, a.Unmap().WithZone(""))
		}
	}
	return n
}

// workload is the name of what a pod is a replica of. The objects between, ReplicaSets and Jobs, are not read: their names
// are made of what made them.
func workload(o *corev1.Pod) string {
	var owner *metav1.OwnerReference
	for i := range o.OwnerReferences {
		if c := o.OwnerReferences[i].Controller; c != nil && *c {
			owner = &o.OwnerReferences[i]
		}
	}
	if owner == nil {
		return o.Name
	}
	switch owner.Kind {
	case "Node": // a static pod, name-node
		return strings.TrimSuffix(o.Name, "-"+owner.Name)
	case "ReplicaSet":
		if hash := o.Labels["pod-template-hash"]; hash != "" {
			return strings.TrimSuffix(owner.Name, "-"+hash)
		}
	case "Job":
		return cronJob(owner.Name, o.CreationTimestamp.Time)
	}
	return owner.Name
}

// cronJob is the name of the CronJob that made a Job, which is called by it and by the minute, since 1970, that it was for;
// or else the Job's own name.
func cronJob(job string, created time.Time) string {
	i := strings.LastIndexByte(job, '-')
	if i <= 0 {
		return job
	}
	minute, err := strconv.ParseUint(job[i+1:], 10, 32)
	if err != nil || created.Sub(time.Unix(int64(minute)*60, 0)).Abs() > 30*24*time.Hour {
		return job
	}
	return job[:i]
}
