package rules

import (
	"strings"
	"testing"
)

// TestHosts: the first entry that matches a host by name and labels decides.
func TestHosts(t *testing.T) {
	r, err := Parse("rules.yaml", []byte(`version: 1
hosts:
  - {match: {host: node-1}, drain: false}
  - {match: {host: "node-*", labels: {maintenance: "yes", rack: "7"}}, drain: true}
  - {match: {host: gone}, drain: true}
`))
	if err != nil {
		t.Fatal(err)
	}
	both := map[string]string{"maintenance": "yes", "rack": "7", "more": "x"}
	for _, c := range []struct {
		host   string
		labels map[string]string
		want   bool
	}{
		{"node-1", both, false},
		{"node-2", both, true},
		{"node-2", map[string]string{"maintenance": "yes"}, false},
		{"other", both, false},
		{"gone", nil, true},
		{"node-", both, true},
	} {
		if got := r.Drains(c.host, c.labels); got != c.want {
			t.Errorf("%s %v: %t", c.host, c.labels, got)
		}
	}
	if (*Rules)(nil).Drains("gone", nil) {
		t.Error("no rules drain a host")
	}
}

// TestHostsWrong: every mistake is told with its line and key.
func TestHostsWrong(t *testing.T) {
	_, err := Parse("rules.yaml", []byte(`version: 1
hosts:
  - {match: {}, drain: true}
  - {drain: true}
  - {match: {host: a}}
  - {match: {host: "a*b"}, drain: true}
  - {match: {host: a}, drain: maybe}
  - {match: {hots: a}, drain: true}
`))
	if err == nil {
		t.Fatal("was taken")
	}
	for _, want := range []string{
		"rules.yaml:3: hosts[0].match: is empty", "rules.yaml:4: hosts[1]: has no match", "rules.yaml:5: hosts[2]: has no drain",
		"rules.yaml:6: hosts[3].match: has a host with a * before its end", "rules.yaml:7: hosts[4].drain:", "rules.yaml:8: hosts[5].match.hots:",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("does not say %q:\n%v", want, err)
		}
	}
}
