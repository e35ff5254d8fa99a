package call

import (
	"bytes"
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/protocol/osp/osppeer"
	"github.com/bellhop-mesh/bellhop/scripts/interop/gen-go/interop"
)

const interopIDL = "../../../scripts/interop/interop.thrift"

// outcomeOf is what a person sees of one call.
type outcomeOf struct {
	code        int
	out, errOut string
}

// bellhop runs `bellhop call` in this process.
func bellhop(t *testing.T, stdin string, args ...string) outcomeOf {
	t.Helper()
	c := Command()
	c.SilenceErrors, c.SilenceUsage = true, true
	var out, errOut bytes.Buffer
	c.SetArgs(args)
	c.SetIn(strings.NewReader(stdin))
	c.SetOut(&out)
	c.SetErr(&errOut)
	err := c.ExecuteContext(t.Context())
	o := outcomeOf{out: out.String()}
	var e *Exit
	if errors.As(err, &e) {
		o.code = e.ExitCode()
	} else if err != nil {
		o.code = -1
	}
	if err != nil {
		errOut.WriteString(err.Error())
	}
	o.errOut = errOut.String()
	return o
}

func (o outcomeOf) check(t *testing.T, what string, code int, out, errOut string) {
	t.Helper()
	if o.code != code || strings.TrimSpace(o.out) != out || !strings.Contains(o.errOut, errOut) {
		t.Errorf("%s: exit %d, out %q, err %q\nwant exit %d, out %q, err …%q…", what, o.code, o.out, o.errOut, code, out, errOut)
	}
}

// service is what the servers of these tests do; methods it has not got are not called.
type service struct {
	interop.Interop
	told chan string
}

func (service) Ping(context.Context) error { return nil }

func (service) EchoString(_ context.Context, s string) (string, error) { return s, nil }

func (service) EchoEverything(_ context.Context, e *interop.Everything) (*interop.Everything, error) {
	return e, nil
}

func (service) NextColor(_ context.Context, c interop.Color) (interop.Color, error) {
	return map[interop.Color]interop.Color{interop.Color_RED: interop.Color_GREEN}[c], nil
}

func (service) Divide(_ context.Context, a, b int32) (int32, error) {
	if b == 0 {
		return 0, &interop.InvalidOperation{Code: 7, Why: "by zero", Details: map[string]string{"a": "1"}}
	}
	return a / b, nil
}

func (service) Fail(context.Context) error { return errors.New("boom") }

func (s service) Notify(_ context.Context, key string) error {
	s.told <- key
	return nil
}

// serve starts a Thrift server and returns its address.
func serve(t *testing.T, s service, tf thrift.TTransportFactory, pf thrift.TProtocolFactory, multiplexed bool) string {
	t.Helper()
	socket, err := thrift.NewTServerSocket("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := socket.Listen(); err != nil {
		t.Fatal(err)
	}
	var p thrift.TProcessor = interop.NewInteropProcessor(s)
	if multiplexed {
		m := thrift.NewTMultiplexedProcessor()
		m.RegisterProcessor("demo.Interop", p)
		p = m
	}
	server := thrift.NewTSimpleServer4(p, socket, tf, pf)
	done := make(chan error, 1)
	go func() { done <- server.Serve() }()
	t.Cleanup(func() {
		if err := errors.Join(server.Stop(), <-done); err != nil {
			t.Error(err)
		}
	})
	return socket.Addr().String()
}

func framed() thrift.TTransportFactory {
	return thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), nil)
}

func TestThriftServers(t *testing.T) {
	binary, compact := thrift.NewTBinaryProtocolFactoryConf(nil), thrift.NewTCompactProtocolFactoryConf(nil)
	plain := thrift.NewTBufferedTransportFactory(4096)
	no := false
	lax := thrift.NewTBinaryProtocolFactoryConf(&thrift.TConfiguration{TBinaryStrictRead: &no, TBinaryStrictWrite: &no})
	header := thrift.NewTHeaderProtocolFactoryConf(nil)
	for _, c := range []struct {
		word string
		tf   thrift.TTransportFactory
		pf   thrift.TProtocolFactory
	}{
		{"framed-binary", framed(), binary},
		{"framed-compact", framed(), compact},
		{"framed-lax", framed(), lax},
		{"binary", plain, binary},
		{"compact", plain, compact},
		{"binary-lax", plain, lax},
		{"theader", thrift.NewTHeaderTransportFactoryConf(nil, nil), header},
		{"theader-compact", thrift.NewTHeaderTransportFactoryConf(nil, nil), header},
		{"theader-zlib", thrift.NewTHeaderTransportFactoryConf(nil, nil), header},
	} {
		t.Run(c.word, func(t *testing.T) {
			addr := serve(t, service{}, c.tf, c.pf, false)
			bellhop(t, "", "demo.Interop", "echoString", `{"1":{"str":"bob"}}`, "--addr", addr, "--framing", c.word).
				check(t, "typed", 0, `{"0": {"str": "bob"}}`, "")
			bellhop(t, "", "demo.Interop", "divide", `{"a":7,"b":2}`, "--idl", interopIDL, "--addr", addr, "--framing", c.word, "--json").
				check(t, "by names", 0, `{"result":3}`, "")
		})
	}
}

func TestReplies(t *testing.T) {
	s := service{told: make(chan string, 1)}
	addr := serve(t, s, framed(), thrift.NewTBinaryProtocolFactoryConf(nil), false)
	call := func(args ...string) outcomeOf { return bellhop(t, "", append(args, "--addr", addr)...) }
	named := func(args ...string) outcomeOf { return call(append(args, "--idl", interopIDL)...) }

	call("Interop", "divide", `{"1":{"i32":1},"2":{"i32":0}}`, "--json").check(t, "an exception without its IDL", 0,
		`{"result":{"1":{"rec":{"1":{"i32":7},"2":{"str":"by zero"},"3":{"map":["str","str",1,{"a":"1"}]}}}}}`, "")
	named("Interop", "divide", `{"a":1}`).check(t, "an exception", exitException,
		`{"code": 7, "why": "by zero", "details": {"a": "1"}}`, "threw InvalidOperation")
	named("Interop", "divide", `{"a":1}`, "--json").check(t, "an exception, raw", exitException,
		`{"exception":{"name":"InvalidOperation","value":{"code":7,"why":"by zero","details":{"a":"1"}}}}`, "")
	named("Interop", "nextColor", `{"c":"RED"}`).check(t, "an enum", 0, `"GREEN"`, "")
	named("Interop", "ping").check(t, "void", 0, "null", "")
	call("Interop", "ping", "--json").check(t, "void, typed", 0, `{"result":{}}`, "")
	named("Interop", "notify", `{"key":"k1"}`).check(t, "oneway", 0, "", "a oneway has no reply")
	if got := <-s.told; got != "k1" {
		t.Errorf("the server was told %q", got)
	}
	call("Interop", "notify", `{"1":{"str":"k2"}}`, "--oneway", "--json").check(t, "oneway, typed", 0, `{"result":null}`, "")
	if got := <-s.told; got != "k2" {
		t.Errorf("the server was told %q", got)
	}
	named("Interop", "fail").check(t, "an undeclared error", exitFailed, "", "app: INTERNAL_ERROR: Internal error processing fail: boom (the call may have run)")
	call("Interop", "fail", "--json").check(t, "an undeclared error, raw", exitFailed,
		`{"fault":{"code":"app","type":"INTERNAL_ERROR","message":"Internal error processing fail: boom","not_executed":false}}`, "")
	call("Interop", "nope").check(t, "an unknown method", exitFailed, "", "UNKNOWN_METHOD: Unknown function nope")
	named("demo.Later", "later", `{"n":1}`).check(t, "a method the server does not know", exitFailed, "", "UNKNOWN_METHOD")

	const everything = `{"yes":true,"tiny":-5,"real":0.5,"raw":"/w==","color":"BLUE","bools":[true,false],"numbers":[1,2],"counts":{"a":5},` +
		`"colors":["RED",9],"shape":{"centre":{"x":1,"y":2,"label":"l"},"grid":[[1],[]]}}`
	o := named("Interop", "echoEverything", `{"e":`+everything+`}`, "--json")
	if o.code != 0 || !strings.Contains(o.out, `"color":"BLUE"`) || !strings.Contains(o.out, `"colors":["RED",9]`) ||
		!strings.Contains(o.out, `"raw":"/w=="`) || !strings.Contains(o.out, `"grid":[[1],[]]`) {
		t.Errorf("everything: %+v", o)
	}
	if o := named("Interop", "echoEverything", `{"e":`+everything+`}`); strings.Count(o.out, "\n") < 10 || strings.Contains(o.out, "\x1b") {
		t.Errorf("for people: %s", o.out)
	}
}

func TestMultiplexedServer(t *testing.T) {
	addr := serve(t, service{}, framed(), thrift.NewTBinaryProtocolFactoryConf(nil), true)
	bellhop(t, "", "demo.Interop", "echoString", `{"1":{"str":"x"}}`, "--addr", addr, "--prefix").check(t, "with a prefix", 0, `{"0": {"str": "x"}}`, "")
}

func TestArguments(t *testing.T) {
	addr := serve(t, service{}, framed(), thrift.NewTBinaryProtocolFactoryConf(nil), false)
	file := filepath.Join(t.TempDir(), "args.json")
	write(t, file, `{"1":{"str":"file"}}`)
	call := func(args ...string) outcomeOf {
		return bellhop(t, `{"1":{"str":"stdin"}}`, append([]string{"Interop", "echoString", "--addr", addr}, args...)...)
	}
	call("--data", "@"+file).check(t, "a file", 0, `{"0": {"str": "file"}}`, "")
	call("--data", "-").check(t, "standard input", 0, `{"0": {"str": "stdin"}}`, "")
	call("-").check(t, "standard input, short", 0, `{"0": {"str": "stdin"}}`, "")
	call("-d", `{"1":{"str":"here"}}`).check(t, "the flag", 0, `{"0": {"str": "here"}}`, "")

	call("{}", "--data", "-").check(t, "twice", exitUsage, "", "the arguments are there twice")
	call("@"+file).check(t, "a file without the flag", exitUsage, "", "write --data @")
	call("--data", "@"+file+".nope").check(t, "no file", exitUsage, "", "no such file")
	call(`{"1":{"i32":"x"}}`).check(t, "a wrong value", exitUsage, "", `argument 1: want i32, got string "x"`)
	call("--framing", "morse").check(t, "a framing", exitUsage, "", "framed-binary, framed-compact")
	call("--timeout", "-1s").check(t, "a timeout", exitUsage, "", "a call needs time")
	call("--run-dir", "/x").check(t, "two ways", exitUsage, "", "leave one out")
	call("-I", "/x").check(t, "folders without a file", exitUsage, "", "need --idl")
	call("--idl", "/nope.thrift").check(t, "no IDL", exitUsage, "", "no such file")
	call("--idl", "../idl/testdata/bad/deep.thrift").check(t, "a bad IDL", exitUsage, "", "deep.thrift:2:")
	call("--idl", interopIDL, "--idl-service", "Nope").check(t, "no service", exitUsage, "", `has no service "Nope"; it has Interop, Later: name one with --idl-service`)
	call("--idl", interopIDL, "--oneway").check(t, "not oneway", exitUsage, "", "echoString is not oneway")
	bellhop(t, "", "Interop", "ech", "--addr", addr, "--idl", interopIDL).check(t, "no method", exitUsage, "", `no method "ech"; it has ping, echoString`)
	for _, bad := range []string{"localhost", "unix:", ":x:y"} {
		bellhop(t, "", "Interop", "ping", "--addr", bad).check(t, bad, exitUsage, "", "--addr")
	}
}

// TestOSPServers: osppeer is written over Apache's library, not over our codecs.
func TestOSPServers(t *testing.T) {
	for _, framing := range []protocol.Framing{protocol.OSP, protocol.Dapeng} {
		for _, payload := range []protocol.Payload{protocol.Binary, protocol.Compact} {
			word := framing.String() + "-" + payload.String()
			t.Run(word, func(t *testing.T) {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				s := &osppeer.Server{Framing: framing, Handler: func(method string, args []byte, p protocol.Payload) ([]byte, string, string) {
					if method == "fail" {
						return nil, "Err-Core-404", "no such method"
					}
					body, err := protocol.Transcode(nil, p, protocol.Binary, args, 0)
					if err != nil || p != payload {
						return nil, "Err-Core-500", "the payload"
					}
					body[2] = 0 // field 1 becomes the result
					result, err := protocol.Transcode(nil, protocol.Binary, p, body, 0)
					if err != nil {
						return nil, "Err-Core-500", err.Error()
					}
					return result, "", ""
				}}
				done := make(chan error, 1)
				go func() { done <- s.Serve(l) }()
				t.Cleanup(func() {
					if err := errors.Join(s.Close(), <-done); err != nil {
						t.Error(err)
					}
				})
				addr := l.Addr().String()
				bellhop(t, "", "demo.Interop", "echoString", `{"1":{"str":"bob"}}`, "--addr", addr, "--framing", word).
					check(t, "a reply", 0, `{"0": {"str": "bob"}}`, "")
				bellhop(t, "", "demo.Interop", "fail", "--addr", addr, "--framing", word, "--json").check(t, "a fault", exitFailed,
					`{"fault":{"code":"app","type":"UNKNOWN_METHOD","message":"no such method","not_executed":false,"ret_code":"Err-Core-404"}}`, "")
			})
		}
	}
}

// peer answers whatever comes with bytes of the test's, and closes.
func peer(t *testing.T, answer string, hold bool) string {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	left := make(chan struct{})
	go func() {
		defer close(left)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		buf := make([]byte, 4096)
		_, _ = conn.Read(buf)
		_, _ = conn.Write([]byte(answer))
		for hold && err == nil {
			_, err = conn.Read(buf)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-left
	})
	return "unix:" + l.Addr().String()
}

func TestBadPeers(t *testing.T) {
	const head = "\x80\x01\x00\x02\x00\x00\x00\x01m\x00\x00\x00\x01"
	for _, c := range []struct{ name, answer, code, text string }{
		{"closes at once", "", `"lost"`, "closed the connection without a whole reply"},
		{"closes in the middle", "\x00\x00\x00\x20" + head, `"lost"`, "without a whole reply"},
		{"another protocol", "HTTP/1.1 400 Bad Request\r\n\r\n", `"bad_reply"`, "it begins 485454502f312e31203430302042"},
		{"a body that is cut", "\x00\x00\x00\x10" + head + "\x0b\x00\x00", `"bad_reply"`, "the reply's body"},
		{"a call for an answer", "\x00\x00\x00\x0e" + strings.Replace(head, "\x02", "\x01", 1) + "\x00", `"bad_reply"`, "a message of type 1"},
		{"an exception that is none", "\x00\x00\x00\x0e" + strings.Replace(head, "\x02", "\x03", 1) + "\x07", `"bad_reply"`, "exception that came is not well-formed"},
		{"a huge length", "\x7f\xff\xff\xff" + head, `"bad_reply"`, "the reply is no framed-binary"},
	} {
		o := bellhop(t, "", "S", "m", "--addr", peer(t, c.answer, false), "--json")
		if o.code != exitFailed || !strings.Contains(o.out, `{"fault":{"code":`+c.code) || !strings.Contains(o.out, c.text) {
			t.Errorf("%s: %+v\nwant %s, %s", c.name, o, c.code, c.text)
		}
	}
	o := bellhop(t, "", "S", "m", "--addr", peer(t, "", true), "--json", "--timeout", "50ms")
	o.check(t, "never answers", exitFailed, strings.TrimSpace(o.out), "")
	if !strings.Contains(o.out, `"code":"deadline"`) {
		t.Errorf("never answers: %s", o.out)
	}
	bellhop(t, "", "S", "m", "--addr", "unix:/nope/s").check(t, "nobody there", exitFailed, "", "unsent: TRANSPORT: dial unix /nope/s: connect: no such file or directory (the call has not run)")
	bellhop(t, "", "S", "m", "--addr", peer(t, "\x00\x00\x00\x0e"+strings.Replace(head, "\x01m\x00\x00\x00\x01", "\x01m\x00\x00\x00\x05", 1)+"\x00", false)).
		check(t, "another sequence", 0, "{}", "the reply's sequence is 5, the call's 1")
	bellhop(t, "", "S", "m", "--timeout", "20ms", "--run-dir", t.TempDir()).check(t, "no proxy", exitFailed, "", "is `bellhop local` running?")
}
