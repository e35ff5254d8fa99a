// Package osppeer is a small server and a small client that really speak OSP and dapeng-soa: for `bellhop demo`, for
// tests and for benchmarks. It must never be used by the data plane, and it must never use package osp: it is written
// by hand over Apache's protocol libraries, so that each checks the other.
//
//	Client.Call ─► frame with a sequence of its own ─► (a proxy) ─► Server ─► Handler
//	     ▲                                                             │
//	     └── by sequence, in any order ◄───────────────────────────────┘
//
// OSP is reconstructed from public material and not verified against a running OSP system.
package osppeer
