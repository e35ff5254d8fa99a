package kubernetes

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/bellhop-mesh/bellhop/registry"
)

// TestController: the slices are those that Kubernetes' own controller makes of a Service and its pods: it copies the label
// that we select by, and what it does to them in a rollout is understood.
func TestController(t *testing.T) {
	o := operator{cluster(t), t}
	ns := o.namespace()
	o.do("POST", "/api/v1/namespaces/"+ns+"/serviceaccounts", `{"metadata":{"name":"default"}}`)
	o.do("POST", "/api/v1/namespaces/"+ns+"/services", `{"metadata":{"name":"hello",%s},"spec":{"selector":{"app":"hello"},"ports":[{"name":"thrift","port":80,"targetPort":"rpc"}]}}`, enabled)
	for _, node := range []string{"n7", "n8"} {
		o.do("POST", "/api/v1/nodes", `{"metadata":{"name":%q,"labels":{"topology.kubernetes.io/zone":"zone-of-%s"}}}`, node, node)
	}
	path := "/api/v1/namespaces/" + ns + "/pods"
	pod := func(name, ip string, ready bool) {
		t.Helper()
		o.do("POST", path, `{"metadata":{"name":%q,"labels":{"app":"hello"}},"spec":{"nodeName":"n7","terminationGracePeriodSeconds":30,
			"containers":[{"name":"c","image":"i","ports":[{"name":"rpc","containerPort":9191}]}]}}`, name)
		o.do("PATCH", path+"/"+name+"/status", `{"status":{"phase":"Running","podIP":%q,"podIPs":[{"ip":%q}],"conditions":[{"type":"Ready","status":%q}]}}`,
			ip, ip, map[bool]string{true: "True", false: "False"}[ready])
	}
	pod("a", "10.2.0.1", true)
	pod("b", "10.2.0.2", true)
	w := follow(t, o.Kubeconfig("admin"), Options{Namespaces: []string{ns}})
	pods, err := NewPods(connect(t, o.Kubeconfig("admin")), PodsOptions{Node: "n7", Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	running(t, pods.Run)
	name := "hello." + ns
	u := w.await("two pods", has(name, "10.2.0.1:9191", "10.2.0.2:9191"))
	if e := u.Services[name].Endpoints[0]; e.Host != "n7" || e.Zone != "zone-of-n7" || e.Owner == "" || e.Terminating {
		t.Errorf("got %+v", e)
	}
	pod("c", "10.2.0.3", false)
	o.do("PATCH", path+"/c/status", `{"status":{"conditions":[{"type":"Ready","status":"True"}]}}`)
	w.await("a third one", has(name, "10.2.0.1:9191", "10.2.0.2:9191", "10.2.0.3:9191"))

	o.do("DELETE", path+"/a", "") // nobody ends it: there is no kubelet
	u = w.await("one on its way out", has(name, "10.2.0.2:9191", "10.2.0.3:9191"))
	if !u.Final[name] {
		t.Error("it is on its way out, and not final")
	}
	who := func(ip string) string {
		p, _ := pods.PodByIP(netip.MustParseAddr(ip))
		return p.Name
	}
	eventually(t, "it may call others until it ends", func() bool { return who("10.2.0.1") == "a" })
	pod("d", "10.2.0.1", false) // it has the address already
	eventually(t, "who lives has the address", func() bool { return who("10.2.0.1") == "d" })
	o.do("DELETE", path+"/b", "")
	o.do("DELETE", path+"/c", "")
	w.await("all on their way out", func(u registry.Update) bool {
		s := u.Services[name]
		return s != nil && len(s.Endpoints) == 3 && s.Endpoints[0].Terminating && s.Endpoints[2].Terminating
	})
	for _, p := range []string{"a", "b", "c", "d"} {
		o.do("DELETE", path+"/"+p, `{"gracePeriodSeconds":0}`)
	}
	if u = w.await("none", has(name)); !u.Final[name] {
		t.Error("it was scaled to nothing, and is not final")
	}
	// A Service of 250 pods has three slices, by its controller's own rules.
	o.do("DELETE", "/api/v1/namespaces/"+ns+"/services/hello", "")
	w.await("deleted", func(u registry.Update) bool { return u.Services[name] == nil && u.Final[name] })
	fan(250, func(i int) error {
		n := fmt.Sprintf("many-%d", i)
		ip := fmt.Sprintf("10.3.%d.%d", i/250, i%250+1)
		_, err := o.Do("POST", path, fmt.Sprintf(`{"metadata":{"name":%q,"labels":{"app":"many"}},"spec":{"nodeName":"n8","containers":[{"name":"c","image":"i"}]}}`, n))
		if err == nil {
			_, err = o.Do("PATCH", path+"/"+n+"/status", fmt.Sprintf(`{"status":{"phase":"Running","podIP":%q,"podIPs":[{"ip":%q}],"conditions":[{"type":"Ready","status":"True"}]}}`, ip, ip))
		}
		return err
	}, t)
	o.do("POST", "/api/v1/namespaces/"+ns+"/services", `{"metadata":{"name":"many",%s},"spec":{"selector":{"app":"many"},"ports":[{"port":9090}]}}`, enabled)
	many := "many." + ns
	w.await("250 pods", func(u registry.Update) bool { return u.Services[many] != nil && len(u.Services[many].Endpoints) == 250 })
	w.state.mu.Lock()
	if n := len(w.state.of[ns+"/many"]); n != 3 {
		t.Errorf("%d slices; want 3 of 100 endpoints at most", n)
	}
	w.state.mu.Unlock()
	o.do("DELETE", path+"?labelSelector=app=many", `{"gracePeriodSeconds":0}`)
	if u = w.await("none of them", has(many)); w.Stats().Doubtful != 0 || !u.Final[many] {
		t.Errorf("all pods are gone: %d doubtful, final %v", w.Stats().Doubtful, u.Final[many])
	}
}
