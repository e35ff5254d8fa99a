package kubernetes

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestWorkloads(t *testing.T) {
	created := metav1.NewTime(time.Date(2026, 5, 1, 12, 0, 5, 0, time.UTC))
	minute := created.Unix() / 60
	for _, c := range []struct{ kind, owner, hash, want string }{
		{"", "", "", "shop-5d8-x2x"},
		{"ReplicaSet", "shop-5d8", "5d8", "shop"},
		{"ReplicaSet", "shop-5d8", "", "shop-5d8"}, // made by hand
		{"StatefulSet", "db", "", "db"},
		{"DaemonSet", "agent", "", "agent"},
		{"Job", "migrate", "", "migrate"},
		{"Job", "migrate-20260501", "", "migrate-20260501"}, // a date, and no minute
		{"Job", fmt.Sprintf("nightly-report-%d", minute), "", "nightly-report"},
		{"Node", "x2x", "", "shop-5d8"},
		{"Rollout", "canary", "", "canary"},
	} {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "shop-5d8-x2x", Namespace: "ns", CreationTimestamp: created, Labels: map[string]string{"pod-template-hash": c.hash}}}
		p.OwnerReferences = []metav1.OwnerReference{{Kind: "Another", Name: "no controller"}}
		if c.kind != "" {
			p.OwnerReferences = append(p.OwnerReferences, metav1.OwnerReference{Kind: c.kind, Name: c.owner, Controller: new(true)})
		}
		if got := readPod(p).pod.Workload; got != "ns/"+c.want {
			t.Errorf("%s %s: %s, want ns/%s", c.kind, c.owner, got, c.want)
		}
	}
}

// TestPodLabels: labels are those of the pod as it is now, and so many of them.
func TestPodLabels(t *testing.T) {
	p := newPods(&resource{}, 3)
	o := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "ns", UID: "u", Labels: map[string]string{"team": "x"}}}
	p.set(readPod(o))
	if got := p.Labels("u"); len(got) != 1 || got["team"] != "x" {
		t.Errorf("%v", got)
	}
	o.Labels["team"] = "y"
	for i := range 2 * maxLabels {
		o.Labels[fmt.Sprintf("z%03d", i)] = "v"
	}
	if got := p.Labels("u"); got["team"] != "x" {
		t.Errorf("what is kept has changed: %v", got)
	}
	p.set(readPod(o))
	if got := p.Labels("u"); len(got) != maxLabels || got["team"] != "y" || got["z000"] != "v" {
		t.Errorf("%d labels: %v", len(got), got)
	}
	if p.Labels("another") != nil {
		t.Error("an unknown pod has labels")
	}
}

// TestPodByIP: an address is the pod's that has it now.
func TestPodByIP(t *testing.T) {
	p := newPods(&resource{}, 3)
	now := time.Unix(1_800_000_000, 0)
	p.now = func() time.Time { return now }
	make := func(name string, change ...func(*corev1.Pod)) *nodePod {
		o := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns", UID: "api-" + "uid"}}
		o.UID = metav1.ObjectMeta{UID: o.UID}.UID + "-" + o.UID
		o.Status.PodIPs = []corev1.PodIP{{IP: "10.0.0.1"}, {IP: "fd00::1"}, {IP: "nonsense"}}
		o.Annotations = map[string]string{configHash: "hash-" + name}
		for _, c := range change {
			c(o)
		}
		return readPod(o)
	}
	deleted := func(grace int64) func(*corev1.Pod) {
		return func(o *corev1.Pod) {
			o.DeletionTimestamp, o.DeletionGracePeriodSeconds = &metav1.Time{Time: time.Unix(1, 0)}, &grace // its clock is not ours
		}
	}
	is := func(what, ip, want string) {
		t.Helper()
		got, ok := p.PodByIP(netip.MustParseAddr(ip))
		if got.Name != want || ok != (want != "") {
			t.Errorf("%s: %s is %q, want %q", what, ip, got.Name, want)
		}
	}
	p.set(make("a"))
	is("one family", "10.0.0.1", "a")
	is("the other", "fd00::1", "a")
	is("another address", "10.0.0.2", "")
	if got, ok := p.PodByUID("hash-a"); !ok || got.UID != "hash-a" {
		t.Errorf("a static pod is known as its cgroup names it: %+v", got)
	}
	p.set(make("a", deleted(30)))
	is("deleted, and not yet ended", "10.0.0.1", "a")
	now = now.Add(20 * time.Second)
	p.set(make("a", deleted(30), func(o *corev1.Pod) { o.Labels = map[string]string{"more": "news"} }))
	is("its grace counts from its deletion", "10.0.0.1", "a")
	now = now.Add(11 * time.Second)
	is("its grace is over", "10.0.0.1", "")
	p.replace([]*nodePod{make("b", deleted(30)), make("c")})
	is("who lives goes first", "10.0.0.1", "c")
	p.set(make("c", func(o *corev1.Pod) { o.Status.Phase = corev1.PodFailed }))
	is("finished", "10.0.0.1", "b")
	p.set(make("b", deleted(0)))
	is("killed sooner than was said", "10.0.0.1", "")
	p.set(make("d", func(o *corev1.Pod) { o.Spec.HostNetwork = true }))
	is("of the node's network", "10.0.0.1", "")
	p.set(make("e"))
	if p.refused != 1 || len(p.byKey) != 3 {
		t.Errorf("%d pods, %d refused; the bound is 3", len(p.byKey), p.refused)
	}
	p.replace(nil)
	if len(p.byKey)+len(p.byUID)+len(p.byIP) != 0 {
		t.Errorf("left: %v %v %v", p.byKey, p.byUID, p.byIP)
	}
}

// TestQuiet: client-go says at most so much a minute in our log, and as debug lines.
func TestQuiet(t *testing.T) {
	var b bytes.Buffer
	q := &quiet{next: slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug}), room: &logRoom{}}
	at := time.Unix(1_800_000_000, 0)
	say := func() {
		if err := q.WithAttrs([]slog.Attr{slog.Int("n", 1)}).Handle(context.Background(), slog.NewRecord(at, slog.LevelError, "reflector\nfailed", 0)); err != nil {
			t.Fatal(err)
		}
	}
	for range 25 {
		say()
	}
	at = at.Add(logWindow)
	say()
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != logLines+1 || !strings.Contains(lines[0], `level=DEBUG msg="reflector failed" n=1 by=client-go`) || !strings.Contains(lines[logLines], "left_out=15") {
		t.Errorf("%d lines:\n%s", len(lines), b.String())
	}
	if q.Enabled(context.Background(), slog.LevelDebug) || !q.Enabled(context.Background(), slog.LevelError) {
		t.Error("its chatter is left out, its errors are not")
	}
}

// TestRefusals: what can't be used is said before anything runs.
func TestRefusals(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	broken := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(broken, []byte("clusters: 7"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]ClientConfig{
		"this is no pod of a cluster":         {},
		"kubeconfig /nowhere: ":               {Kubeconfig: "/nowhere"},
		"kubeconfig " + broken + ": ":         {Kubeconfig: broken},
		"-1 requests a second; or 1 at once;": {QPS: -1, Burst: 1},
	} {
		if _, err := NewClient(c); err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(want, "; or ", ", ")) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	for want, o := range map[string]Options{
		`the selector "a=b=c" is none`:     {Selector: "a=b=c"},
		`the family is "v6"`:               {Family: "v6"},
		`the namespace "A" is none`:        {Namespaces: []string{"A"}},
		"the namespace a is named twice":   {Namespaces: []string{"a", "a"}},
		"101 namespaces are named":         {Namespaces: strings.Split(strings.Repeat("a", 101), "")},
		"a bound is negative":              {MaxServices: -1},
		`the namespace "" is none`:         {Namespaces: []string{""}},
		`the namespace "a/../b" is none: `: {Namespaces: []string{"a/../b"}},
	} {
		if _, err := New(&Client{}, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := NewPods(&Client{}, PodsOptions{}); err == nil || !strings.Contains(err.Error(), "spec.nodeName") {
		t.Errorf("no node: %v", err)
	}
	if _, err := NewPods(&Client{}, PodsOptions{Node: "a,b=c"}); err == nil || !strings.Contains(err.Error(), `the node "a,b=c" is none`) {
		t.Errorf("no node's name: %v", err)
	}
	for want, o := range map[string]DocumentOptions{
		`the namespace "" is none`:             {Name: "a"},
		`the name of a ConfigMap "" is none`:   {Namespace: "a"},
		`the key of a ConfigMap "/" is none: `: {Namespace: "a", Name: "b", Key: "/"},
	} {
		if _, err := NewDocument(&Client{}, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
