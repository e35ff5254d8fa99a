package govern

import (
	"strings"
	"testing"
)

func pattern(t testing.TB, s string) *Pattern {
	t.Helper()
	p, err := ParsePattern(s)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return &p
}

func patterns(t testing.TB, list ...string) (ps Patterns) {
	for _, s := range list {
		ps = append(ps, *pattern(t, s))
	}
	return ps
}

// TestPatterns: the whole text must be like the pattern, and nothing is like no text.
func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, takes, not string // texts, separated by spaces
	}{
		{"get", "get", "gets xget g"},
		{"get*", "get gets get*", "ge xget"},
		{"*", "a *", ""},
		{"~get", "get", "gets xget"},
		{"~get|list", "get list", "getx xlist getlist"},
		{"~^get$", "get", "gets"},
		{"~g.t", "get g*t", "gets"},
		{"~.*", "a", ""},
		{"~(?i)GET", "get GeT", "gets"},
	} {
		p := pattern(t, c.pattern)
		if p.String() != c.pattern || p.takes("") || p.takesBytes(nil) {
			t.Errorf("%s: is %s, or takes nothing for something", c.pattern, p)
		}
		for _, s := range strings.Fields(c.takes) {
			if !p.takes(s) || !p.takesBytes([]byte(s)) {
				t.Errorf("%s does not take %s", c.pattern, s)
			}
		}
		for _, s := range strings.Fields(c.not) {
			if p.takes(s) || p.takesBytes([]byte(s)) {
				t.Errorf("%s takes %s", c.pattern, s)
			}
		}
	}
	if pattern(t, "~a").takes("a\n") || pattern(t, "~a$").takes("a\nb") {
		t.Error("a line's end is taken for the text's end")
	}
	for _, bad := range []string{"", "a*b", "**", "~(", "~a)(b", "~" + strings.Repeat("a", MaxRegex+1)} {
		if p, err := ParsePattern(bad); err == nil || !strings.Contains(err.Error(), "write") {
			t.Errorf("%q is %v, %v", bad, p, err)
		}
	}
	pattern(t, "~"+strings.Repeat("a", MaxRegex))
	if !Patterns(nil).take("") || !Patterns(nil).takeBytes(nil) || patterns(t, "a", "b*").take("c") || !patterns(t, "a", "b*").take("bc") {
		t.Error("a list of patterns takes what is like one of them, and none take everything")
	}
}
