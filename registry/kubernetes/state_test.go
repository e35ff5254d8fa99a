package kubernetes

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bellhop-mesh/bellhop/registry"
)

// world is a state without an API server, with a clock of its own.
type world struct {
	*state
	t       *testing.T
	clock   time.Time
	version int
	watch   *resource
}

func newWorld(t *testing.T, o Options) *world {
	t.Helper()
	o.Log = testLog(t)
	if err := o.check(); err != nil {
		t.Fatal(err)
	}
	w := &world{state: newState(&o), t: t, clock: time.Unix(1_800_000_000, 0), version: 100, watch: &resource{}}
	w.now = func() time.Time { return w.clock }
	return w
}

func (w *world) next() string { w.version++; return fmt.Sprint(w.version) }

// aService is shop/NAME with one port; each change is applied to it.
func (w *world) aService(name string, change ...func(*corev1.Service)) *kubeService {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, ResourceVersion: w.next(), Annotations: map[string]string{}, Labels: map[string]string{}},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "thrift", Port: 9090}}, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}},
	}
	for _, c := range change {
		c(s)
	}
	return readService(s, checks{framing: func(word string) error {
		if word != "framed-binary" && word != "framed-compact" {
			return fmt.Errorf("write one of framed-binary, framed-compact")
		}
		return nil
	}})
}

func annotated(pairs ...string) func(*corev1.Service) {
	return func(s *corev1.Service) {
		for i := 0; i < len(pairs); i += 2 {
			s.Annotations[pairs[i]] = pairs[i+1]
		}
	}
}

func labelled(key, value string) func(*corev1.Service) {
	return func(s *corev1.Service) { s.Labels[key] = value }
}

// aSlice is a slice of shop/SERVICE. An endpoint is written "address" (ready), with a state after it, and a pod: its UID is
// the address when no other is given: "10.0.0.1 terminating/serving pod-1".
func (w *world) aSlice(service, name string, endpoints ...string) *slice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "shop", Name: name, ResourceVersion: w.next(), Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: new("thrift"), Port: new(int32(9090))}},
	}
	for _, e := range endpoints {
		f := strings.Fields(e)
		f = append(f, "ready", "")[:max(len(f), 2)]
		uid := "uid-" + f[0]
		if len(f) > 2 {
			uid = f[2]
		}
		if strings.Contains(f[0], ":") {
			s.AddressType = discoveryv1.AddressTypeIPv6
		}
		n := discoveryv1.Endpoint{Addresses: []string{f[0]}, TargetRef: &corev1.ObjectReference{Kind: "Pod", UID: types.UID(uid)}}
		if uid == "none" {
			n.TargetRef = nil
		}
		n.Conditions = map[string]discoveryv1.EndpointConditions{
			"ready":   {Ready: new(true)},
			"down":    {Ready: new(false)},
			"serving": {Ready: new(false), Serving: new(true)},
			"leaving": {Ready: new(false), Serving: new(true), Terminating: new(true)},
			"ending":  {Ready: new(false), Serving: new(false), Terminating: new(true)},
		}[f[1]]
		s.Endpoints = append(s.Endpoints, n)
	}
	return readSlice(s)
}

// shows checks what is published of a name, and whether what is not is said to be gone. "!" ends an address that is
// published as terminating.
func (w *world) shows(what, name string, final bool, addrs ...string) registry.Update {
	w.t.Helper()
	u := w.update()
	var got []string
	if s := u.Services[name]; s != nil {
		for _, e := range s.Endpoints {
			if e.Terminating {
				e.Addr += "!"
			}
			got = append(got, e.Addr)
		}
	}
	if !slices.Equal(got, addrs) || u.Final[name] != final {
		w.t.Errorf("%s: got %v, final %v; want %v, final %v", what, got, u.Final[name], addrs, final)
	}
	return u
}

func TestConditions(t *testing.T) {
	yes, no := new(true), new(false)
	for _, c := range []struct {
		ready, serving, terminating *bool
		want                        condition
	}{
		{nil, nil, nil, ready},
		{yes, nil, nil, ready},
		{no, nil, nil, down},
		{nil, yes, nil, ready},
		{nil, no, nil, ready},
		{yes, yes, no, ready},
		{no, yes, nil, serving},
		{no, no, no, down},
		{no, yes, yes, leaving},
		{no, no, yes, ending},
		{no, nil, yes, ending},
		{nil, nil, yes, leaving}, // an old controller, or publishNotReadyAddresses
		{yes, yes, yes, leaving},
		{yes, nil, yes, leaving},
		{yes, no, yes, ending},
	} {
		if got := conditionOf(discoveryv1.EndpointConditions{Ready: c.ready, Serving: c.serving, Terminating: c.terminating}); got != c.want {
			t.Errorf("ready %v, serving %v, terminating %v: %v, want %v", c.ready, c.serving, c.terminating, got, c.want)
		}
	}
}

func TestWhichEndpoints(t *testing.T) {
	for _, c := range []struct {
		name   string
		slices [][]string
		want   []string
	}{
		{"ready ones", [][]string{{"10.0.0.1", "10.0.0.2 down", "10.0.0.3 leaving", "10.0.0.4 serving"}}, []string{"10.0.0.1:9090"}},
		{"none is ready", [][]string{{"10.0.0.2 down", "10.0.0.3 leaving", "10.0.0.4 serving", "10.0.0.5 ending"}}, []string{"10.0.0.3:9090!", "10.0.0.4:9090"}},
		{"nothing serves", [][]string{{"10.0.0.2 down", "10.0.0.5 ending"}}, nil},
		{"ready in another slice", [][]string{{"10.0.0.3 leaving"}, {"10.0.0.1"}}, []string{"10.0.0.1:9090"}},
		{"one pod in two slices", [][]string{{"10.0.0.1", "10.0.0.2"}, {"10.0.0.1"}}, []string{"10.0.0.1:9090", "10.0.0.2:9090"}},
		{"on its way out in one slice", [][]string{{"10.0.0.1 leaving"}, {"10.0.0.1", "10.0.0.2"}}, []string{"10.0.0.2:9090"}},
		{"down in one slice", [][]string{{"10.0.0.1 down"}, {"10.0.0.1"}}, []string{"10.0.0.1:9090"}},
		{"an address that was given to another pod", [][]string{{"10.0.0.1 ending old"}, {"10.0.0.1 ready new"}}, []string{"10.0.0.1:9090"}},
		{"two families", [][]string{{"10.0.0.1 ready a", "10.0.0.2 ready b"}, {"fd00::1 ready a", "fd00::2 ready b"}}, []string{"10.0.0.1:9090", "10.0.0.2:9090"}},
		{"two families, the other first", [][]string{{"fd00::1 ready a"}, {"10.0.0.1 ready a"}}, []string{"10.0.0.1:9090"}},
		{"a pod with the other family alone", [][]string{{"10.0.0.1 ready a"}, {"fd00::2 ready b"}}, []string{"10.0.0.1:9090", "[fd00::2]:9090"}},
		{"on its way out by its other address", [][]string{{"10.0.0.1 ready a", "10.0.0.2 ready b"}, {"fd00::1 leaving a"}}, []string{"10.0.0.2:9090"}},
		{"no pods, two families", [][]string{{"10.0.0.1 ready none"}, {"fd00::1 ready none"}}, []string{"10.0.0.1:9090"}},
		{"no pods, the other family alone", [][]string{{"fd00::1 ready none"}}, []string{"[fd00::1]:9090"}},
		{"an address of another spelling", [][]string{{"FD00:0:0::1 ready none"}}, []string{"[fd00::1]:9090"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, Options{})
			w.setService(w.aService("hello"))
			for i, s := range c.slices {
				w.setSlice(w.aSlice("hello", fmt.Sprint("hello-", i), s...))
			}
			w.shows("at first", "hello.shop", false, c.want...)
		})
	}
	w := newWorld(t, Options{Family: "IPv6"})
	w.setService(w.aService("hello"))
	w.setSlice(w.aSlice("hello", "a", "10.0.0.1 ready a"))
	w.setSlice(w.aSlice("hello", "b", "fd00::1 ready a"))
	w.shows("the configured family", "hello.shop", false, "[fd00::1]:9090")
}

func TestPorts(t *testing.T) {
	three := func(s *corev1.Service) {
		s.Spec.Ports = []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "thrift", Port: 90}, {Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP}}
	}
	udp := corev1.ProtocolUDP
	slicePorts := []discoveryv1.EndpointPort{{Name: new("http"), Port: new(int32(8080))}, {Name: new("thrift"), Port: new(int32(9090))}, {Name: new("dns"), Port: new(int32(53)), Protocol: &udp}}
	for _, c := range []struct {
		name  string
		port  string
		ports []discoveryv1.EndpointPort
		want  int32
		err   string
	}{
		{"the only TCP one", "", slicePorts[1:], 9090, ""},
		{"one of several", "", slicePorts, 0, "it has 2 TCP ports (http 8080, thrift 9090); name one by the annotation bellhop.dev/port"},
		{"by name", "thrift", slicePorts, 9090, ""},
		{"by the Service's number", "90", slicePorts, 9090, ""},
		{"by the pods' number", "8080", slicePorts, 8080, ""},
		{"a name that is not there", "grpc", slicePorts, 0, `asks for the TCP port "grpc", which its slice s does not have (http 8080, thrift 9090)`},
		{"one that is not TCP", "dns", slicePorts, 0, `asks for the TCP port "dns"`},
		{"a number that is not there", "7", slicePorts, 0, "bellhop.dev/port is 7, which neither the Service nor its slice s has"},
		{"none, headless", "9191", nil, 9191, ""},
		{"none", "", nil, 0, "its slice s has no TCP port; name its number"},
		{"every port", "9191", []discoveryv1.EndpointPort{{}}, 9191, ""},
		{"every port, none named", "", []discoveryv1.EndpointPort{{}}, 0, "stands for every port"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, Options{})
			change := []func(*corev1.Service){three}
			if c.port != "" {
				change = append(change, annotated("bellhop.dev/port", c.port))
			}
			s := readSlice(&discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Ports: c.ports})
			got, err := portOf(w.aService("hello", change...), s)
			if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("got %d %v; want %d %q", got, err, c.want, c.err)
			}
		})
	}
}

// TestPortBecomesAmbiguous: a second port without an annotation does not cost a Service its endpoints.
func TestPortBecomesAmbiguous(t *testing.T) {
	w := newWorld(t, Options{})
	w.setService(w.aService("hello"))
	w.setSlice(w.aSlice("hello", "a", "10.0.0.1"))
	w.shows("one port", "hello.shop", false, "10.0.0.1:9090")
	two := w.aSlice("hello", "a", "10.0.0.1")
	two.ports = append(two.ports, slicePort{"metrics", 9100})
	w.setSlice(two)
	w.shows("two ports", "hello.shop", false, "10.0.0.1:9090")
	if p := w.problems[portProblem("shop/hello")]; !strings.Contains(p, "2 TCP ports") {
		t.Errorf("the problem is %q", p)
	}
	other := w.aSlice("hello", "a", "10.0.0.1")
	other.ports = []slicePort{{"x", 1}, {"y", 2}}
	w.setSlice(other)
	w.shows("neither is the old one", "hello.shop", false)
	w.setSlice(w.aSlice("hello", "a", "10.0.0.1"))
	w.shows("one port again", "hello.shop", false, "10.0.0.1:9090")
	if len(w.problems) != 0 {
		t.Errorf("problems: %v", w.problems)
	}
}

func TestAnnotations(t *testing.T) {
	w := newWorld(t, Options{})
	s := w.aService("hello", annotated("bellhop.dev/service", "a.Hello, a.Bye", "bellhop.dev/framing", "framed-compact", "bellhop.dev/mode", "multiplexed",
		"bellhop.dev/balancer", "p2c", "bellhop.dev/timeout", "250ms", "bellhop.dev/seqid", "echo", "bellhop.dev/ordered", "true", "bellhop.dev/keep-prefix", "true",
		"bellhop.dev/remote", "false", "bellhop.dev/oneway", "log", "bellhop.dev/idempotent", "get,list", "bellhop.dev/max-connections", "4",
		"bellhop.dev/max-pending", "5", "bellhop.dev/depth", "6", "bellhop.dev/later", "?", "example.com/x", "y"),
		labelled("app.kubernetes.io/version", "1"), labelled("bellhop.dev/version", "2"), labelled("bellhop.dev/weight", "7"))
	if s.problem != nil || !slices.Equal(s.unknown, []string{"bellhop.dev/later"}) || s.version != "2" || s.weight != 7 {
		t.Fatalf("got %+v", s)
	}
	w.setService(s)
	w.setSlice(w.aSlice("hello", "a", "10.0.0.1"))
	u := w.shows("the second name", "a.Bye", false, "10.0.0.1:9090")
	got := *u.Services["a.Hello"]
	e := got.Endpoints
	got.Endpoints = nil
	want := registry.Service{
		Name: "a.Hello", Framing: "framed-compact", Mode: "multiplexed", Balancer: "p2c", Timeout: 250 * time.Millisecond, SeqID: "echo", Ordered: true, KeepPrefix: true,
		Oneway: []string{"log"}, Idempotent: []string{"get", "list"}, MaxConns: 4, MaxPending: 5, Depth: 6,
	}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if len(e) != 1 || e[0].Version != "2" || e[0].Weight != 7 || e[0].Owner != "uid-10.0.0.1" {
		t.Errorf("endpoint %+v", e)
	}
	for key, bad := range map[string]string{
		"service": "a b", "framing": "smoke", "mode": "magic", "balancer": "fair", "timeout": "2h", "seqid": "x", "ordered": "yes", "keep-prefix": "1", "remote": "",
		"oneway": ",", "idempotent": "a,,b", "max-connections": "-1", "max-pending": "x", "depth": "65537", "port": "", "role": "king",
	} {
		s := w.aService("hello", annotated("bellhop.dev/"+key, bad))
		if s.problem == nil || !strings.Contains(s.problem.Error(), fmt.Sprintf("the annotation bellhop.dev/%s is %q: ", key, bad)) {
			t.Errorf("%s: %q: %v", key, bad, s.problem)
		}
	}
	for _, c := range []struct {
		change func(*corev1.Service)
		want   string
	}{
		{labelled("bellhop.dev/weight", "0"), `the label bellhop.dev/weight is "0": write a number from 1 to 1000`},
		{annotated("bellhop.dev/seqid", "positional", "bellhop.dev/mode", "multiplexed"), "is positional, and the mode is multiplexed"},
		{annotated("bellhop.dev/service", strings.Repeat("x", 256)), "a name has 256 bytes"},
		{annotated("bellhop.dev/service", strings.Repeat("x,y,", 40)), "write the name of a service"},
		{annotated("bellhop.dev/oneway", "a\x01b"), "without control characters"},
	} {
		if s := w.aService("hello", c.change); s.problem == nil || !strings.Contains(s.problem.Error(), c.want) {
			t.Errorf("got %v, want %s", s.problem, c.want)
		}
	}
}

// TestBadService: it costs itself alone, and not what it said before.
func TestBadService(t *testing.T) {
	w := newWorld(t, Options{})
	w.setService(w.aService("good"))
	w.setService(w.aService("bad", annotated("bellhop.dev/timeout", "soon")))
	w.setSlice(w.aSlice("good", "g", "10.0.0.1"))
	w.setSlice(w.aSlice("bad", "b", "10.0.0.2"))
	if u := w.shows("the good one", "good.shop", false, "10.0.0.1:9090"); len(u.Services) != 1 {
		t.Errorf("%d services", len(u.Services))
	}
	if p := w.problems["shop/bad"]; !strings.Contains(p, `left out (the annotation bellhop.dev/timeout is "soon"`) {
		t.Errorf("the problem is %q", p)
	}
	w.setService(w.aService("good", annotated("bellhop.dev/mode", "?")))
	w.setSlice(w.aSlice("good", "g", "10.0.0.1", "10.0.0.3"))
	w.shows("as it was, with its new endpoint", "good.shop", false, "10.0.0.1:9090", "10.0.0.3:9090")
	w.setService(w.aService("bad"))
	w.shows("mended", "bad.shop", false, "10.0.0.2:9090")
	w.removeService("shop/good")
	w.removeService("shop/bad")
	if len(w.problems)+len(w.services)+len(w.lastPort) != 0 {
		t.Errorf("left: %v %v %v", w.problems, w.services, w.lastPort)
	}
}

// TestOneName: Services that share a name are one service.
func TestOneName(t *testing.T) {
	w := newWorld(t, Options{})
	w.setService(w.aService("blue", annotated("bellhop.dev/service", "a.Hello", "bellhop.dev/framing", "framed-compact", "bellhop.dev/timeout", "1s"), labelled("bellhop.dev/weight", "10"), labelled("bellhop.dev/version", "1")))
	w.setService(w.aService("green", annotated("bellhop.dev/service", "a.Hello", "bellhop.dev/framing", "framed-binary", "bellhop.dev/timeout", "2s"), labelled("bellhop.dev/version", "2")))
	w.setSlice(w.aSlice("blue", "b", "10.0.0.1", "10.0.0.9"))
	w.setSlice(w.aSlice("green", "g", "10.0.0.2", "10.0.0.9"))
	u := w.shows("both", "a.Hello", false, "10.0.0.1:9090", "10.0.0.2:9090", "10.0.0.9:9090")
	s := u.Services["a.Hello"]
	if s.Framing != "framed-compact" || s.Timeout != time.Second || len(u.Services) != 1 {
		t.Errorf("the first by name counts: %+v", s)
	}
	if a, b := s.Endpoints[0], s.Endpoints[1]; a.Weight != 10 || a.Version != "1" || a.Framing != "" || b.Weight != 0 || b.Version != "2" || b.Framing != "framed-binary" {
		t.Errorf("endpoints: %+v", s.Endpoints)
	}
	w.removeService("shop/blue")
	w.shows("green alone", "a.Hello", true, "10.0.0.2:9090", "10.0.0.9:9090")
	w.setService(w.aService("green", annotated("bellhop.dev/service", "a.Other")))
	w.shows("moved away", "a.Hello", true)
	w.shows("to another name", "a.Other", false, "10.0.0.2:9090", "10.0.0.9:9090")
}

func TestRemoteProxies(t *testing.T) {
	w := newWorld(t, Options{})
	w.setService(w.aService("tier", annotated("bellhop.dev/role", "remote-proxy", "bellhop.dev/service", "ignored"), labelled("bellhop.dev/weight", "7")))
	w.setSlice(w.aSlice("tier", "t", "10.0.0.1", "10.0.0.2 down"))
	u := w.update()
	if len(u.Services) != 0 || !slices.Equal(u.Remotes, []registry.Remote{{Addr: "10.0.0.1:9090", Weight: 7}}) {
		t.Errorf("got %+v", u)
	}
	w.removeService("shop/tier")
	if u := w.update(); len(u.Services)+len(u.Remotes)+len(u.Final) != 0 {
		t.Errorf("got %+v", u)
	}
}

func TestBounds(t *testing.T) {
	w := newWorld(t, Options{MaxServices: 2, MaxEndpoints: 5, MaxPerService: 2})
	for _, n := range []string{"a", "b", "c"} {
		w.setService(w.aService(n))
	}
	w.setSlice(w.aSlice("a", "a1", "10.0.0.3", "10.0.0.2", "10.0.0.1"))
	w.setSlice(w.aSlice("b", "b1", "10.0.0.4", "10.0.0.5", "10.0.0.6"))
	u := w.shows("the first two", "a.shop", false, "10.0.0.1:9090", "10.0.0.2:9090")
	if len(u.Services) != 2 || len(u.Services["b.shop"].Endpoints) != 0 || w.refused != 3 || w.endpoints != 3 {
		t.Errorf("%d services, %d refused, %d endpoints", len(u.Services), w.refused, w.endpoints)
	}
	if got := slices.Sorted(maps.Keys(w.problems)); !slices.Equal(got, []string{"shop/a", "shop/b", "shop/c"}) {
		t.Errorf("problems: %v", w.problems)
	}
	w.setSlice(w.aSlice("b", "b1", "10.0.0.4"))
	w.shows("what has room", "b.shop", false, "10.0.0.4:9090")
	w.removeSlice("shop/a1")
	if w.endpoints != 1 || len(w.slices) != 1 || len(w.of) != 1 {
		t.Errorf("%d endpoints, slices %v", w.endpoints, w.slices)
	}
}
