package rules

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/bellhop-mesh/bellhop/proxy/govern"
	"github.com/bellhop-mesh/bellhop/registry/strict"
)

// This file reads what a rule wants of the calls that match.

// The bounds of times and numbers.
const (
	minWait   = time.Millisecond
	maxWait   = time.Hour
	maxNumber = 1_000_000
	maxParts  = 64
)

// retryWords are the classes that may be sent again. A raced call is a lost one, too.
var retryWords = map[string]govern.Classes{
	"lost": govern.Of(govern.ClassLost, govern.ClassRaced), "raced": govern.Of(govern.ClassRaced), "deadline": govern.Of(govern.ClassDeadline),
	"busy": govern.Of(govern.ClassBusy), "failed": govern.Of(govern.ClassFailed),
}

// The defaults of what a rule leaves open.
const (
	defaultBackoff    = 10 * time.Millisecond
	defaultMaxBackoff = 250 * time.Millisecond
	defaultQueueFor   = 50 * time.Millisecond
	defaultQueueMost  = 100
)

func (p *parser) retry(a at) *govern.Retry {
	r := &govern.Retry{Attempts: 1, Backoff: defaultBackoff, MaxBackoff: defaultMaxBackoff}
	var on []string
	p.Mapping(a, "a mapping of on, attempts, backoff, max_backoff, per_try, idempotent", strict.Fields{
		strict.Key("on", func(v at) {
			p.Names(&on, "class")(v)
			for _, word := range on {
				if retryWords[word] == 0 {
					p.Wrong(v, "has %q, which is no class that is sent again; the classes are %s", strict.Clip(word), strings.Join(slices.Sorted(maps.Keys(retryWords)), ", "))
				}
				r.On |= retryWords[word]
			}
			if v.Node.Kind == yaml.SequenceNode {
				p.notNone(v)
			}
		}),
		strict.Key("attempts", p.Integer(&r.Attempts, 0, 5)),
		strict.Key("backoff", p.Duration(&r.Backoff, 0, 10*time.Second)),
		strict.Key("max_backoff", p.Duration(&r.MaxBackoff, 0, time.Minute)),
		strict.Key("per_try", func(v at) {
			p.Duration(&r.PerTry, minWait, maxWait)(v)
			if !slices.Contains(wordsOf(a.Node, "on"), "deadline") {
				p.Wrong(v, "gives attempts up before the deadline, and on does not have deadline; write on: [deadline] or leave per_try out")
			}
		}),
		strict.Key("idempotent", p.Boolean(&r.Idempotent)),
	})
	if on == nil {
		r.On = retryWords["lost"]
	}
	if r.MaxBackoff < r.Backoff {
		if has(a.Node, "max_backoff") {
			p.Wrong(a, "has a max_backoff of %s, below the backoff of %s; write more", strict.ShowDuration(r.MaxBackoff), strict.ShowDuration(r.Backoff))
		}
		r.MaxBackoff = r.Backoff
	}
	return r
}

// wordsOf returns the words of a list in a mapping, whatever else is wrong with it.
func wordsOf(n *yaml.Node, key string) (words []string) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			for _, v := range n.Content[i+1].Content {
				words = append(words, v.Value)
			}
		}
	}
	return words
}

var byWords = []string{"source", "workload", "caller", "service", "method"} // as govern.By counts them

func (p *parser) limit(a at) *govern.Limit {
	l := &govern.Limit{QueueFor: defaultQueueFor, QueueMost: defaultQueueMost}
	per, rate, over := time.Second, 0, "reject"
	before := p.Report.Len()
	ok := p.Mapping(a, "a mapping of rate, per, burst, concurrency, by, over, queue_for, queue_most", strict.Fields{
		strict.Key("rate", p.Integer(&rate, 1, maxNumber)),
		strict.Key("per", p.Duration(&per, time.Second, time.Hour)),
		strict.Key("burst", p.Integer(&l.Burst, 1, maxNumber)),
		strict.Key("concurrency", p.Integer(&l.Concurrency, 1, maxNumber)),
		strict.Key("by", func(v at) { l.By = p.by(v) }),
		strict.Key("over", p.Word(&over, "reject", "queue", "overflow")),
		strict.Key("queue_for", p.Duration(&l.QueueFor, minWait, time.Minute)),
		strict.Key("queue_most", p.Integer(&l.QueueMost, 1, 10_000)),
	})
	if !ok || p.Report.Len() > before {
		return l
	}
	l.Excess = govern.Excess(slices.Index([]string{"reject", "queue", "overflow"}, over))
	l.Rate = float64(rate) / per.Seconds()
	for _, key := range []string{"per", "burst"} {
		if has(a.Node, key) && rate == 0 {
			p.Wrong(a, "has %s and no rate; write rate: calls, or leave %s out", key, key)
		}
	}
	for _, key := range []string{"queue_for", "queue_most"} {
		if has(a.Node, key) && l.Excess != govern.Queue {
			p.Wrong(a, "has %s, and calls beyond the limit do not wait; write over: queue, or leave %s out", key, key)
		}
	}
	if rate == 0 && l.Concurrency == 0 {
		p.Wrong(a, "bounds nothing; write rate: calls a second, or concurrency: calls in flight")
	}
	if l.Burst == 0 {
		l.Burst = max(int(l.Rate), 1)
	}
	return l
}

// by reads what a limit counts for, in its one order.
func (p *parser) by(a at) []govern.By {
	var words []string
	p.Names(&words, "thing that is counted for")(a)
	var out []govern.By
	for i, word := range byWords {
		if slices.Contains(words, word) {
			out = append(out, govern.By(i))
		}
	}
	for _, word := range words {
		if !slices.Contains(byWords, word) {
			p.Wrong(a, "has %q, which nothing is counted for; write some of %s", strict.Clip(word), strings.Join(byWords, ", "))
		}
	}
	return out
}

func (p *parser) breaker(a at) *govern.Breaker {
	b := &govern.Breaker{Window: 10 * time.Second, MinCalls: 20, OpenFor: 5 * time.Second, Probes: 3, MaxShare: 0.5}
	scope := "endpoint"
	before := p.Report.Len()
	ok := p.Mapping(a, "a mapping of scope, window, min_calls, error_share, slow, slow_share, open_for, max_open, probes, max_share", strict.Fields{
		strict.Key("scope", p.Word(&scope, "endpoint", "method")),
		strict.Key("window", p.Duration(&b.Window, time.Second, 10*time.Minute)),
		strict.Key("min_calls", p.Integer(&b.MinCalls, 1, maxNumber)),
		strict.Key("error_share", p.Share(&b.ErrorRate)),
		strict.Key("slow", p.Duration(&b.Slow, minWait, maxWait)),
		strict.Key("slow_share", p.Share(&b.SlowRate)),
		strict.Key("open_for", p.Duration(&b.OpenFor, 100*time.Millisecond, maxWait)),
		strict.Key("max_open", p.Duration(&b.MaxOpen, 100*time.Millisecond, 24*time.Hour)),
		strict.Key("probes", p.Integer(&b.Probes, 1, 100)),
		strict.Key("max_share", p.Share(&b.MaxShare)),
	})
	if !ok || p.Report.Len() > before {
		return b
	}
	if scope == "method" {
		b.Scope = govern.PerMethod
	}
	if b.ErrorRate == 0 && b.Slow == 0 {
		b.ErrorRate = 0.5
	}
	if b.Slow > 0 && b.SlowRate == 0 {
		b.SlowRate = 0.5
	}
	switch {
	case b.Slow == 0 && b.SlowRate > 0:
		p.Wrong(a, "has slow_share and no slow; write slow: the time that is slow")
	case b.Scope == govern.PerMethod && has(a.Node, "max_share"):
		p.Wrong(a, "has max_share, which is of endpoints; write scope: endpoint, or leave it out")
	case has(a.Node, "max_open") && b.MaxOpen < b.OpenFor:
		p.Wrong(a, "has a max_open of %s, below the open_for of %s; write more", strict.ShowDuration(b.MaxOpen), strict.ShowDuration(b.OpenFor))
	}
	b.MaxOpen = cmp.Or(b.MaxOpen, max(5*time.Minute, b.OpenFor))
	return b
}

func (p *parser) access(a at) govern.Access {
	var word string
	p.Word(&word, "allow", "deny")(a)
	return map[string]govern.Access{"allow": govern.AccessAllow, "deny": govern.AccessDeny}[word]
}

func (p *parser) split(a at) *govern.Split {
	s := &govern.Split{}
	lines := map[string]int{}
	before := p.Report.Len()
	ok := p.Mapping(a, "a mapping of parts and sticky", strict.Fields{
		strict.Key("sticky", p.String(&s.Sticky, "a header key or a cookie")),
		strict.Key("parts", func(v at) {
			p.listOf(v, "a list of parts, like [{weight: 95, version: v1}, {weight: 5, version: v2}]", maxParts, "parts; write fewer", func(v at) {
				var part govern.Part
				p.part(v, &part, strict.Key("weight", p.Integer(&part.Weight, 0, maxNumber)))
				if first := lines[part.Key]; first > 0 && part.Key != "" {
					p.Wrong(v, "is the same part as that in line %d; keep one of the two", first)
				}
				if v.Node.Kind == yaml.MappingNode && !has(v.Node, "weight") {
					p.Wrong(v, "has no weight; write weight: its share, in proportion to those of the other parts")
				}
				lines[part.Key] = v.Node.Line
				s.Parts, s.Total = append(s.Parts, part), s.Total+part.Weight
			})
		}),
	})
	if ok && p.Report.Len() == before && s.Total == 0 {
		p.Wrong(a, "has no part that takes calls; write parts: with a weight above 0")
	}
	return s
}

func (p *parser) subset(a at) *govern.Split {
	part := govern.Part{Weight: 1}
	p.part(a, &part)
	return &govern.Split{Parts: []govern.Part{part}, Total: 1}
}

// part reads which endpoints are meant.
func (p *parser) part(a at, part *govern.Part, more ...strict.Field) {
	ok := p.Mapping(a, "a mapping of version, labels, zone, strict", append(strict.Fields{
		strict.Key("version", p.String(&part.Version, "a version")),
		strict.Key("labels", func(v at) { part.Labels = p.Labels(v) }),
		strict.Key("zone", p.String(&part.Zone, "the name of a zone")),
		strict.Key("strict", p.Boolean(&part.Strict)),
	}, more...))
	if ok && !has(a.Node, "version") && !has(a.Node, "zone") && len(part.Labels) == 0 {
		p.Wrong(a, "is all endpoints; write version, labels or zone")
	}
	part.Key = partKey(part)
}

// partKey is the same for parts of the same endpoints.
func partKey(part *govern.Part) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %q", part.Version, part.Zone)
	for _, k := range slices.Sorted(maps.Keys(part.Labels)) {
		fmt.Fprintf(&b, " %q=%q", k, part.Labels[k])
	}
	return b.String()
}
