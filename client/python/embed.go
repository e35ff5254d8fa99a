// Package python carries the Python client inside of a Go program: `bellhop demo` is one binary, and its Python caller
// needs the library. It holds files and nothing else; the library's README.md says what they do.
//
//	bellhop_client/*.py ─► Library ─► a temporary directory ─► python3
package python

import "embed"

// Library is the folder bellhop_client, without what is made of it. Safe for concurrent use.
//
//go:embed bellhop_client/*.py
var Library embed.FS
