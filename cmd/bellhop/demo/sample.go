package demo

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/protocol/osp/osppeer"
)

// The services of the demo. Greeter and Faraway are of greeter.thrift.
const (
	greeterService = "demo.Greeter"
	farawayService = "demo.Faraway"
	ordersService  = "demo.Orders"
	helloMethod    = "hello"
	placeMethod    = "place"
)

// text is a struct with one string: hello_args and place_args with id 1, their results with id 0.
type text struct {
	id    int16
	value string
}

// Write writes it as the generated code would.
func (t *text) Write(ctx context.Context, p thrift.TProtocol) error {
	for _, step := range []func() error{
		func() error { return p.WriteStructBegin(ctx, "text") },
		func() error { return p.WriteFieldBegin(ctx, "value", thrift.STRING, t.id) },
		func() error { return p.WriteString(ctx, t.value) },
		func() error { return p.WriteFieldEnd(ctx) },
		func() error { return p.WriteFieldStop(ctx) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return p.WriteStructEnd(ctx)
}

// Read takes its own field and skips all others.
func (t *text) Read(ctx context.Context, p thrift.TProtocol) error {
	if _, err := p.ReadStructBegin(ctx); err != nil {
		return err
	}
	for {
		_, typ, id, err := p.ReadFieldBegin(ctx)
		if err != nil {
			return err
		}
		if typ == thrift.STOP {
			return p.ReadStructEnd(ctx)
		}
		if typ == thrift.STRING && id == t.id {
			t.value, err = p.ReadString(ctx)
		} else {
			err = p.Skip(ctx, typ)
		}
		if err != nil {
			return err
		}
		if err := p.ReadFieldEnd(ctx); err != nil {
			return err
		}
	}
}

// greeter is the server side of greeter.thrift, a thrift.TProcessor.
type greeter struct{ name string }

// ProcessorMap is part of thrift.TProcessor; nobody asks a greeter.
func (greeter) ProcessorMap() map[string]thrift.TProcessorFunction { return nil }

// AddToProcessorMap is part of thrift.TProcessor; there is nothing to add to.
func (greeter) AddToProcessorMap(string, thrift.TProcessorFunction) {}

// Process answers one call.
func (g greeter) Process(ctx context.Context, in, out thrift.TProtocol) (bool, thrift.TException) {
	method, _, seq, err := in.ReadMessageBegin(ctx)
	if err != nil {
		return false, thrift.WrapTException(err)
	}
	var reply thrift.TStruct
	kind := thrift.REPLY
	if method == helloMethod {
		args := text{id: 1}
		err = args.Read(ctx, in)
		reply = &text{0, fmt.Sprintf("hello %s, this is %s", args.value, g.name)}
	} else {
		err = in.Skip(ctx, thrift.STRUCT)
		kind, reply = thrift.EXCEPTION, thrift.NewTApplicationException(thrift.UNKNOWN_METHOD, "unknown method "+method)
	}
	if err != nil {
		return false, thrift.WrapTException(err)
	}
	for _, step := range []func() error{
		func() error { return in.ReadMessageEnd(ctx) },
		func() error { return out.WriteMessageBegin(ctx, method, kind, seq) },
		func() error { return reply.Write(ctx, out) },
		func() error { return out.WriteMessageEnd(ctx) },
		func() error { return out.Flush(ctx) },
	} {
		if err := step(); err != nil {
			return false, thrift.WrapTException(err)
		}
	}
	return true, nil
}

// orders is the OSP service: place(1: string who) returns a string.
func orders(method string, args []byte, p protocol.Payload) (result []byte, retCode, retMessage string) {
	ctx, in := context.Background(), text{id: 1}
	switch err := fromBytes(ctx, args, &in); {
	case method != placeMethod || p != protocol.Binary:
		return nil, "NoSuchMethod", fmt.Sprintf("%s in %s", method, p)
	case err != nil:
		return nil, "BadArguments", err.Error()
	}
	out, err := toBytes(ctx, &text{0, "an order for " + in.value})
	if err != nil {
		return nil, "Internal", err.Error()
	}
	return out, "", ""
}

func fromBytes(ctx context.Context, b []byte, t *text) error {
	m := thrift.NewTMemoryBufferLen(len(b))
	if _, err := m.Write(b); err != nil {
		return err
	}
	return t.Read(ctx, thrift.NewTBinaryProtocolConf(m, nil))
}

func toBytes(ctx context.Context, t *text) ([]byte, error) {
	m := thrift.NewTMemoryBuffer()
	if err := t.Write(ctx, thrift.NewTBinaryProtocolConf(m, nil)); err != nil {
		return nil, err
	}
	return m.Bytes(), nil
}

// serveSample is a hidden command's work: it runs one service on a free port of loopback, says where on standard output,
// and ends when standard input does.
func serveSample(kind, name string) error {
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // whatever ends it, it has ended
		close(ended)
	}()
	switch kind {
	case "orders":
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		s := &osppeer.Server{Framing: protocol.OSP, Handler: orders, Concurrency: 4}
		fmt.Println(l.Addr())
		go func() { _ = s.Serve(l) }() // Close ends it
		<-ended
		return s.Close()
	case "greeter":
		socket, err := thrift.NewTServerSocket("127.0.0.1:0")
		if err != nil {
			return err
		}
		if err := socket.Listen(); err != nil {
			return err
		}
		s := thrift.NewTSimpleServer4(greeter{name}, socket,
			thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), nil), thrift.NewTBinaryProtocolFactoryConf(nil))
		fmt.Println(socket.Addr())
		go func() { _ = s.Serve() }() // it ends with the process
		<-ended
		return nil
	}
	return fmt.Errorf("there is no sample service %q; write greeter or orders", kind)
}
