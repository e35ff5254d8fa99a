package call

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// TestThroughBellhop: the built binary, a proxy of it, and a call by the address file in every framing.
func TestThroughBellhop(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds and runs the whole program")
	}
	dir := t.TempDir()
	exe := filepath.Join(dir, "bellhop")
	if out, err := exec.Command("go", "build", "-o", exe, "github.com/bellhop-mesh/bellhop/cmd/bellhop").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	s := service{told: make(chan string, 1)}
	addr := serve(t, s, framed(), thrift.NewTBinaryProtocolFactoryConf(nil), false)
	services, run := filepath.Join(dir, "services.yaml"), filepath.Join(dir, "run")
	write(t, services, fmt.Sprintf("services:\n  demo.Interop:\n    endpoints: [%q]\n", addr))
	write(t, filepath.Join(dir, "local.yaml"), "listeners:\n  - {net: unix, addr: call.sock}\nregistry:\n  path: "+services+"\n")
	local := exec.Command(exe, "local", "-c", filepath.Join(dir, "local.yaml"), "--run-dir", run)
	var log bytes.Buffer
	local.Stdout, local.Stderr = &log, &log
	if err := local.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = local.Process.Signal(syscall.SIGTERM)
		if err := local.Wait(); err != nil {
			t.Errorf("bellhop local: %v\n%s", err, &log)
		}
	})

	// The first call waits for the address file, as every guest does.
	call := func(args ...string) outcomeOf {
		cmd := exec.Command(exe, append([]string{"call", "--run-dir", run, "--timeout", "20s"}, args...)...)
		var out, errOut bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errOut
		_ = cmd.Run() // ProcessState tells
		return outcomeOf{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
	}
	for _, word := range protocol.WireNames() {
		if word == "binary-lax" { // the first bytes don't tell it: such listeners are pinned
			continue
		}
		call("demo.Interop", "echoString", `{"1":{"str":"bob"}}`, "--framing", word).check(t, word, 0, `{"0": {"str": "bob"}}`, "")
	}
	call("demo.Interop", "divide", `{"a":1,"b":0}`, "--idl", interopIDL, "--json").check(t, "an exception", exitException,
		`{"exception":{"name":"InvalidOperation","value":{"code":7,"why":"by zero","details":{"a":"1"}}}}`, "")
	call("demo.Interop", "notify", `{"key":"k"}`, "--idl", interopIDL).check(t, "oneway", 0, "", "a oneway has no reply")
	if got := <-s.told; got != "k" {
		t.Errorf("the server was told %q", got)
	}
	for word, want := range map[string]string{
		"framed-binary": `{"fault":{"code":"app","type":"UNKNOWN_METHOD"`, "theader": `{"fault":{"code":"not_executed","type":"UNKNOWN_METHOD"`,
		"ttheader": `{"fault":{"code":"not_executed"`, "osp": `{"fault":{"code":"not_executed"`, "dapeng": `{"fault":{"code":"not_executed"`,
	} {
		o := call("demo.Nobody", "ping", "--framing", word, "--json")
		if o.code != exitFailed || !strings.HasPrefix(o.out, want) {
			t.Errorf("%s: a service that nobody knows: %+v, want %s…", word, o, want)
		}
	}
	call("demo.Interop", "ping", "--timeout", "x").check(t, "a flag", exitUsage, "", "see bellhop call --help")
	call("demo.Interop").check(t, "too few words", exitUsage, "", "see bellhop call --help")
	call("demo.Interop", "ping", "{").check(t, "bad JSON", exitUsage, "", "the JSON ends too early")

	cmd := exec.Command(exe, "call", "demo.Interop", "echoString", "-")
	cmd.Stdin = strings.NewReader(`{"1":{"str":"env"}}`)
	cmd.Env = append(os.Environ(), "BELLHOP_RUN_DIR="+run, "BELLHOP_ADDRESS_FILE=")
	if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != `{"0": {"str": "env"}}` {
		t.Errorf("by $BELLHOP_RUN_DIR: %v %s", err, out)
	}
	cmd = exec.Command(exe, "call", "demo.Interop", "ping", "--json")
	cmd.Env = append(os.Environ(), "BELLHOP_RUN_DIR=/nope", "BELLHOP_ADDRESS_FILE="+filepath.Join(run, "pub", "address"))
	if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != `{"result":{}}` {
		t.Errorf("by $BELLHOP_ADDRESS_FILE: %v %s", err, out)
	}
}
