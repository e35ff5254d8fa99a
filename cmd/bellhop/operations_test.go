package main

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/cmd/bellhop/config"
	"github.com/bellhop-mesh/bellhop/protocol"
)

// section returns the rows of the first table under a heading of docs/operations.md, as cells.
func section(t *testing.T, heading string) [][]string {
	t.Helper()
	b, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(b), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("no section %q", heading)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	var rows [][]string
	for _, l := range strings.Split(rest, "\n") {
		if strings.HasPrefix(l, "| `") {
			cells := strings.Split(strings.Trim(l, "| "), " | ")
			for i := range cells {
				cells[i] = strings.Trim(cells[i], "` |")
			}
			rows = append(rows, cells)
		}
	}
	if len(rows) == 0 {
		t.Fatalf("no table in section %q", heading)
	}
	return rows
}

// same compares what is documented with what there is.
func same(t *testing.T, what string, documented [][]string, have map[string]string) {
	t.Helper()
	seen := map[string]bool{}
	for _, row := range documented {
		if seen[row[0]] {
			t.Errorf("%s %s is documented twice", what, row[0])
		}
		seen[row[0]] = true
		if want, ok := have[row[0]]; !ok {
			t.Errorf("%s %s is documented and does not exist", what, row[0])
		} else if got := strings.Join(row[1:], " | "); want != "" && !strings.HasPrefix(got, want) {
			t.Errorf("%s %s: documented as %q, it is %q", what, row[0], got, want)
		}
	}
	for name := range have {
		if !seen[name] {
			t.Errorf("%s %s is not documented", what, name)
		}
	}
}

// thriftTypes are the names of Thrift's own TApplicationException types.
var thriftTypes = map[int32]string{
	protocol.AppUnknown: "UNKNOWN", protocol.AppUnknownMethod: "UNKNOWN_METHOD", protocol.AppInternalError: "INTERNAL_ERROR",
	protocol.AppProtocolError: "PROTOCOL_ERROR", protocol.AppInvalidTransform: "INVALID_TRANSFORM",
	protocol.AppInvalidProtocol: "INVALID_PROTOCOL", protocol.AppUnsupportedClient: "UNSUPPORTED_CLIENT_TYPE",
	protocol.AppLoadshedding: "LOADSHEDDING", protocol.AppTimeout: "TIMEOUT",
}

func TestFaultCodesDocumented(t *testing.T) {
	yes := map[bool]string{true: "yes", false: "no"}
	have := map[string]string{}
	for c := protocol.CodeOK; int(c) < protocol.NumCodes; c++ {
		typ := thriftTypes[c.AppType()]
		if c == protocol.CodeOK {
			typ = "–"
		}
		have[c.String()] = fmt.Sprintf("%s | %s | %s | %s | ", typ, c.RetCode(), yes[!c.NotExecuted()], yes[c.Retry()])
	}
	rows := section(t, "Fault codes")
	for _, row := range rows {
		if len(row) > 2 {
			row[2] = strings.Trim(row[2], "`")
		}
	}
	same(t, "fault code", rows, have)
}

// TestCloseReasonsDocumented reads the reasons out of package proxy's source: they are not exported.
func TestCloseReasonsDocumented(t *testing.T) {
	files, err := filepath.Glob("../../proxy/*.go")
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]string{}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok || v.Type == nil || fmt.Sprint(v.Type) != "closeReason" {
				return true
			}
			for _, x := range v.Values {
				if s, err := strconv.Unquote(x.(*ast.BasicLit).Value); err == nil {
					have[s] = ""
				}
			}
			return true
		})
	}
	same(t, "close reason", section(t, "Close reasons"), have)
}

// TestBoundsDocumented: every bound of the data plane is there, every key exists, every metric is documented below.
func TestBoundsDocumented(t *testing.T) {
	keys := map[string]bool{}
	for _, k := range config.Keys() {
		keys[k.Path] = true
	}
	documented, metrics := map[string]bool{}, map[string]bool{}
	for _, heading := range []string{"Metrics", "Metrics of an ensemble", "Metrics of Kubernetes"} {
		for _, row := range section(t, heading) {
			metrics[row[0]] = true
		}
	}
	name := regexp.MustCompile("bellhop_[a-z_]+")
	for _, row := range section(t, "Bounds") {
		documented[row[0]] = true
		if !keys[row[0]] {
			t.Errorf("bound %s is no key", row[0])
		}
		for _, m := range name.FindAllString(strings.Join(row, " "), -1) {
			if !metrics[m] {
				t.Errorf("bound %s: metric %s is not in the table of metrics", row[0], m)
			}
		}
	}
	for k := range keys {
		if strings.HasPrefix(k, "limits.") && !documented[k] {
			t.Errorf("bound %s is not documented", k)
		}
	}
}

// TestMetricsDocumented compares with a running proxy.
func TestMetricsDocumented(t *testing.T) {
	h := newHost(t)
	h.write("services.d/demo.yaml", "services:\n  demo.Echo: {framing: osp, endpoints: ["+echoServer(t, nil)+"]}\n")
	h.write("rules.yaml", "version: 1\nrules: [{name: all, limit: {concurrency: 1000}}]\n")
	begin(t, "local", "-c", h.quick("local", "rules: {path: "+h.path("rules.yaml")+"}"))
	if _, err := h.caller("local", h.await("local", serving)).Call("demo.Echo", "say", argument, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	_, text := h.get("local", "/metrics")
	metricsAre(t, text, "Metrics", func(string) bool { return true })
}

// metricsAre compares those of a scrape's metrics that it is about with the table of a section.
func metricsAre(t *testing.T, text, heading string, about func(name string) bool) {
	t.Helper()
	have := map[string]string{}
	series := regexp.MustCompile(`^(bellhop_[a-z_]+)(?:\{(.*)\})? `)
	label := regexp.MustCompile(`([a-z]+)="[^"]*"`)
	for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
		m := series.FindStringSubmatch(s.Text())
		if m == nil || !about(m[1]) {
			continue
		}
		for _, tail := range []string{"_bucket", "_sum", "_count"} {
			if base, ok := strings.CutSuffix(m[1], tail); ok && strings.Contains(text, "# TYPE "+base+" histogram") {
				m[1] = base
			}
		}
		if _, known := have[m[1]]; !known {
			have[m[1]] = ""
		}
		for _, l := range label.FindAllStringSubmatch(m[2], -1) {
			if l[1] != "le" && !strings.Contains(have[m[1]], l[1]) {
				have[m[1]] += l[1] + " "
			}
		}
	}
	documented := map[string]bool{}
	for _, row := range section(t, heading) {
		documented[row[0]] = true
		got, ok := have[row[0]]
		// Those with one label of these appear once something was counted; package admin compares them.
		if !ok && row[1] != "reason" && row[1] != "code" && row[1] != "framing" && row[1] != "class" {
			t.Errorf("metric %s is documented and does not exist", row[0])
		}
		for _, l := range strings.Fields(got) {
			if !strings.Contains(row[1], l) {
				t.Errorf("metric %s: label %s is not documented", row[0], l)
			}
		}
	}
	for name := range have {
		if !documented[name] {
			t.Errorf("metric %s is not documented", name)
		}
	}
}

// TestCommandsDocumented: every command is in the table of processes, every path of the admin side in that of paths.
func TestCommandsDocumented(t *testing.T) {
	text := func(heading string) (out string) {
		for _, row := range section(t, heading) {
			out += "\n" + strings.Join(row, " ")
		}
		return out
	}
	commands := text("Processes")
	for _, c := range newRoot().Commands() {
		if name := c.Name(); name != "help" && name != "completion" && !strings.Contains(commands, "\nbellhop "+name) {
			t.Errorf("bellhop %s is not documented", name)
		}
		for _, sub := range c.Commands() {
			if !sub.Hidden && !regexp.MustCompile("\nbellhop "+c.Name()+"[^\n]*\\b"+sub.Name()+"\\b").MatchString(commands) {
				t.Errorf("bellhop %s %s is not documented", c.Name(), sub.Name())
			}
		}
	}
	b, err := os.ReadFile("admin/admin.go")
	if err != nil {
		t.Fatal(err)
	}
	paths := text("The admin side")
	found := regexp.MustCompile(`"(GET|POST) (/[a-z]+)`).FindAllStringSubmatch(string(b), -1)
	if len(found) < 10 {
		t.Fatalf("%d paths", len(found))
	}
	for _, p := range found {
		if !strings.Contains(paths, "\n"+p[2]) || p[1] == "POST" && !strings.Contains(paths, "POST "+p[2]) {
			t.Errorf("%s %s is not documented", p[1], p[2])
		}
	}
}
