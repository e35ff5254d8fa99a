package kubernetes

import (
	"fmt"
	"testing"

	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The bytes of a slice that docs/scale.md counts with: so many for itself, so many for each pod.
func TestSliceBytes(t *testing.T) {
	const head, pod = 378, 143
	for _, pods := range []int{0, 1, 10, 100} {
		if got, want := sliceOf(pods).Size(), head+pods*pod; got != want {
			t.Errorf("a slice of %d pods has %d bytes, docs/scale.md counts with %d", pods, got, want)
		}
	}
}

// sliceOf is a slice with the fields that a controller writes.
func sliceOf(pods int) *discovery.EndpointSlice {
	ready, node, zone, port, name, proto := true, "node-10-12.example.internal", "zone-a", int32(9090), "thrift", core.ProtocolTCP
	owner := true
	s := &discovery.EndpointSlice{
		ObjectMeta: meta.ObjectMeta{
			Name: "orders-x7k2p", GenerateName: "orders-", Namespace: "shop", UID: "0d4a3f9e-6f0a-4f5e-9f38-2a5b7f3b1c11",
			ResourceVersion: "123456789", Generation: 7,
			Labels: map[string]string{
				"kubernetes.io/service-name": "orders", "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io", "app": "orders",
			},
			Annotations:     map[string]string{"endpoints.kubernetes.io/last-change-trigger-time": "2026-01-01T00:00:00Z"},
			OwnerReferences: []meta.OwnerReference{{APIVersion: "v1", Kind: "Service", Name: "orders", UID: "8f1a6d53-7f8e-4a52-9c53-4c3a0f1b2d33", Controller: &owner, BlockOwnerDeletion: &owner}},
		},
		AddressType: discovery.AddressTypeIPv4,
		Ports:       []discovery.EndpointPort{{Name: &name, Port: &port, Protocol: &proto}},
	}
	for i := range pods {
		s.Endpoints = append(s.Endpoints, discovery.Endpoint{
			Addresses:  []string{"10.12.34.100"},
			Conditions: discovery.EndpointConditions{Ready: &ready, Serving: &ready, Terminating: new(bool)},
			NodeName:   &node, Zone: &zone,
			TargetRef: &core.ObjectReference{Kind: "Pod", Namespace: "shop", Name: fmt.Sprintf("orders-6f7c9b8d5-%05d", i), UID: "5c1f7d0e-0b64-4a6c-8f29-6f9f2f7c9b8d"},
		})
	}
	return s
}
