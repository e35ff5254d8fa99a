package main

import (
	"fmt"

	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// sliceBytes is the size of an EndpointSlice with so many pods, as protobuf. It is computed: a controller writes the same
// fields.
func sliceBytes(pods int) int {
	ready, node, zone, port, name, proto := true, "node-10-12.example.internal", "zone-a", int32(9090), "thrift", core.ProtocolTCP
	owner := true
	s := discovery.EndpointSlice{
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
			Addresses:  []string{fmt.Sprintf("10.12.34.%d", 100+i)},
			Conditions: discovery.EndpointConditions{Ready: &ready, Serving: &ready, Terminating: new(bool)},
			NodeName:   &node, Zone: &zone,
			TargetRef: &core.ObjectReference{Kind: "Pod", Namespace: "shop", Name: fmt.Sprintf("orders-6f7c9b8d5-%05d", i), UID: "5c1f7d0e-0b64-4a6c-8f29-6f9f2f7c9b8d"},
		})
	}
	return s.Size()
}

const (
	apiServers   = 3
	watchesOf    = 3 // of a host: Services, EndpointSlices, the pods of its node
	sliceWrites  = 2 // of an instance that a rollout replaces: one goes, one comes ready
	networkBytes = 125e6
)

// clusterRow is what the API servers bear: every host hears of every change, whether it calls the service or not.
func clusterRow(p plan, hosts int) []string {
	slice := float64(sliceBytes(p.Instances))
	steady := float64(hosts) * p.Changes * slice
	rollout := float64(hosts) * sliceWrites / p.RolloutEvery * slice
	start := float64(hosts) * float64(p.Services) * slice
	return []string{
		count(float64(hosts)), count(float64(share(hosts*watchesOf, apiServers))), size(steady/apiServers) + "/s",
		size((steady+rollout)/apiServers) + "/s", size(start / apiServers), seconds(start / apiServers / networkBytes),
	}
}
