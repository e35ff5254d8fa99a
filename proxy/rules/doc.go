// Package rules is the rules document: what operators say of services in one place for many hosts, over what registries
// say. It reads the document strictly, keeps the last good one in force and on disk, and applies it to snapshots. It must
// never be on the path of a call: what is said of services is compiled into the table like everything else, and what is said
// of calls is package govern's. docs/rules.md is the document key by key.
//
//	registry.DocumentSource ─publish─► Center: Parse ─► *Rules in force, OnChange, last-good file
//	                                             └─ wrong: refused, told, counted; the old ones stay in force
//	*registry.Snapshot + *Rules ─► Applier.Apply ─► *registry.Snapshot ─► route.Compile
//	*Rules ─► Govern ─► *govern.Rules ─► proxy.SetRules
package rules
