// Package proxy is the data plane: acceptors, workers, callers' connections (downstream), connections to endpoints
// (upstream), calls, deadlines and counters. It routes every call and never blocks on one.
//
//	acceptor ─► worker (one gnet loop) ─► downstream ─► onRequest ─► choose ─► upstream ─► endpoint
//	                │                          ▲                                  │
//	                └── wheel (deadlines) ─► fail ◄──────────── onReply ◄─────────┘
//
// A worker owns its connections, calls, pools, timers and balancer state; nothing of it is touched from outside its
// loop. Into it go: its control socket, closures for rare things (worker.do) and the table pointer. Out of it: counters,
// copied on the loop when somebody asks. On the path of a call there is no lock, no channel, no clock call and no
// allocation.
//
// The path of a call is calls.go: onRequest, choose, onReply, fail.
package proxy
