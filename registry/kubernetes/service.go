package kubernetes

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bellhop-mesh/bellhop/registry"
)

// The annotations and labels of a Service. README.md says what each means.
const (
	prefix        = "bellhop.dev/"
	versionLabel  = prefix + "version"
	weightLabel   = prefix + "weight"
	commonVersion = "app.kubernetes.io/version"
	remoteRole    = "remote-proxy" // the value of bellhop.dev/role
)

// The bounds of what a Service may say.
const (
	maxNames   = 64  // Thrift services behind one Service
	maxName    = 255 // bytes of a Thrift service's name
	maxText    = 1024
	maxPool    = 1_000_000
	maxDepth   = 65_536
	minTimeout = time.Millisecond
	maxTimeout = time.Hour
	maxMethods = 1_000
)

// kubeService is what is kept of a Service. It is not changed once it was made.
type kubeService struct {
	metav1.ObjectMeta // namespace, name and resourceVersion only

	names    []string         // the Thrift services behind it; one empty name: the remote proxies
	settings registry.Service // without name and endpoints
	port     string           // as annotated; "": the only one
	ports    []servicePort
	family   string // its primary IP family; "": it does not say
	version  string
	weight   int
	problem  error    // why it can't be used; the rest is not to be relied on then
	unknown  []string // annotations of ours that nobody knows
}

type servicePort struct {
	name string
	port int32
}

func (s *kubeService) key() string { return s.Namespace + "/" + s.Name }

// words are what an annotation may be one of.
var words = map[string][]string{
	"mode":     {"exclusive", "multiplexed", "per-call"},
	"balancer": {"least-active", "round-robin", "random", "p2c"},
	"seqid":    {"echo", "positional"},
	"role":     {"service", remoteRole},
}

// checks judge what only the data plane knows. Either may be nil.
type checks struct {
	framing func(word string) error
	service func(*registry.Service) error
}

// shrinkService keeps of a Service what is needed, and judges it. It takes what it returned, too.
func shrinkService(obj any, c checks) (any, error) {
	switch s := obj.(type) {
	case *kubeService:
		return s, nil
	case *corev1.Service:
		return readService(s, c), nil
	}
	return nil, unexpected(obj)
}

func readService(s *corev1.Service, c checks) *kubeService {
	out := &kubeService{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Name, ResourceVersion: s.ResourceVersion}}
	out.names = []string{s.Name + "." + s.Namespace}
	for _, p := range s.Spec.Ports {
		if p.Protocol == "" || p.Protocol == corev1.ProtocolTCP {
			out.ports = append(out.ports, servicePort{p.Name, p.Port})
		}
	}
	if len(s.Spec.IPFamilies) > 0 {
		out.family = string(s.Spec.IPFamilies[0])
	}
	var problems []error
	keys := make([]string, 0, len(s.Annotations))
	for k := range s.Annotations {
		if strings.HasPrefix(k, prefix) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys) // maps have no order, and messages do
	for _, k := range keys {
		known, err := out.annotation(strings.TrimPrefix(k, prefix), s.Annotations[k], c)
		if !known {
			out.unknown = append(out.unknown, clip(k))
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("the annotation %s is %q: %w", k, clip(s.Annotations[k]), err))
		}
	}
	out.version = s.Labels[commonVersion]
	if v, ok := s.Labels[versionLabel]; ok {
		out.version = v
	}
	if v, ok := s.Labels[weightLabel]; ok {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 1000 {
			problems = append(problems, fmt.Errorf("the label %s is %q: write a number from 1 to 1000", weightLabel, clip(v)))
		}
		out.weight = n
	}
	if out.settings.SeqID == "positional" && out.settings.Mode == "multiplexed" {
		problems = append(problems, fmt.Errorf("the annotation %sseqid is positional, and the mode is multiplexed, where only the sequence tells replies apart", prefix))
	}
	if len(problems) == 0 && c.service != nil && out.names[0] != "" {
		t := out.settings
		t.Name = out.names[0]
		if err := c.service(&t); err != nil {
			problems = append(problems, err)
		}
	}
	out.problem = errors.Join(problems...)
	return out
}

// annotation reads one of ours. false: nobody knows it.
func (s *kubeService) annotation(key, value string, c checks) (known bool, err error) {
	t := &s.settings
	switch key {
	case "service":
		if s.names[0] == "" {
			return true, nil // remote proxies have no name
		}
		s.names, err = thriftNames(value)
	case "role":
		if err = oneOf(nil, value, words[key]); err == nil && value == remoteRole {
			s.names = []string{""}
		}
	case "port":
		s.port = value
		if value == "" || len(value) > maxName {
			err = errors.New("write the name or the number of a port")
		}
	case "framing":
		t.Framing = value
		if err = plain(value); err == nil && c.framing != nil {
			err = c.framing(value)
		}
	case "mode":
		err = oneOf(&t.Mode, value, words[key])
	case "balancer":
		err = oneOf(&t.Balancer, value, words[key])
	case "seqid":
		err = oneOf(&t.SeqID, value, words[key])
	case "timeout":
		if t.Timeout, err = time.ParseDuration(value); err != nil || t.Timeout < minTimeout || t.Timeout > maxTimeout {
			err = fmt.Errorf("write a time from %s to %s, like 500ms", minTimeout, maxTimeout)
		}
	case "ordered":
		err = boolean(&t.Ordered, value)
	case "keep-prefix":
		err = boolean(&t.KeepPrefix, value)
	case "remote":
		err = boolean(&t.Remote, value)
	case "oneway":
		t.Oneway, err = list(value, "method", maxMethods)
	case "idempotent":
		t.Idempotent, err = list(value, "method", maxMethods)
	case "max-connections":
		err = number(&t.MaxConns, value, maxPool)
	case "max-pending":
		err = number(&t.MaxPending, value, maxPool)
	case "depth":
		err = number(&t.Depth, value, maxDepth)
	default:
		return key == "enabled", nil // the label of the default selector may be written as an annotation beside it
	}
	return true, err
}

// thriftNames are the names of bellhop.dev/service: one, or several behind one port.
func thriftNames(value string) ([]string, error) {
	names, err := list(value, "service", maxNames)
	for _, n := range names {
		if len(n) > maxName {
			return []string{"?"}, fmt.Errorf("a name has %d bytes; write at most %d", len(n), maxName)
		}
		for i := range len(n) {
			c := n[i]
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("._-$:@+~/", rune(c)) {
				return []string{"?"}, fmt.Errorf("the name %q has a byte that is none of letters, digits and . _ - $ : @ + ~ /", clip(n))
			}
		}
	}
	if err != nil {
		names = []string{"?"}
	}
	return names, err
}

func list(value, what string, most int) ([]string, error) {
	var out []string
	for part := range strings.SplitSeq(value, ",") {
		part = strings.TrimSpace(part)
		if part == "" || len(part) > maxText {
			return nil, fmt.Errorf("write the name of a %s, or several with a comma between them", what)
		}
		if len(out) == most {
			return nil, fmt.Errorf("write at most %d names", most)
		}
		if err := plain(part); err != nil {
			return nil, err
		}
		if !slices.Contains(out, part) {
			out = append(out, part)
		}
	}
	return out, nil
}

func oneOf(into *string, value string, words []string) error {
	if !slices.Contains(words, value) {
		return fmt.Errorf("write one of %s", strings.Join(words, ", "))
	}
	if into != nil {
		*into = value
	}
	return nil
}

func boolean(into *bool, value string) error {
	switch value {
	case "true":
		*into = true
	case "false":
		*into = false
	default:
		return errors.New(`write "true" or "false"`)
	}
	return nil
}

func number(into *int, value string, most int) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 || n > most {
		return fmt.Errorf("write a number from 0 to %d", most)
	}
	*into = n
	return nil
}

// plain: texts go into logs, metrics and the last-known-good file.
func plain(s string) error {
	if s == "" || len(s) > maxText {
		return fmt.Errorf("it has %d bytes; write 1 to %d", len(s), maxText)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }) {
		return errors.New("write UTF-8 without control characters")
	}
	return nil
}
