// Package strict reads the YAML documents that operators write: registry files and rules. Unknown keys, keys that come
// twice, values of another type or out of their bounds, aliases and second documents are errors, and all errors of a
// document are told at once, each with its line and its key. It must never read a file: it is given bytes.
//
//	bytes ─► Reader.Root ─► At ─► Mapping, List, Text, Duration, … ─► what the caller builds
//	                                   └─► Report ─► Problems
package strict
