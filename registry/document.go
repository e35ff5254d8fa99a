package registry

import "context"

// Document is one version of a text that operators keep where services are registered, like the rules.
type Document struct {
	Data    []byte // nil: there is none; it was not read and found to be empty, it is not there
	Version string // as the place counts versions: a node's mzxid, an object's resourceVersion, a file's time; for people
	From    string // where it was read, for messages: a path, a node with its ensemble, namespace/name of a ConfigMap
}

// DocumentSource is a place where a document lies, watched. Run blocks until ctx ends, calling publish with every version
// it reads, the first as soon as it can, and with an empty Document when it finds that there is none. What can't be
// read is not published: it is logged and counted, and asked for again. publish is safe for concurrent use and does not block.
// Data is not changed any more once it was published. An error before ctx ends means "run me again later".
type DocumentSource interface {
	Name() string
	Run(ctx context.Context, publish func(Document)) error
}

// MaxDocument is the largest document, in bytes: a ZooKeeper server closes the connection over a node of more than 1 MiB
// (jute.maxbuffer), request and path included.
const MaxDocument = 900_000
