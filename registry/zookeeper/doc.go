// Package zookeeper is the registry in a ZooKeeper ensemble: discovery of the services that callers on this host use, the
// registration of instances, and documents in nodes. README.md beside this file is its specification. It must never
// publish what it could not read, never watch what nobody uses, never let a name from a frame become a path unchecked,
// never delete a node that is for another address, and never hold up an event loop.
//
//	Want(name) ─► queue ─► readers (a few goroutines) ─► list of children, new children's data ─► publisher ─► publish
//	 a call of an            ▲      ▲
//	 unknown service         │      └── event of the one watch a service has
//	                         └── audit: stat of every node again and again, after every reconnect at once
//
//	Register, Withdraw ─► what is wanted ─► Registrar.Run: look, write, look again; after events, audits, new sessions
package zookeeper
