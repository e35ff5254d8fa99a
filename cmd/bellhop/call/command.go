package call

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bellhop-mesh/bellhop/cmd/bellhop/config"
	"github.com/bellhop-mesh/bellhop/cmd/bellhop/idl"
	"github.com/bellhop-mesh/bellhop/protocol"
)

// The exit codes beside 0.
const (
	exitFailed    = 1 // a fault, or no answer
	exitUsage     = 2
	exitException = 3 // an exception that the IDL declares
)

// Exit is an error with the exit code that the process ends with. Its text is empty when everything was told.
type Exit struct {
	Code int
	err  error
}

// Error is what is left to tell.
func (e *Exit) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

// Unwrap is the cause.
func (e *Exit) Unwrap() error { return e.err }

// ExitCode is Code.
func (e *Exit) ExitCode() int { return e.Code }

func usage(err error) error { return &Exit{Code: exitUsage, err: err} }

// flags of bellhop call.
type flags struct {
	runDir, addr, framing, data, idl, idlService, caller, version string
	include                                                       []string
	timeout                                                       time.Duration
	oneway, json, prefix                                          bool
}

// Command is `bellhop call`. Its errors are *Exit.
func Command() *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use:   "call SERVICE METHOD [ARGUMENTS]",
		Short: "Make one call and print the reply",
		Long: `Make one call and print the reply.

ARGUMENTS are JSON; - reads them from standard input, and without any the method is called with none. Without --idl they
say their types as Thrift's TJSONProtocol does, by field id: {"1":{"str":"bob"},"2":{"lst":["i32",2,10,20]}}. The types
are tf (bool: 1 or 0), i8, i16, i32, i64, dbl, str, rec (struct), map, lst, set, uid (UUID) and bin (bytes in base64;
str is always text). A map is ["str","i64",1,{"key":7}], or with a list of pairs: ["rec","i64",1,[[{},7]]].
With --idl they go by the names of the parameters, enums by theirs, binary in base64, and so does the reply.

The call goes to the proxy that the host's address file names: that of --run-dir, else $BELLHOP_ADDRESS_FILE, else that of
$BELLHOP_RUN_DIR, else /run/bellhop. With --addr it goes straight to a server.

Exit codes: 0 a reply, 1 a fault or no answer, 2 the command line, the arguments or the IDL are wrong, 3 an exception that
the IDL declares.`,
		Example: `  bellhop call demo.Greeter hello '{"1":{"str":"bob"}}'
  bellhop call demo.Greeter hello '{"name":"bob"}' --idl greeter.thrift
  bellhop call demo.Greeter hello --data @args.json --framing theader --timeout 500ms
  bellhop call demo.Greeter hello '{"1":{"str":"bob"}}' --addr 127.0.0.1:9090 --framing osp
  bellhop call demo.Greeter hello - --json < args.json | jq .result`,
		Args: cobra.RangeArgs(2, 3),
		RunE: func(c *cobra.Command, args []string) error { return run(c, f, args) },
	}
	s := c.Flags()
	s.StringVar(&f.runDir, "run-dir", "", "run `directory` of the proxy")
	s.StringVar(&f.addr, "addr", "", "call this `address` (host:port or unix:/path) and no proxy of the address file")
	s.StringVar(&f.framing, "framing", "framed-binary", "`word` for the framing: "+strings.Join(protocol.WireNames(), ", "))
	s.DurationVar(&f.timeout, "timeout", 5*time.Second, "how long the whole call may take")
	s.BoolVar(&f.oneway, "oneway", false, "don't wait for a reply (with --idl the IDL says so)")
	s.StringVarP(&f.data, "data", "d", "", "the arguments: JSON, @file, or - for standard input")
	s.BoolVar(&f.json, "json", false, "print one line: {\"result\":…}, {\"exception\":…} or {\"fault\":{code,type,message,not_executed}}")
	s.StringVar(&f.idl, "idl", "", "Thrift IDL `file`: arguments and reply by names")
	s.StringArrayVarP(&f.include, "include", "I", nil, "`folder` where the IDL's includes are, too (may be repeated)")
	s.StringVar(&f.idlService, "idl-service", "", "`name` of the service in the IDL; the last part of SERVICE without it")
	s.StringVar(&f.caller, "caller", "", "`name` this call goes by (framings with a header)")
	s.StringVar(&f.version, "service-version", "", "`version` of the service that is asked for (framings with a header)")
	s.BoolVar(&f.prefix, "prefix", true, "name the service before the method where a framing has no header; with --addr only when asked for")
	return c
}

// job is a call as the command line says it.
type job struct {
	request
	method *idl.Method // nil without an IDL
	link   link
	json   bool
}

func run(c *cobra.Command, f flags, args []string) error {
	text, err := f.arguments(args[2:], c.Flags().Changed("data"), c.InOrStdin())
	if err != nil {
		return usage(err)
	}
	j := &job{json: f.json}
	if err := j.prepare(f, args[0], args[1], text, c.Flags().Changed("prefix")); err != nil {
		return usage(err)
	}
	if err := j.connect(f); err != nil {
		return usage(err)
	}
	done := make(chan reply, 1)
	go func() {
		defer j.link.close()
		done <- j.exchange(context.WithoutCancel(c.Context()), j.link)
	}()
	select {
	case r := <-done:
		return j.show(r, c.OutOrStdout(), c.ErrOrStderr())
	case <-c.Context().Done(): // the process ends, and the call's connection with it
		return &Exit{Code: exitFailed, err: errors.New("interrupted: the call may run all the same")}
	}
}

// prepare reads the arguments for the method.
func (j *job) prepare(f flags, service, method string, text []byte, prefixSaid bool) error {
	wire, err := protocol.ParseWire(f.framing)
	if err != nil {
		return fmt.Errorf("--framing: %w", err)
	}
	if f.timeout <= 0 {
		return fmt.Errorf("--timeout %v: a call needs time", f.timeout)
	}
	if method == "" {
		return errors.New("METHOD is empty")
	}
	j.request = request{
		wire: wire, service: service, method: method, version: f.version, caller: f.caller, oneway: f.oneway,
		prefix: f.prefix && service != "" && (f.addr == "" || prefixSaid), timeout: f.timeout, maxFrame: protocol.DefaultMaxFrame,
	}
	if f.idl == "" {
		if len(f.include) > 0 || f.idlService != "" {
			return errors.New("--include and --idl-service need --idl FILE.thrift")
		}
		j.body, err = encodeTyped(text, j.maxFrame)
		return err
	}
	if j.method, err = findMethod(f, service, method); err != nil {
		return err
	}
	if f.oneway && !j.method.Oneway {
		return fmt.Errorf("--oneway: %s is not oneway in %s", method, f.idl)
	}
	j.oneway = j.method.Oneway
	j.body, err = encodeNamed(text, j.method.Args, j.maxFrame)
	return err
}

func findMethod(f flags, service, method string) (*idl.Method, error) {
	p, err := idl.Load(f.idl, f.include)
	if err != nil {
		return nil, err
	}
	name := f.idlService
	if name == "" {
		name = service[strings.LastIndexByte(service, '.')+1:]
	}
	s, err := p.Service(name)
	if err != nil {
		return nil, fmt.Errorf("%w: name one with --idl-service", err)
	}
	m := s.Method(method)
	if m == nil {
		return nil, fmt.Errorf("%s: the service %s has no method %q; it has %s", f.idl, s.Name, method, listed(s.Methods()))
	}
	return m, nil
}

// connect picks the way. OSP and dapeng can't say that nobody waits: their reply is awaited.
func (j *job) connect(f flags) (err error) {
	if j.wire.Framing == protocol.OSP || j.wire.Framing == protocol.Dapeng {
		j.oneway = false
	}
	if f.addr != "" {
		if f.runDir != "" {
			return errors.New("--addr and --run-dir name two ways: leave one out")
		}
		j.link, err = parseAddr(f.addr)
		return err
	}
	j.link, err = openFile(addressFile(f.runDir), f.timeout, j.maxFrame)
	return err
}

// addressFile is the address file to use; "" leaves it to package client, which knows BELLHOP_ADDRESS_FILE.
func addressFile(runDir string) string {
	if runDir == "" && os.Getenv("BELLHOP_ADDRESS_FILE") == "" {
		runDir = os.Getenv(config.RunDirEnv)
	}
	if runDir == "" {
		return ""
	}
	return filepath.Join(runDir, "pub", "address")
}

// maxInput bounds what is read as arguments, in bytes: a string of control characters takes six bytes for one.
const maxInput = 6 * protocol.DefaultMaxFrame

// arguments reads the JSON from where the command line says.
func (f *flags) arguments(args []string, dataSaid bool, stdin io.Reader) ([]byte, error) {
	data := f.data
	switch {
	case len(args) > 0 && dataSaid:
		return nil, errors.New("the arguments are there twice: leave out --data or the third word")
	case len(args) > 0:
		if data = args[0]; strings.HasPrefix(data, "@") {
			return nil, fmt.Errorf("%s: write --data %s", data, data)
		}
	case !dataSaid:
		return []byte("{}"), nil
	}
	switch {
	case data == "-":
		return readAll(stdin, "standard input")
	case strings.HasPrefix(data, "@"):
		file, err := os.Open(data[1:])
		if err != nil {
			return nil, err
		}
		defer file.Close()
		return readAll(file, data[1:])
	}
	return []byte(data), nil
}

func readAll(r io.Reader, name string) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err == nil && len(b) > maxInput {
		err = fmt.Errorf("more than %d MiB", maxInput>>20)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return b, nil
}
