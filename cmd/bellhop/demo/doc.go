// Package demo is `bellhop demo`: a host and its callers on this machine, in one command, without any configuration.
//
//	demo (this process: Go and OSP callers, table, summary)
//	 ├─ greeter ×2   demo.Greeter, Apache Thrift, framed binary ─┐
//	 ├─ faraway      demo.Faraway, known to the remote only      ├─ registry files in a temporary run directory
//	 ├─ orders       demo.Orders, OSP ───────────────────────────┘
//	 ├─ bellhop remote ◄── hand-off, fall-back ──┐
//	 ├─ bellhop local ─── address file ──► callers in Go, Python and OSP
//	 └─ python3 caller.py
//
// Half-way the local proxy is killed and later started again; no call may fail meanwhile. Every child ends with the
// demo, however that ends. It must never touch a run directory, a port or a process that it did not make itself, and it
// listens on loopback only.
package demo
