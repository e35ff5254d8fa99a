package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/bellhop-mesh/bellhop/registry"
)

// Options say which Services a Source reads. Zero fields mean their defaults.
type Options struct {
	Namespaces    []string // none: all, which needs a ClusterRole; at most 100
	Selector      string   // a label selector for Services, and so for their slices; default bellhop.dev/enabled=true
	Family        string   // IPv4 or IPv6: preferred for pods that have both; "": the primary one of each Service
	MaxServices   int      // read at most; default 10,000
	MaxEndpoints  int      // … in all slices together; default 100,000
	MaxPerService int      // published of one Thrift service at most; default 20,000

	CheckFraming func(word string) error       // which framing words there are; nil: every word passes
	CheckService func(*registry.Service) error // judges a Service's settings together; nil: all pass
	Log          *slog.Logger
}

const (
	defaultSelector = prefix + "enabled=true"
	maxNamespaces   = 100
	publishGap      = 50 * time.Millisecond // between two updates
)

func (o *Options) check() error {
	or := func(n *int, def int) {
		if *n == 0 {
			*n = def
		}
	}
	or(&o.MaxServices, 10_000)
	or(&o.MaxEndpoints, 100_000)
	or(&o.MaxPerService, 20_000)
	if o.Selector == "" {
		o.Selector = defaultSelector
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if _, err := labels.Parse(o.Selector); err != nil {
		return fmt.Errorf("kubernetes: the selector %q is none: %w; write one like %s", clip(o.Selector), err, defaultSelector)
	}
	if o.Family != "" && o.Family != string(corev1.IPv4Protocol) && o.Family != string(corev1.IPv6Protocol) {
		return fmt.Errorf("kubernetes: the family is %q; write IPv4 or IPv6, or leave it out", clip(o.Family))
	}
	if len(o.Namespaces) > maxNamespaces {
		return fmt.Errorf("kubernetes: %d namespaces are named, and each is two watches; name at most %d, or none for all", len(o.Namespaces), maxNamespaces)
	}
	seen := map[string]bool{}
	for _, n := range o.Namespaces {
		if err := checkName("namespace", n, validation.IsDNS1123Label); err != nil {
			return err
		}
		if seen[n] {
			return fmt.Errorf("kubernetes: the namespace %s is named twice", n)
		}
		seen[n] = true
	}
	if o.MaxServices < 0 || o.MaxEndpoints < 0 || o.MaxPerService < 0 {
		return errors.New("kubernetes: a bound is negative; write a positive number, or leave it out")
	}
	return nil
}

func checkName(what, name string, check func(string) []string) error {
	if bad := check(name); len(bad) > 0 {
		return fmt.Errorf("kubernetes: the %s %q is none: %s", what, clip(name), strings.Join(bad, "; "))
	}
	return nil
}

// Source is a cluster as a registry of services. Create it with New. It is a registry.Source, with Checked.
type Source struct {
	o               Options
	state           *state
	services, slics []*resource
	bell            chan struct{} // capacity 1: there is news
}

// New returns a source over a client. The error says what of the options can't be used.
func New(c *Client, o Options) (*Source, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	s := &Source{o: o, bell: make(chan struct{}, 1)}
	s.state = newState(&s.o)
	namespaces := o.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{""}
	}
	for _, n := range namespaces {
		s.services = append(s.services, &resource{
			name: "services", namespace: n, label: o.Selector, client: c.core, object: &corev1.Service{},
			newList: func() runtime.Object { return &corev1.ServiceList{} }, log: o.Log,
		})
		s.slics = append(s.slics, &resource{
			group: discoveryv1.GroupName, name: "endpointslices", namespace: n, label: o.Selector, client: c.discovery, object: &discoveryv1.EndpointSlice{},
			newList: func() runtime.Object { return &discoveryv1.EndpointSliceList{} }, log: o.Log,
		})
	}
	return s, nil
}

// Name returns "kubernetes".
func (s *Source) Name() string { return "kubernetes" }

// Run watches until ctx ends, and publishes what is known when all of it was read once, and then whenever it changes. It
// returns when all its watches have ended. An API server that is away is no error: what is known stands. Once at a time.
func (s *Source) Run(ctx context.Context, publish func(registry.Update)) error {
	var watches sync.WaitGroup
	for i := range s.services {
		watches.Go(func() { s.services[i].run(ctx, s.serviceSink(s.services[i])) })
		watches.Go(func() { s.slics[i].run(ctx, s.sliceSink(s.slics[i])) })
	}
	defer watches.Wait()
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.bell:
		}
		if s.synced() {
			publish(s.state.update())
		}
		rest.Reset(publishGap)
		select {
		case <-ctx.Done():
			return nil
		case <-rest.C:
		}
	}
}

func (s *Source) ring() {
	select {
	case s.bell <- struct{}{}:
	default:
	}
}

func (s *Source) serviceSink(r *resource) sink {
	c := checks{s.o.CheckFraming, s.o.CheckService}
	return sink{
		shrink:  func(obj any) (any, error) { return shrinkService(obj, c) },
		changed: func(obj any) { s.state.setService(obj.(*kubeService)); s.ring() },
		removed: func(obj any) { s.state.removeService(obj.(*kubeService).key()); s.ring() },
		replaced: func(list []any, version string) {
			s.state.replaceServices(r, typed[*kubeService](list), version)
		},
		after: s.ring,
	}
}

func (s *Source) sliceSink(r *resource) sink {
	return sink{
		shrink:  shrinkSlice,
		changed: func(obj any) { s.state.setSlice(obj.(*slice)); s.ring() },
		removed: func(obj any) { s.state.removeSlice(obj.(*slice).key()); s.ring() },
		replaced: func(list []any, version string) {
			s.state.replaceSlices(r, typed[*slice](list), version)
		},
		after: s.ring,
	}
}

func typed[T any](list []any) []T {
	out := make([]T, len(list))
	for i := range list {
		out[i] = list[i].(T)
	}
	return out
}

// synced says whether everything was read once.
func (s *Source) synced() bool {
	is := func(r *resource) bool { return r.synced.Load() }
	return !slices.ContainsFunc(s.services, func(r *resource) bool { return !is(r) }) &&
		!slices.ContainsFunc(s.slics, func(r *resource) bool { return !is(r) })
}

// Checked is when the API server last confirmed what is known of a Thrift service, by an event or a bookmark (about one a
// minute); zero: never in this process, or not all of it. Safe for concurrent use.
func (s *Source) Checked(service string) time.Time {
	var in []string
	if len(s.services) > 1 {
		in = s.state.namespacesOf(service)
	}
	var oldest time.Time
	for i, r := range s.services {
		if len(in) > 0 && r.namespace != "" && !slices.Contains(in, r.namespace) {
			continue
		}
		for _, t := range []time.Time{r.contact(), s.slics[i].contact()} {
			if t.IsZero() {
				return t
			}
			if oldest.IsZero() || t.Before(oldest) {
				oldest = t
			}
		}
	}
	return oldest
}
