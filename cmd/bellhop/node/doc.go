// Package node runs one proxy process: it builds the data plane, the registry and the address file from a configuration,
// starts them in the order that keeps guests safe, and takes them down in the reverse. It must never be on the path of a
// call.
//
//	lock ─► last-known-good ─► live registry ─► workers ─► listeners ─► one call through the data path ─► address file
//	                                                                                                        │
//	SIGTERM ─► not ready ─► file: draining ─► proxy.Drain(grace) ─► file: down ─► exit ◄────────────────────┘
package node
