package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/bellhop-mesh/bellhop/scripts/kubeapi"
)

// TestKubernetes: services come from a real API server, rules from a ConfigMap; while the server is down, what is known
// stands, also over a restart of the proxy.
func TestKubernetes(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: no API server is started")
	}
	if why := kubeapi.Missing(); why != "" {
		t.Skip(why)
	}
	h := newHost(t)
	dir := h.path("kube")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	api, err := kubeapi.Start(dir, kubeapi.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.Close)
	do := func(method, path, body string) {
		t.Helper()
		if _, err := api.Do(method, path, body); err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
	}
	const ns = "/api/v1/namespaces/shop"
	do("POST", "/api/v1/namespaces", `{"metadata":{"name":"shop"}}`)
	do("POST", ns+"/services", `{"metadata":{"name":"echo","labels":{"bellhop.dev/enabled":"true"},"annotations":{"bellhop.dev/service":"demo.Echo","bellhop.dev/framing":"osp"}},
		"spec":{"clusterIP":"None","ports":[{"name":"thrift","port":9090}]}}`)
	do("POST", "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices", `{"metadata":{"name":"echo-1","labels":{"kubernetes.io/service-name":"echo","bellhop.dev/enabled":"true"}},
		"addressType":"IPv4","ports":[{"name":"thrift","port":9090}],"endpoints":[{"addresses":["192.0.2.7"],"conditions":{"ready":true},"nodeName":"n1","zone":"z1"}]}`)
	do("POST", ns+"/configmaps", `{"metadata":{"name":"rules"},"data":{"rules.yaml":"version: 1\nservices:\n  demo.Echo: {timeout: 700ms}\n"}}`)

	cfg := h.write("local.yaml", fmt.Sprintf("run_dir: %s\nlisteners:\n  - {net: unix, addr: call.sock}\nregistry:\n  path: %s\n  kubernetes: {services: true, node: n1, kubeconfig: %s}\n"+
		"rules: {configmap: shop/rules}\ndrain: {grace: 10ms}\naddress_file: {lease: 300ms}\n", h.path("local"), h.path("services.d"), api.Kubeconfig("admin")))
	p := begin(t, "local", "-c", cfg)
	h.await("local", serving)
	known := func(when string) {
		t.Helper()
		// An API server takes no loopback address for an endpoint, so none is called here.
		if _, text := h.get("local", "/clusters"); !strings.Contains(text, `"192.0.2.7:9090"`) {
			t.Errorf("%s the endpoint is not known: %s", when, text)
		}
	}
	known("when it serves")
	eventually(t, "the rules of the ConfigMap are in force", func() bool {
		_, text := h.get("local", "/rules")
		return strings.Contains(text, "700ms")
	})
	_, text := h.get("local", "/metrics")
	metricsAre(t, text, "Metrics of Kubernetes", func(name string) bool { return strings.HasPrefix(name, "bellhop_kubernetes_") })

	api.StopServer()
	known("while the API server is down")
	if code := p.end(syscall.SIGTERM); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	begin(t, "local", "-c", cfg)
	h.await("local", serving)
	known("after a start while the API server is down")
	if _, text := h.get("local", "/status?window=10ms"); !strings.Contains(text, `"registry_problem": "kubernetes: `) {
		t.Errorf("the status does not tell that the API server is down: %s", text)
	}
}
