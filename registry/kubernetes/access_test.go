package kubernetes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/bellhop-mesh/bellhop/registry"
)

// TestLeastAccess: rbac.yaml, applied as it stands, is enough; with nothing of it, the error says what is missing.
func TestLeastAccess(t *testing.T) {
	a := cluster(t)
	o := operator{a, t}
	file, err := os.ReadFile("rbac.yaml")
	if err != nil {
		t.Fatal(err)
	}
	paths := map[string]string{
		"Namespace": "/api/v1/namespaces", "ServiceAccount": "/api/v1/namespaces/%s/serviceaccounts",
		"ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles", "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
		"Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/%s/roles", "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/%s/rolebindings",
	}
	for d := yaml.NewDecoder(bytes.NewReader(file)); ; {
		var doc map[string]any
		if err := d.Decode(&doc); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		path := paths[doc["kind"].(string)]
		if strings.Contains(path, "%s") {
			path = fmt.Sprintf(path, doc["metadata"].(map[string]any)["namespace"])
		}
		o.do("POST", path, "%s", body)
	}
	var token struct{ Status struct{ Token string } }
	if err := json.Unmarshal(o.do("POST", "/api/v1/namespaces/bellhop-system/serviceaccounts/bellhop/token", `{"spec":{}}`), &token); err != nil {
		t.Fatal(err)
	}
	if err := a.AddKubeconfig("bellhop", token.Status.Token); err != nil {
		t.Fatal(err)
	}
	ns := o.namespace()
	o.service(ns, "hello", "")
	o.slice("POST", ns, "hello", "hello-1", "10.0.0.1")
	o.do("POST", "/api/v1/namespaces/bellhop-system/configmaps", `{"metadata":{"name":"bellhop-rules"},"data":{"rules.yaml":"a"}}`)
	o.do("POST", "/api/v1/namespaces/bellhop-system/configmaps", `{"metadata":{"name":"secret"},"data":{"rules.yaml":"b"}}`)

	w := follow(t, a.Kubeconfig("bellhop"), Options{})
	w.await("a Service", has("hello."+ns, "10.0.0.1:9090"))
	c := connect(t, a.Kubeconfig("bellhop"))
	pods, err := NewPods(c, PodsOptions{Node: "n1", Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	running(t, pods.Run)
	docs := documents(t, c, "bellhop-system", "bellhop-rules")
	if d := <-docs; string(d.Data) != "a" {
		t.Errorf("rules: %q", d.Data)
	}
	eventually(t, "pods", pods.Synced)

	other, err := NewDocument(c, DocumentOptions{Namespace: "bellhop-system", Name: "secret", Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	running(t, func(ctx context.Context) error {
		return other.Run(ctx, func(d registry.Document) { t.Errorf("another ConfigMap was read: %q", d.Data) })
	})
	eventually(t, "no access to another ConfigMap", func() bool { return strings.Contains(other.Stats().Problem, "no access") })
	if err := a.AddKubeconfig("stranger", "no-token"); err != nil {
		t.Fatal(err)
	}
	x := follow(t, a.Kubeconfig("stranger"), Options{})
	eventually(t, "a stranger", func() bool { return strings.Contains(x.Stats().Problem, "does not know who this is") })
	n := follow(t, a.Kubeconfig("nobody"), Options{})
	eventually(t, "no access", func() bool { return n.Stats().Problem != "" })
	if p := n.Stats().Problem; !strings.Contains(p, `may not list and watch services (apiGroup "") in all namespaces; a ClusterRole needs both verbs`) {
		t.Errorf("without a role: %s", p)
	}
}
