package strict

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/bellhop-mesh/bellhop/registry"
)

// MaxName bounds a name, a label or an address, in bytes.
const MaxName = 1024

// maxLabels bounds the labels of one endpoint.
const maxLabels = 64

// yamlLine finds the line in what the YAML library says of broken syntax.
var yamlLine = regexp.MustCompile(`line (\d+): `)

// Root reads a whole document; false: it could not be read, and why was reported. maxItems bounds the separators in it, and
// with them the memory of the tree, before it is built. none says what to write where an empty document was meant: an
// editor or a shell empties a file before it fills it, and that must not read as "everything is gone".
func (p *Reader) Root(data []byte, maxItems int, none string) (At, bool) {
	items := 0
	for _, sep := range []string{"\n", ",", "[", "{", "- "} {
		items += bytes.Count(data, []byte(sep))
	}
	if items > maxItems {
		p.Report.Add(p.File, 0, "", "has some %d items; the bound is %d", items, maxItems)
		return At{}, false
	}
	dec := yaml.NewDecoder(givingWay{bytes.NewReader(data)})
	var root, more yaml.Node
	if err := dec.Decode(&root); err != nil && !errors.Is(err, io.EOF) {
		p.syntax(err)
		return At{}, false
	}
	if root.Kind == 0 || len(root.Content) == 0 || root.Content[0].ShortTag() == "!!null" {
		p.Report.Add(p.File, 0, "", "is empty; %s", none)
		return At{}, false
	}
	switch err := dec.Decode(&more); {
	case err == nil:
		p.Report.Add(p.File, more.Line, "", "starts a second document after ---; keep one")
	case !errors.Is(err, io.EOF):
		p.syntax(err)
	}
	return At{Node: root.Content[0]}, true
}

// givingWay is a reader for long work on what it reads: at each read (the YAML library's are of 512 bytes) it lets others
// have the CPU. An event loop that needs one would otherwise wait until the scheduler takes it away, up to 10 ms.
type givingWay struct{ r io.Reader }

func (g givingWay) Read(b []byte) (int, error) {
	runtime.Gosched()
	return g.r.Read(b)
}

func (p *Reader) syntax(err error) {
	text, line := strings.TrimPrefix(err.Error(), "yaml: "), 0
	if m := yamlLine.FindStringSubmatchIndex(text); m != nil {
		line, _ = strconv.Atoi(text[m[2]:m[3]])
		text = text[:m[0]] + text[m[1]:]
	}
	p.Report.Add(p.File, line, "", "is not YAML: %s", text)
}

// Name checks a key that somebody chose.
func (p *Reader) Name(key *yaml.Node, v At) bool {
	why := unfit(key.Value)
	if key.Value == "" {
		why = fmt.Sprintf("has an empty name; write 1 to %d bytes", MaxName)
	}
	if why != "" {
		p.Wrong(At{key, v.Path}, "%s", why)
	}
	return why == ""
}

// Labels reads a mapping of names to texts.
func (p *Reader) Labels(a At) map[string]string {
	out := make(map[string]string)
	p.Entries(a, "a mapping of labels, like {team: shop}", func(key *yaml.Node, v At) {
		if len(out) == maxLabels {
			p.Wrong(v, "is one label more than the %d that an endpoint may have; remove some", maxLabels)
			return
		}
		if !p.Name(key, v) {
			return
		}
		if s, ok := p.Text(v, "the label's value"); ok {
			out[key.Value] = s
		}
	})
	return out
}

// Addr reads an address in its one spelling; with tcpOnly no unix socket.
func (p *Reader) Addr(into *string, tcpOnly bool) func(At) {
	return func(a At) {
		s, ok := p.Text(a, "host:port, [v6]:port or unix:/path")
		if !ok {
			return
		}
		canonical, err := registry.CanonicalAddr(s)
		if err == nil && tcpOnly && strings.HasPrefix(canonical, "unix:") {
			err = errors.New("is a unix socket, and a remote proxy is on another host; write host:port")
		}
		if err != nil {
			p.Wrong(a, "%q %v", Clip(s), err)
			return
		}
		*into = canonical
	}
}
