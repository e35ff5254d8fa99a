// Package file is the registry that is there by default: one YAML file, or a folder of them, edited by people and by
// deployment tools, and watched. README.md beside this file is its specification. It must never publish what it could not
// read whole and without an error, and never write into the operator's files: the only file it writes is the entry of a
// remote proxy that registers itself.
//
//	inotify ──┐
//	stat poll ┴─► read all bytes ─► parse (every error at once) ─► publish
//	                                   └─ errors: logged once, counted; what was published before stands
package file
