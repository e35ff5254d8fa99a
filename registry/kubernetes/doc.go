// Package kubernetes is the registry in a Kubernetes cluster: Services and their EndpointSlices, the pods of this node, and
// documents in ConfigMaps, all watched at the API server. README.md beside this file is its specification, rbac.yaml the
// access it needs. It must never publish before everything was read once, never watch pods of other nodes, never call an
// endpoint gone because the API server forgot it, and never hold up an event loop.
//
//	Services ───────┐ a watch each, strips what it reads
//	EndpointSlices ─┴─► state (by Thrift name; what vanished without evidence is remembered) ─► publisher ─► publish
//	pods of this node ─► Pods (by address, by UID)
//	one ConfigMap ─► Document ─► publish
//
// It has its own scheme of four kinds and plain REST clients: the typed clients and informers of client-go know every
// kind there is, and cost 15 MB more of binary and 10 MB more of memory at rest (client-go v0.37).
package kubernetes
