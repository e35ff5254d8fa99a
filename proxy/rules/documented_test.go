package rules

import (
	"cmp"
	"fmt"
	"strings"
	"testing"

	"github.com/bellhop-mesh/bellhop/proxy/govern"
)

// keys is header keys for tests.
type keys map[string]string

func (k keys) Find(key string) ([]byte, bool) {
	v, ok := k[key]
	return []byte(v), ok
}

// asDocumented plays the calls, the sources and the hosts that an example of docs/rules.md names in comments, and returns how many.
//
//	# call: SERVICE.METHOD [KEY=VALUE …] -> what is decided (by which rule); …
//	# source: [KEY=VALUE …] -> its share
//	# host: NAME [LABEL=VALUE …] -> drain
func asDocumented(t *testing.T, example int, r *Rules, text string) (n int) {
	for line := range strings.Lines(text) {
		said, want, ok := strings.Cut(strings.TrimSpace(line), " -> ")
		if !ok {
			continue
		}
		words := strings.Fields(said)
		var got string
		switch words[1] {
		case "call:":
			i := strings.LastIndexByte(words[2], '.')
			src, call := whoCalls(t, words[3:])
			got = decided(r.Govern().Resolve(words[2][:i], words[2][i+1:], src, nil).For(call))
		case "source:":
			src, _ := whoCalls(t, words[2:])
			got = shareOf(r.Govern().Source(src))
		case "host:":
			labels := map[string]string{}
			for _, w := range words[3:] {
				k, v, _ := strings.Cut(w, "=")
				labels[k] = v
			}
			got = map[bool]string{false: "nothing", true: "drain"}[r.Drains(words[2], labels)]
		default:
			t.Errorf("example %d: what is %q?", example, line)
		}
		if n++; got != want {
			t.Errorf("example %d: %s\nis    %s\nwants %s", example, said, got, want)
		}
	}
	return n
}

func whoCalls(t *testing.T, words []string) (*govern.Source, *govern.Call) {
	src, call, header := &govern.Source{PodLabels: map[string]string{}}, &govern.Call{}, keys{}
	call.Header = header
	for _, w := range words {
		key, val, _ := strings.Cut(w, "=")
		first, name, _ := strings.Cut(key, ".")
		switch first {
		case "source":
			src.Key = val
		case "namespace":
			src.Namespace = val
		case "workload":
			src.Workload = val
		case "unit":
			src.Unit = val
		case "pod_labels":
			src.PodLabels[name] = val
		case "header":
			header[name] = val
		case "version":
			call.Version = []byte(val)
		case "caller":
			call.Caller = []byte(val)
		default:
			t.Errorf("what is %q?", w)
		}
	}
	return src, call
}

// decided is a decision as the page writes it.
func decided(d *govern.Decision) string {
	p := &d.Policy
	var out []string
	add := func(a govern.Action, text string) { out = append(out, text+" ("+p.By[a]+")") }
	if p.Deadline > 0 {
		add(govern.ActDeadline, fmt.Sprint("deadline ", p.Deadline))
	}
	if p.Retry != nil {
		add(govern.ActRetry, fmt.Sprint("retry ", p.Retry.Attempts))
	}
	for _, l := range p.Limits {
		out = append(out, "limit "+l.String()+" ("+l.Rule+")")
	}
	if p.Breaker != nil {
		add(govern.ActBreaker, "breaker "+map[govern.Scope]string{govern.PerEndpoint: "endpoint", govern.PerMethod: "method"}[p.Breaker.Scope])
	}
	if p.By[govern.ActAccess] != "" {
		add(govern.ActAccess, map[bool]string{false: "allow", true: "deny"}[p.Deny])
	}
	if s := p.Split; s != nil {
		text := "split"
		if len(s.Parts) == 1 {
			text = "subset " + s.Parts[0].Version
		} else {
			for _, part := range s.Parts {
				text += fmt.Sprintf(" %s:%d", part.Version, part.Weight)
			}
			text += " by " + s.Sticky
		}
		add(govern.ActSplit, text)
	}
	if p.By[govern.ActRemote] != "" {
		add(govern.ActRemote, map[bool]string{false: "here", true: "remote"}[p.Remote])
	}
	return cmp.Or(strings.Join(out, "; "), "nothing")
}

func shareOf(s govern.SourcePolicy) string {
	var out []string
	if s.Weight > 0 {
		out = append(out, fmt.Sprint("weight ", s.Weight))
	}
	if s.WorkloadWeight > 0 {
		out = append(out, fmt.Sprint("workload_weight ", s.WorkloadWeight))
	}
	if s.Privileged {
		out = append(out, "privileged")
	}
	return cmp.Or(strings.Join(out, ", "), "nothing")
}
