package proxy

import (
	"slices"
	"testing"
)

func TestNear(t *testing.T) {
	names := []string{"demo.Greeter", "demo.Echo", "com.example.Hello", "Hello2", "get", "put", "getAll", "other"}
	for name, want := range map[string][]string{
		"demo.Greter":        {"demo.Greeter"},
		"demo.gretere":       {"demo.Greeter"},
		"Echo":               {"demo.Echo"},
		"hello":              {"Hello2", "com.example.Hello"},
		"gte":                {},
		"ge":                 {"get", "getAll"},
		"":                   {},
		"nothing.like.it.at": {},
		"othe":               {}, // the name of what has no name of its own
	} {
		if got := near(names, name); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	if got := near([]string{"a1", "a2", "a3", "a4", "a5", "a6"}, "a"); len(got) != 5 {
		t.Errorf("%q, want five", got)
	}
	for _, d := range []struct {
		a, b string
		n    int
	}{{"", "", 0}, {"abc", "", 3}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}} {
		if got := distance(d.a, d.b); got != d.n {
			t.Errorf("%q and %q: %d, want %d", d.a, d.b, got, d.n)
		}
	}
}
