// Package client is the caller's side: it finds the proxies by the host's address file and follows the caller's rule
// (docs/address-file.md), so that a call survives its local proxy. Generated Apache Thrift code takes it as it is.
//
//	c, err := client.New(client.Options{}) // one per process
//	if err != nil {
//		return err
//	}
//	defer c.Close()
//	tc := client.NewTClient(c, "com.example.Hello", client.CallOptions{Idempotent: []string{"sayHello"}})
//	hello := example.NewHelloClient(tc) // generated; safe for concurrent use
//	ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
//	defer cancel()
//	reply, err := hello.SayHello(ctx, "bob") // client.ClassOf(err) says what an error means
//
// How a call finds its way:
//
//	address file ─► view ─► rule.plan: local, remote, local again ─► pool or dial (heartbeat first, when in doubt)
//	                            ▲                                          │
//	                            └── refused, lost, healthy probes ◄────────┤
//	                                                                       ▼
//	                                    exchange: one frame out, one frame back ─► class: unsent, lost, …
//
// A call is sent again elsewhere only if none of it was written, or the proxy answered `not-executed` (once), or its
// method is declared idempotent (once). The package never guesses that a method is idempotent, never writes a byte of
// a call to a connection that it doubts, and never reads a length it will not check.
//
// One Client per process. A Go process does not fork; a child that is exec'd makes its own Client and shares nothing
// with its parent (every descriptor is close-on-exec).
package client
