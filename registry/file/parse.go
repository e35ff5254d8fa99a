package file

import (
	"fmt"
	"runtime"

	"go.yaml.in/yaml/v3"

	"github.com/bellhop-mesh/bellhop/registry"
	"github.com/bellhop-mesh/bellhop/registry/strict"
)

// The bounds. They are far beyond any registry that was meant.
const (
	maxBytes     = 64 << 20  // of one file, and of all files of a folder together
	maxItems     = 8_000_000 // separators in a file: bounds the memory of the tree before it is built
	maxEndpoints = 100_000
	maxRemotes   = 10_000
	maxFiles     = 10_000
)

// parser reads one document.
type parser struct {
	strict.Reader
	hooks hooks
	room  *room
}

type at = strict.At

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

// parse reads one file's content. What is wrong goes to p.Report.
func (p *parser) parse(data []byte) document {
	var doc document
	root, ok := p.Root(data, maxItems, "to say that there are no services, write services: {}")
	if !ok {
		return doc
	}
	p.Mapping(root, "a mapping with services and remotes", strict.Fields{
		strict.Key("services", func(a at) { p.services(a, &doc) }),
		strict.Key("remotes", func(a at) { p.remotes(a, &doc) }),
	})
	return doc
}

func (p *parser) services(a at, doc *document) {
	p.Entries(a, "a mapping of services, or {} for none", func(key *yaml.Node, v at) {
		if !p.Name(key, v) {
			return
		}
		before := p.Report.Len()
		s := p.service(key.Value, v)
		if p.Report.Len() == before && p.hooks.service != nil {
			if err := p.hooks.service(s); err != nil {
				p.Wrong(at{Node: key, Path: v.Path}, "%v", err)
			}
		}
		doc.services = append(doc.services, placed{s, p.File, key.Line})
	})
}

func (p *parser) service(name string, a at) *registry.Service {
	s := &registry.Service{Name: name}
	var seqid at
	p.Mapping(a, "a mapping of settings and endpoints, or {}", append(p.Settings(s, 0, p.hooks.framing), strict.Fields{
		strict.Key("seqid", func(v at) { seqid = v; p.Word(&s.SeqID, "echo", "positional")(v) }),
		strict.Key("ordered", p.Boolean(&s.Ordered)),
		strict.Key("keep_prefix", p.Boolean(&s.KeepPrefix)),
		strict.Key("remote", p.Boolean(&s.Remote)),
		strict.Key("endpoints", func(v at) { s.Endpoints = p.endpoints(v) }),
	}...))
	if s.SeqID == "positional" && s.Mode == "multiplexed" {
		p.Wrong(seqid, "is positional, and the mode is multiplexed, where only the sequence tells replies apart; write mode: exclusive, or seqid: echo")
	}
	return s
}

func (p *parser) endpoints(a at) []registry.Endpoint {
	var out []registry.Endpoint
	lines := make(map[string]int)
	p.List(a, "a list of endpoints, like [127.0.0.1:9090], or [] for none", func(i int, v at) {
		if i%16 == 0 {
			runtime.Gosched() // as givingWay
		}
		if p.room.endpoints == 0 {
			if !p.room.full {
				p.room.full = true
				p.Wrong(v, "is beyond the bound of %d endpoints; list fewer", maxEndpoints)
			}
			return
		}
		p.room.endpoints--
		e, where := p.endpoint(v)
		if e.Addr == "" {
			return
		}
		if first, twice := lines[e.Addr]; twice {
			p.Wrong(where, "is %q again, which line %d has; keep one of the two, with a weight", e.Addr, first)
			return
		}
		lines[e.Addr] = where.Node.Line
		out = append(out, e)
	})
	return out
}

// endpoint reads the short form, an address alone, or the long one. It also returns where the address stands.
func (p *parser) endpoint(a at) (registry.Endpoint, at) {
	var e registry.Endpoint
	if a.Node.Kind == yaml.ScalarNode {
		p.Addr(&e.Addr, false)(a)
		return e, a
	}
	var where at
	ok := p.Mapping(a, "an address, or a mapping with addr", strict.Fields{
		strict.Key("addr", func(v at) { where = v; p.Addr(&e.Addr, false)(v) }),
		strict.Key("weight", p.Integer(&e.Weight, 0, 1000)),
		strict.Key("zone", p.String(&e.Zone, "the name of a zone")),
		strict.Key("host", p.String(&e.Host, "the name of a host")),
		strict.Key("version", p.String(&e.Version, "a version")),
		strict.Key("labels", func(v at) { e.Labels = p.Labels(v) }),
		strict.Key("framing", p.Judged(&e.Framing, "the name of a framing, like framed-binary", p.hooks.framing)),
	})
	if ok && where.Node == nil {
		p.Wrong(a, "has no addr; write addr: host:port, [v6]:port or unix:/path")
	}
	return e, where
}

func (p *parser) remotes(a at, doc *document) {
	lines := make(map[string]int)
	p.List(a, "a list of remote proxies, like [10.0.0.7:7300], or [] for none", func(_ int, v at) {
		if p.room.remotes == 0 {
			p.Wrong(v, "is beyond the bound of %d remote proxies; list fewer", maxRemotes)
			return
		}
		p.room.remotes--
		r, where := p.remote(v)
		if r.Addr == "" {
			return
		}
		if first, twice := lines[r.Addr]; twice {
			p.Wrong(where, "is %q again, which line %d has; keep one of the two", r.Addr, first)
			return
		}
		lines[r.Addr] = where.Node.Line
		doc.remotes = append(doc.remotes, r)
	})
}

func (p *parser) remote(a at) (registry.Remote, at) {
	var r registry.Remote
	if a.Node.Kind == yaml.ScalarNode {
		p.Addr(&r.Addr, true)(a)
		return r, a
	}
	var where at
	ok := p.Mapping(a, "an address, or a mapping with addr", strict.Fields{
		strict.Key("addr", func(v at) { where = v; p.Addr(&r.Addr, true)(v) }),
		strict.Key("zone", p.String(&r.Zone, "the name of a zone")),
		strict.Key("weight", p.Integer(&r.Weight, 0, 1000)),
	})
	if ok && where.Node == nil {
		p.Wrong(a, "has no addr; write addr: host:port")
	}
	return r, where
}

// unite puts the documents of a folder together. A service may be defined in one place only; a remote proxy may be
// listed by the operator and by itself, and counts once, as it stood first.
func unite(docs []document, out *strict.Report) registry.Update {
	u := registry.Update{Services: make(map[string]*registry.Service)}
	where := make(map[string]placed)
	remotes := make(map[string]bool)
	for _, d := range docs {
		for _, s := range d.services {
			name := s.service.Name
			if first, twice := where[name]; twice {
				out.Add(s.file, s.line, at{}.Child("services", nil).Child(name, nil).Path,
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
