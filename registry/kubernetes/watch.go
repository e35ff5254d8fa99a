package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
)

// The times that nobody needs to set.
const (
	listTimeout = time.Minute            // of one list
	firstRetry  = 500 * time.Millisecond // after a request that failed; doubles up to
	lastRetry   = 15 * time.Second       // this, and as much again at random
	sayAgain    = time.Minute            // the same problem is logged this often
)

// resource is what one watch is about.
type resource struct {
	group, name   string // of the API, as RBAC names them
	namespace     string // "": all
	label, field  string // selectors, for the API server
	client        rest.Interface
	object        kruntime.Object
	newList       func() kruntime.Object
	log           *slog.Logger
	lastContact   atomic.Int64 // Unix time in ns; 0: never
	synced        atomic.Bool
	failures      atomic.Uint64
	mu            sync.Mutex // guards what follows
	problem, said string
	saidAt        time.Time
}

// sink takes what a watch reads, one call at a time. What it is given was stripped by shrink. replaced is a whole listing;
// what it misses was not seen to go.
type sink struct {
	shrink   func(obj any) (any, error)
	changed  func(obj any)
	removed  func(obj any)
	replaced func(list []any, version string)
	after    func() // a listing was taken in
}

// run watches until ctx ends. It is client-go's Reflector without the queue and the cache of an informer: those would
// hold everything twice, and hide whether an object was seen to go or was only missing.
func (r *resource) run(ctx context.Context, s sink) {
	lw := &cache.ListWatch{
		ListWithContextFunc: func(_ context.Context, o metav1.ListOptions) (kruntime.Object, error) {
			ctx, cancel := context.WithTimeout(ctx, listTimeout) // the Reflector's own context has no end
			defer cancel()
			list := r.newList()
			err := r.request(&o).Do(ctx).Into(list)
			r.judge(ctx, err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.Watch = true
			w, err := r.request(&o).Watch(ctx)
			r.judge(ctx, err)
			return w, err
		},
	}
	f := cache.NewReflectorWithOptions(lw, r.object, &store{r, s}, cache.ReflectorOptions{
		Name:  r.name,
		Clock: &endingClock{ctx: ctx},
		Backoff: &wait.Backoff{
			Duration: firstRetry, Cap: lastRetry, Factor: 2, Jitter: 1, Steps: 10,
		},
	})
	f.RunWithContext(ctx)
}

func (r *resource) request(o *metav1.ListOptions) *rest.Request {
	o.LabelSelector, o.FieldSelector = r.label, r.field
	q := r.client.Get().NamespaceIfScoped(r.namespace, r.namespace != "").Resource(r.name).VersionedParams(o, metav1.ParameterCodec)
	if o.TimeoutSeconds != nil {
		q.Timeout(time.Duration(*o.TimeoutSeconds) * time.Second)
	}
	return q
}

// judge keeps what the API server, or the way to it, said to a request, and tells a new problem once, then once a minute.
func (r *resource) judge(ctx context.Context, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		if r.said != "" {
			r.log.Info("the API server answers again", "resource", r.name, "namespace", r.namespace)
		}
		r.problem, r.said = "", ""
		r.touch()
		return
	}
	if ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled) {
		return // we are ending
	}
	if expired(err) {
		return // what was to be resumed is too long ago: the Reflector lists anew
	}
	r.failures.Add(1)
	r.problem = explain(err, r)
	if r.problem == r.said && time.Since(r.saidAt) < sayAgain {
		return
	}
	r.said, r.saidAt = r.problem, time.Now()
	r.log.Error("the API server can't be asked; what is known stands", "resource", r.name, "namespace", r.namespace, "problem", r.problem)
}

// covers says whether the objects of a namespace come by this watch.
func (r *resource) covers(namespace string) bool {
	return r.namespace == "" || r.namespace == namespace
}

// problemNow is why the last request failed; "" when it did not.
func (r *resource) problemNow() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.problem
}

func (r *resource) touch() { r.lastContact.Store(time.Now().UnixNano()) }

// contact is when the API server last said something about the resource; zero: never, or not all of it yet.
func (r *resource) contact() time.Time {
	if ns := r.lastContact.Load(); ns != 0 && r.synced.Load() {
		return time.Unix(0, ns)
	}
	return time.Time{}
}

// store is how a Reflector sees a sink.
type store struct {
	r *resource
	s sink
}

func (t *store) Add(obj any) error {
	small, err := t.s.shrink(obj)
	if err == nil {
		t.s.changed(small)
	}
	return err
}

func (t *store) Update(obj any) error { return t.Add(obj) }

func (t *store) Delete(obj any) error {
	small, err := t.s.shrink(obj)
	if err == nil {
		t.s.removed(small)
	}
	return err
}

// Replace gets objects that Transformer has been at (a streamed list), or whole ones.
func (t *store) Replace(list []any, version string) error {
	for i, obj := range list {
		runtime.Gosched() // as registry.Manager: event loops need the CPU
		small, err := t.s.shrink(obj)
		if err != nil {
			return err
		}
		list[i] = small
	}
	t.s.replaced(list, version)
	t.r.synced.Store(true)
	t.r.touch()
	t.s.after()
	return nil
}

func (t *store) Resync() error { return nil }

// UpdateResourceVersion comes after every event, bookmarks included, which come about once a minute.
func (t *store) UpdateResourceVersion(string) { t.r.touch() }

// Transformer strips objects as they come, so that a listing never stands whole in memory.
func (t *store) Transformer() cache.TransformFunc { return t.s.shrink }

// endingClock lets no pause outlive its context: a Reflector sits out the pause after a failed streamed list.
type endingClock struct {
	clock.RealClock
	ctx context.Context
}

func (c *endingClock) After(d time.Duration) <-chan time.Time {
	over := make(chan time.Time, 1)
	tell := sync.OnceFunc(func() { over <- time.Now() })
	forget := context.AfterFunc(c.ctx, tell)
	time.AfterFunc(d, func() { forget(); tell() })
	return over
}

// unexpected is an object of a kind that was not asked for.
func unexpected(obj any) error { return fmt.Errorf("the API server sent a %T", obj) }
