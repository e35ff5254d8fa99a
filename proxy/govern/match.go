package govern

// Source is what is known of who calls.
type Source struct {
	Key       string
	Workload  string
	Namespace string
	Unit      string
	PodLabels map[string]string
}

// Call is what only the call itself can tell: views into its frame, valid while it is looked at.
type Call struct {
	Version []byte
	Caller  []byte // the name that it claims
	Header  Header // nil: it has none
}

// Header is the header keys and cookies of a call.
type Header interface {
	Find(key string) (value []byte, ok bool)
}

// Match says which calls a rule speaks of. The zero Match is every call.
type Match struct {
	Condition
	Not []Condition // a call of which all that one of them says is true is not meant
}

// Condition is a set of demands on a call: all must be met. Where it says nothing, everything does.
type Condition struct {
	Service, Method                   Patterns
	Source, Namespace, Workload, Unit Patterns
	PodLabels                         []Named
	Version, Caller                   Patterns
	Header                            []Named
}

// Named is a demand on the value of a label, a header key or a cookie.
type Named struct {
	Key string
	Patterns
}

// dynamic reports whether it depends on what only the call tells.
func (c *Condition) dynamic() bool {
	return len(c.Version) > 0 || len(c.Caller) > 0 || len(c.Header) > 0
}

// empty reports whether it demands nothing.
func (c *Condition) empty() bool {
	return !c.dynamic() && len(c.Service) == 0 && len(c.Method) == 0 && len(c.Source) == 0 && len(c.Namespace) == 0 &&
		len(c.Workload) == 0 && len(c.Unit) == 0 && len(c.PodLabels) == 0
}

// Empty reports whether the condition demands nothing: it is met by every call.
func (c *Condition) Empty() bool { return c.empty() }

// unmet returns the first key whose demand service, method and source do not meet; "": they meet all.
func (c *Condition) unmet(service, method string, src *Source) string {
	switch {
	case !c.Service.take(service):
		return "service"
	case !c.Method.take(method):
		return "method"
	}
	return c.unmetBySource(src)
}

func (c *Condition) unmetBySource(src *Source) string {
	switch {
	case !c.Source.take(src.Key):
		return "source"
	case !c.Namespace.take(src.Namespace):
		return "namespace"
	case !c.Workload.take(src.Workload):
		return "workload"
	case !c.Unit.take(src.Unit):
		return "unit"
	}
	for i := range c.PodLabels {
		if n := &c.PodLabels[i]; !n.take(src.PodLabels[n.Key]) {
			return "pod_labels." + n.Key
		}
	}
	return ""
}

// unmetByCall is unmet for the demands on what only the call tells. It allocates nothing.
func (c *Condition) unmetByCall(call *Call) string {
	switch {
	case !c.Version.takeBytes(call.Version):
		return "version"
	case !c.Caller.takeBytes(call.Caller):
		return "caller"
	}
	for i := range c.Header {
		var v []byte
		if call.Header != nil {
			v, _ = call.Header.Find(c.Header[i].Key)
		}
		if !c.Header[i].takeBytes(v) {
			return "header"
		}
	}
	return ""
}

// narrowed is what is left to look at of a match once service, method and source are known.
type narrowed struct {
	*Condition              // met, but for what only the call tells
	not        []*Condition // of which that only is left to look at
}

// narrow looks at all that service, method and source tell. never: the rule does not speak of such calls, why says which key
// decides that; always: it speaks of all of them; else left is still to be looked at.
func (m *Match) narrow(service, method string, src *Source) (left narrowed, verdict verdict, why string) {
	if why = m.unmet(service, method, src); why != "" {
		return left, never, why
	}
	left.Condition = &m.Condition
	for i := range m.Not {
		n := &m.Not[i]
		switch {
		case n.unmet(service, method, src) != "":
		case !n.dynamic():
			return left, never, "not"
		default:
			left.not = append(left.not, n)
		}
	}
	if m.dynamic() || len(left.not) > 0 {
		return left, depends, ""
	}
	return left, always, ""
}

type verdict uint8

const (
	never verdict = iota
	always
	depends
)

// unmetBy returns the key by which a call is not meant; "": it is.
func (n *narrowed) unmetBy(call *Call) string {
	if why := n.unmetByCall(call); why != "" {
		return why
	}
	for i := range n.not {
		if n.not[i].unmetByCall(call) == "" {
			return "not"
		}
	}
	return ""
}
