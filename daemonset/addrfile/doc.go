// Package addrfile is the address file: how a host's proxy tells every guest where to call, and how a guest reads it.
// The format and its rules are a protocol between releases and languages; docs/address-file.md is its specification.
//
//	proxy:   OpenWriter(pub) ─► Write(File) ─► temp, fsync, rename ─┐       Touch every lease/3
//	                                                              ▼          │
//	                                   /run/bellhop/pub/address ◄────────────┘ mtime = the lease
//	                                                              │
//	guest:   Watch(path) ─► inotify IN_MOVED_TO or a stat a second ─► View{File, Stale, …}
//
// The package never removes a directory, never follows a symbolic link while writing, never orders generations of two
// instances, and never trusts the wall clock for longer than the first look at a file.
package addrfile
