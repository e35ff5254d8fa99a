// Package daemonset is what makes a proxy *the* proxy of its host: it tells guests where to call (Beacon), tells the
// platform whether it can be called (Readiness), keeps its admin side on this host (ListenAdmin) and its memory below
// the limit it was given (MemoryLimit). It must never know the data plane: what it needs of it comes in as a function.
//
//	tick ok ─► Beacon ─► address file: serving, touched every lease/3
//	drain   ─► Readiness.Closing ─► Beacon.Draining ─► (the data plane drains) ─► Beacon.Down
//
// Its parts are packages of their own: addrfile (the file), rundir (the directory and its lock), identity (who calls).
package daemonset
