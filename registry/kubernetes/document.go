package kubernetes

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/bellhop-mesh/bellhop/registry"
)

// DocumentOptions say where a document lies. Zero fields mean their defaults.
type DocumentOptions struct {
	Namespace string // needed
	Name      string // of the ConfigMap; needed
	Key       string // in it; default rules.yaml
	Log       *slog.Logger
}

// Document is one key of a ConfigMap, watched at the API server, one object by its name: a volume would be minutes late.
// It is a registry.DocumentSource. Create it with NewDocument.
type Document struct {
	o       DocumentOptions
	watch   *resource
	refused atomic.Uint64
}

// NewDocument returns a document over a client.
func NewDocument(c *Client, o DocumentOptions) (*Document, error) {
	if o.Key == "" {
		o.Key = "rules.yaml"
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if err := checkName("namespace", o.Namespace, validation.IsDNS1123Label); err != nil {
		return nil, err
	}
	if err := checkName("name of a ConfigMap", o.Name, validation.IsDNS1123Subdomain); err != nil {
		return nil, err
	}
	if err := checkName("key of a ConfigMap", o.Key, validation.IsConfigMapKey); err != nil {
		return nil, err
	}
	return &Document{o: o, watch: &resource{
		name: "configmaps", namespace: o.Namespace, field: fields.OneTermEqualSelector("metadata.name", o.Name).String(),
		client: c.core, object: &corev1.ConfigMap{}, newList: func() runtime.Object { return &corev1.ConfigMapList{} }, log: o.Log,
	}}, nil
}

// Name returns "kubernetes".
func (d *Document) Name() string { return "kubernetes" }

// document is what is kept of a ConfigMap: the one key.
type document struct {
	metav1.ObjectMeta        // namespace, name and resourceVersion only
	data              []byte // nil: it has no such key
	tooLong           int    // its bytes, when they are beyond the bound
}

// Run watches until ctx ends; it then returns nil. A ConfigMap, or a key, that is not there is an empty document. One that is
// longer than registry.MaxDocument is logged and counted, and not published. Once at a time.
func (d *Document) Run(ctx context.Context, publish func(registry.Document)) error {
	d.watch.run(ctx, sink{
		shrink:  d.shrink,
		changed: func(obj any) { d.take(obj.(*document), publish) },
		removed: func(any) { d.take(&document{}, publish) },
		replaced: func(list []any, version string) {
			if len(list) == 0 {
				list = []any{&document{ObjectMeta: metav1.ObjectMeta{ResourceVersion: version}}}
			}
			d.take(list[0].(*document), publish)
		},
		after: func() {},
	})
	return nil
}

func (d *Document) take(t *document, publish func(registry.Document)) {
	if t.tooLong > 0 {
		d.refused.Add(1)
		d.o.Log.Error("the document is too long; what it was before stands", "from", d.from(), "bytes", t.tooLong, "bound", registry.MaxDocument)
		return
	}
	publish(registry.Document{Data: t.data, Version: t.ResourceVersion, From: d.from()})
}

func (d *Document) from() string {
	return fmt.Sprintf("ConfigMap %s/%s, key %s", d.o.Namespace, d.o.Name, d.o.Key)
}

func (d *Document) shrink(obj any) (any, error) {
	switch o := obj.(type) {
	case *document:
		return o, nil
	case *corev1.ConfigMap:
		t := &document{ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name, ResourceVersion: o.ResourceVersion}}
		if s, ok := o.Data[d.o.Key]; ok {
			t.data = []byte(s)
		} else if b, ok := o.BinaryData[d.o.Key]; ok {
			t.data = append([]byte{}, b...)
		}
		if len(t.data) > registry.MaxDocument {
			t.tooLong, t.data = len(t.data), nil
		}
		return t, nil
	}
	return nil, unexpected(obj)
}

// DocumentStats are the counters of a Document, read at scrape.
type DocumentStats struct {
	Synced   bool
	Problem  string // why the API server can't be asked now; "": it can
	Failures uint64
	Refused  uint64 // versions that were too long
}

// Stats returns the counters as they are now. Safe for concurrent use.
func (d *Document) Stats() DocumentStats {
	return DocumentStats{
		Synced: d.watch.synced.Load(), Problem: d.watch.problemNow(), Failures: d.watch.failures.Load(), Refused: d.refused.Load(),
	}
}
