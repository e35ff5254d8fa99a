package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/bellhop-mesh/bellhop/registry"
)

// The bounds. They are far beyond any registry that was meant.
const (
	maxBytes     = 64 << 20  // of one file, and of all files of a folder together
	maxItems     = 8_000_000 // separators in a file: bounds the memory of the tree before it is built
	maxEndpoints = 100_000
	maxRemotes   = 10_000
	maxFiles     = 10_000
	maxLabels    = 64   // of one endpoint
	maxName      = 1024 // bytes of a name, a label or an address
	maxPool      = 1_000_000
	maxDepth     = 65_536
	minTimeout   = time.Millisecond
	maxTimeout   = time.Hour
)

// hooks check what this package may not know.
type hooks struct {
	framing func(word string) error
	service func(*registry.Service) error
}

// room is what the bounds leave for the files still to come. It is shared by the files of a folder.
type room struct {
	endpoints, remotes int
	full               bool // said once
}

// document is one file, read.
type document struct {
	services []placed
	remotes  []registry.Remote
}

// placed is a service and where it was defined.
type placed struct {
	service *registry.Service
	file    string
	line    int
}

// yamlLine finds the line in what the YAML library says of broken syntax.
var yamlLine = regexp.MustCompile(`line (\d+): `)

// parse reads one file's content. What is wrong goes to p.out.
func (p *parser) parse(data []byte) document {
	var doc document
	items := 0
	for _, sep := range []string{"\n", ",", "[", "{", "- "} {
		items += bytes.Count(data, []byte(sep))
	}
	if items > maxItems {
		p.out.add(p.file, 0, "", "has some %d items; the bound is %d", items, maxItems)
		return doc
	}
	dec := yaml.NewDecoder(givingWay{bytes.NewReader(data)})
	var root, more yaml.Node
	if err := dec.Decode(&root); err != nil && !errors.Is(err, io.EOF) {
		p.syntax(err)
		return doc
	}
	if root.Kind == 0 || len(root.Content) == 0 || root.Content[0].ShortTag() == "!!null" {
		// An editor or a shell empties a file before it fills it: that must not read as "all services are gone".
		p.out.add(p.file, 0, "", "is empty; to say that there are no services, write services: {}")
		return doc
	}
	switch err := dec.Decode(&more); {
	case err == nil:
		p.out.add(p.file, more.Line, "", "starts a second document after ---; keep one document, or use two files in a folder")
	case !errors.Is(err, io.EOF):
		p.syntax(err)
	}
	p.mapping(at{node: root.Content[0]}, "a mapping with services and remotes", fields{
		{"services", func(a at) { p.services(a, &doc) }},
		{"remotes", func(a at) { p.remotes(a, &doc) }},
	})
	return doc
}

// givingWay is a reader for long work on what it reads: at each read (the YAML library's are of 512 bytes) it lets others
// have the CPU. An event loop that needs one would otherwise wait until the scheduler takes it away, up to 10 ms.
type givingWay struct{ r io.Reader }

func (g givingWay) Read(b []byte) (int, error) {
	runtime.Gosched()
	return g.r.Read(b)
}

func (p *parser) syntax(err error) {
	text, line := strings.TrimPrefix(err.Error(), "yaml: "), 0
	if m := yamlLine.FindStringSubmatchIndex(text); m != nil {
		line, _ = strconv.Atoi(text[m[2]:m[3]])
		text = text[:m[0]] + text[m[1]:]
	}
	p.out.add(p.file, line, "", "is not YAML: %s", text)
}

func (p *parser) services(a at, doc *document) {
	p.entries(a, "a mapping of services, or {} for none", func(key *yaml.Node, v at) {
		if !p.name(key, v) {
			return
		}
		before := len(p.out.list) + p.out.dropped
		s := p.service(key.Value, v)
		if len(p.out.list)+p.out.dropped == before && p.hooks.service != nil {
			if err := p.hooks.service(s); err != nil {
				p.wrong(at{key, v.path}, "%v", err)
			}
		}
		doc.services = append(doc.services, placed{s, p.file, key.Line})
	})
}

// name checks a key that somebody chose.
func (p *parser) name(key *yaml.Node, v at) bool {
	why := unfit(key.Value)
	if key.Value == "" {
		why = fmt.Sprintf("has an empty name; write 1 to %d bytes", maxName)
	}
	if why != "" {
		p.wrong(at{key, v.path}, "%s", why)
	}
	return why == ""
}

func (p *parser) service(name string, a at) *registry.Service {
	s := &registry.Service{Name: name}
	var seqid at
	p.mapping(a, "a mapping of settings and endpoints, or {}", fields{
		{"framing", p.framing(&s.Framing)},
		{"mode", p.word(&s.Mode, "exclusive", "multiplexed", "per-call")},
		{"balancer", p.word(&s.Balancer, "least-active", "round-robin", "random", "p2c")},
		{"timeout", p.duration(&s.Timeout, minTimeout, maxTimeout)},
		{"seqid", func(v at) { seqid = v; p.word(&s.SeqID, "echo", "positional")(v) }},
		{"ordered", p.boolean(&s.Ordered)},
		{"keep_prefix", p.boolean(&s.KeepPrefix)},
		{"oneway", p.names(&s.Oneway, "method")},
		{"idempotent", p.names(&s.Idempotent, "method")},
		{"max_connections", p.integer(&s.MaxConns, 0, maxPool)},
		{"max_pending", p.integer(&s.MaxPending, 0, maxPool)},
		{"depth", p.integer(&s.Depth, 0, maxDepth)},
		{"remote", p.boolean(&s.Remote)},
		{"endpoints", func(v at) { s.Endpoints = p.endpoints(v) }},
	})
	if s.SeqID == "positional" && s.Mode == "multiplexed" {
		p.wrong(seqid, "is positional, and the mode is multiplexed, where only the sequence tells replies apart; write mode: exclusive, or seqid: echo")
	}
	return s
}

// framing reads a framing word; the codecs know which there are.
func (p *parser) framing(into *string) func(at) {
	return func(a at) {
		s, ok := p.text(a, "the name of a framing, like framed-binary")
		if !ok {
			return
		}
		if p.hooks.framing != nil {
			if err := p.hooks.framing(s); err != nil {
				p.wrong(a, "%v", err)
				return
			}
		}
		*into = s
	}
}

func (p *parser) endpoints(a at) []registry.Endpoint {
	var out []registry.Endpoint
	lines := make(map[string]int)
	p.list(a, "a list of endpoints, like [127.0.0.1:9090], or [] for none", func(i int, v at) {
		if i%16 == 0 {
			runtime.Gosched() // as givingWay
		}
		if p.room.endpoints == 0 {
			if !p.room.full {
				p.room.full = true
				p.wrong(v, "is beyond the bound of %d endpoints; list fewer", maxEndpoints)
			}
			return
		}
		p.room.endpoints--
		e, where := p.endpoint(v)
		if e.Addr == "" {
			return
		}
		if first, twice := lines[e.Addr]; twice {
			p.wrong(where, "is %q again, which line %d has; keep one of the two, with a weight", e.Addr, first)
			return
		}
		lines[e.Addr] = where.node.Line
		out = append(out, e)
	})
	return out
}

// endpoint reads the short form, an address alone, or the long one. It also returns where the address stands.
func (p *parser) endpoint(a at) (registry.Endpoint, at) {
	var e registry.Endpoint
	if a.node.Kind == yaml.ScalarNode {
		p.addr(&e.Addr, false)(a)
		return e, a
	}
	var where at
	ok := p.mapping(a, "an address, or a mapping with addr", fields{
		{"addr", func(v at) { where = v; p.addr(&e.Addr, false)(v) }},
		{"weight", p.integer(&e.Weight, 0, 1000)},
		{"zone", p.string(&e.Zone, "the name of a zone")},
		{"host", p.string(&e.Host, "the name of a host")},
		{"version", p.string(&e.Version, "a version")},
		{"labels", func(v at) { e.Labels = p.labels(v) }},
		{"framing", p.framing(&e.Framing)},
	})
	if ok && where.node == nil {
		p.wrong(a, "has no addr; write addr: host:port, [v6]:port or unix:/path")
	}
	return e, where
}

func (p *parser) labels(a at) map[string]string {
	out := make(map[string]string)
	p.entries(a, "a mapping of labels, like {team: shop}", func(key *yaml.Node, v at) {
		if len(out) == maxLabels {
			p.wrong(v, "is one label more than the %d that an endpoint may have; remove some", maxLabels)
			return
		}
		if !p.name(key, v) {
			return
		}
		if s, ok := p.text(v, "the label's value"); ok {
			out[key.Value] = s
		}
	})
	return out
}

func (p *parser) addr(into *string, tcpOnly bool) func(at) {
	return func(a at) {
		s, ok := p.text(a, "host:port, [v6]:port or unix:/path")
		if !ok {
			return
		}
		canonical, err := registry.CanonicalAddr(s)
		if err == nil && tcpOnly && strings.HasPrefix(canonical, "unix:") {
			err = errors.New("is a unix socket, and a remote proxy is on another host; write host:port")
		}
		if err != nil {
			p.wrong(a, "%q %v", clip(s), err)
			return
		}
		*into = canonical
	}
}

func (p *parser) remotes(a at, doc *document) {
	lines := make(map[string]int)
	p.list(a, "a list of remote proxies, like [10.0.0.7:7300], or [] for none", func(_ int, v at) {
		if p.room.remotes == 0 {
			p.wrong(v, "is beyond the bound of %d remote proxies; list fewer", maxRemotes)
			return
		}
		p.room.remotes--
		r, where := p.remote(v)
		if r.Addr == "" {
			return
		}
		if first, twice := lines[r.Addr]; twice {
			p.wrong(where, "is %q again, which line %d has; keep one of the two", r.Addr, first)
			return
		}
		lines[r.Addr] = where.node.Line
		doc.remotes = append(doc.remotes, r)
	})
}

func (p *parser) remote(a at) (registry.Remote, at) {
	var r registry.Remote
	if a.node.Kind == yaml.ScalarNode {
		p.addr(&r.Addr, true)(a)
		return r, a
	}
	var where at
	ok := p.mapping(a, "an address, or a mapping with addr", fields{
		{"addr", func(v at) { where = v; p.addr(&r.Addr, true)(v) }},
		{"zone", p.string(&r.Zone, "the name of a zone")},
		{"weight", p.integer(&r.Weight, 0, 1000)},
	})
	if ok && where.node == nil {
		p.wrong(a, "has no addr; write addr: host:port")
	}
	return r, where
}

// unite puts the documents of a folder together. A service may be defined in one place only; a remote proxy may be
// listed by the operator and by itself, and counts once, as it stood first.
func unite(docs []document, out *problems) registry.Update {
	u := registry.Update{Services: make(map[string]*registry.Service)}
	where := make(map[string]placed)
	remotes := make(map[string]bool)
	for _, d := range docs {
		for _, s := range d.services {
			name := s.service.Name
			if first, twice := where[name]; twice {
				out.add(s.file, s.line, at{}.child("services", nil).child(name, nil).path,
					"is defined a second time; the first is %s; keep one of the two", fmt.Sprintf("%s:%d", first.file, first.line))
				continue
			}
			where[name] = s
			u.Services[name] = s.service
		}
		for _, r := range d.remotes {
			if !remotes[r.Addr] {
				remotes[r.Addr] = true
				u.Remotes = append(u.Remotes, r)
			}
		}
	}
	return u
}
