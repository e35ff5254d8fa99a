package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
)

// patience bounds every read and write of a caller: a combination that hangs fails, the matrix goes on.
const patience = 5 * time.Second

// framing is how one side of a connection is built.
type framing struct {
	name     string
	compact  bool
	framed   bool
	lax      bool // TBinary without the version word
	theader  bool
	zlib     bool
	ttheader bool // this program's own transport: no Apache library has one
	inner    bool // TTHeader with len(4)+TMessage
	osp      bool // OSP or dapeng, see osp.go
	dapeng   bool
}

var framings = map[string]framing{
	"binary":           {},
	"compact":          {compact: true},
	"framed-binary":    {framed: true},
	"framed-compact":   {framed: true, compact: true},
	"framed-lax":       {framed: true, lax: true},
	"binary-lax":       {lax: true},
	"theader-binary":   {theader: true},
	"theader-compact":  {theader: true, compact: true},
	"theader-zlib":     {theader: true, zlib: true},
	"ttheader-binary":  {ttheader: true},
	"ttheader-compact": {ttheader: true, compact: true},
	"ttheader-framed":  {ttheader: true, inner: true},
	"osp":              {osp: true},
	"osp-compact":      {osp: true, compact: true},
	"dapeng":           {osp: true, dapeng: true, compact: true},
	"dapeng-binary":    {osp: true, dapeng: true},
}

func framingOf(name string) (framing, error) {
	f, ok := framings[name]
	if !ok {
		return framing{}, fmt.Errorf("this peer has no framing %q", name)
	}
	f.name = name
	return f, nil
}

func (f framing) config() *thrift.TConfiguration {
	id := thrift.THeaderProtocolBinary
	if f.compact {
		id = thrift.THeaderProtocolCompact
	}
	strict := !f.lax
	cfg := &thrift.TConfiguration{
		ConnectTimeout: patience, SocketTimeout: patience, THeaderProtocolID: &id,
		TBinaryStrictRead: &strict, TBinaryStrictWrite: &strict,
	}
	if f.zlib {
		cfg.THeaderTransforms = []thrift.THeaderTransformID{thrift.TransformZlib}
	}
	return cfg
}

// transports wraps what is accepted or dialled.
func (f framing) transports() thrift.TTransportFactory {
	switch {
	case f.theader:
		return thrift.NewTTransportFactory() // the protocol brings its own
	case f.framed:
		return thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), f.config())
	default:
		return thrift.NewTBufferedTransportFactory(4096)
	}
}

func (f framing) protocols() thrift.TProtocolFactory {
	switch {
	case f.theader:
		return thrift.NewTHeaderProtocolFactoryConf(f.config())
	case f.compact:
		return thrift.NewTCompactProtocolFactoryConf(f.config())
	default:
		return thrift.NewTBinaryProtocolFactoryConf(f.config())
	}
}

// splitAddr turns "unix:/path" and "host:port" into what net.Dial takes.
func splitAddr(addr string) (network, address string) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		return "unix", path
	}
	return "tcp", addr
}
