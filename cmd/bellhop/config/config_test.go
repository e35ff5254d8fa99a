package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/bellhop-mesh/bellhop/proxy"
)

// roleOf: the name of a test file says who reads it.
func roleOf(name string) Role {
	if strings.HasPrefix(filepath.Base(name), "remote") {
		return Remote
	}
	return Local
}

// TestFiles: a good file changes what its .want says, a bad one has exactly the problems that its .want lists.
func TestFiles(t *testing.T) {
	t.Setenv(RunDirEnv, "")
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("%d test files, %v", len(files), err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			c, err := Load(name, roleOf(name))
			var got string
			switch {
			case strings.HasSuffix(name, ".bad.yaml"):
				if err == nil {
					t.Fatal("it was taken")
				}
				got = err.Error() + "\n"
			case err != nil:
				t.Fatalf("it was not taken: %v", err)
			default:
				got = differences(c, Default(roleOf(name)), roleOf(name))
			}
			got = strings.ReplaceAll(got, "testdata/", "")
			want := strings.TrimSuffix(name, ".yaml") + ".want"
			if *update {
				if err := os.WriteFile(want, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			b, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			if string(b) != got {
				t.Errorf("got\n%swant\n%s", got, b)
			}
		})
	}
}

// differences lists what one configuration has and the other has not, a line each.
func differences(c, def *Config, role Role) string {
	var lines []string
	have, usual := flat(c.Map(role), ""), flat(def.Map(role), "")
	for path, v := range have {
		if usual[path] != v {
			lines = append(lines, path+" = "+v)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

func flat(v any, path string) map[string]string {
	out := map[string]string{}
	add := func(key string, v any) {
		for k, s := range flat(v, key) {
			out[k] = s
		}
	}
	switch x := v.(type) {
	case map[string]any:
		for k, v := range x {
			add(join(path, k), v)
		}
	case []any:
		for i, v := range x {
			add(fmt.Sprintf("%s[%d]", path, i), v)
		}
	default:
		out[path] = fmt.Sprintf("%v", x)
	}
	return out
}

// TestEveryKeyIsShown: the good files together set every key there is, so every one can be set and is tested.
func TestEveryKeyIsShown(t *testing.T) {
	shown := map[string]bool{}
	files, err := filepath.Glob("testdata/*.good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var n yaml.Node
		if err := yaml.Unmarshal(b, &n); err != nil {
			t.Fatal(err)
		}
		if len(n.Content) > 0 {
			paths(n.Content[0], "", shown)
		}
	}
	for _, k := range Keys() {
		if !shown[k.Path] {
			t.Errorf("no good file sets %s", k.Path)
		}
	}
}

func paths(n *yaml.Node, path string, out map[string]bool) {
	out[path] = true
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			paths(n.Content[i+1], join(path, n.Content[i].Value), out)
		}
	case yaml.SequenceNode:
		for _, c := range n.Content {
			if c.Kind == yaml.MappingNode {
				paths(c, path+"[]", out)
			}
		}
	}
}

// TestDefaultsAreWithinBounds: what stands in code must be what a file could say.
func TestDefaultsAreWithinBounds(t *testing.T) {
	for _, role := range []Role{Local, Remote} {
		b, err := yaml.Marshal(withoutEmpty(Default(role).Map(role)))
		if err != nil {
			t.Fatal(err)
		}
		c, err := Parse("defaults.yaml", b, role)
		if err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		if !reflect.DeepEqual(c, Default(role)) {
			t.Errorf("%s: the defaults, written out, read as\n%+v", role, c)
		}
	}
}

// withoutEmpty leaves out texts that say nothing: a file may not write them.
func withoutEmpty(v any) any {
	switch x := v.(type) {
	case map[string]any:
		for k, v := range x {
			if x[k] = withoutEmpty(v); x[k] == "" {
				delete(x, k)
			}
		}
	case []any:
		if len(x) == 0 {
			return ""
		}
		for i := range x {
			x[i] = withoutEmpty(x[i])
		}
	}
	return v
}

// TestDataPlaneCovered: a bound or a timeout of the data plane that has no key could not be changed.
func TestDataPlaneCovered(t *testing.T) {
	for _, pair := range [][2]reflect.Type{
		{reflect.TypeFor[proxy.Limits](), reflect.TypeFor[Limits]()},
		{reflect.TypeFor[proxy.Timeouts](), reflect.TypeFor[Timeouts]()},
		{reflect.TypeFor[proxy.Quarantine](), reflect.TypeFor[Quarantine]()},
		{reflect.TypeFor[proxy.AccessLog](), reflect.TypeFor[AccessLog]()},
	} {
		for i := range pair[0].NumField() {
			if name := pair[0].Field(i).Name; !has(pair[1], name) {
				t.Errorf("%s.%s has no key", pair[0], name)
			}
		}
		for i := range pair[1].NumField() {
			if name := pair[1].Field(i).Name; !has(pair[0], name) {
				t.Errorf("%s.%s is not of the data plane", pair[1], name)
			}
		}
	}
}

func has(t reflect.Type, name string) bool {
	_, ok := t.FieldByName(name)
	return ok
}

// TestTags: every field has what the decoder and the documentation need.
func TestTags(t *testing.T) {
	word := regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	var walk func(reflect.Type)
	walk = func(s reflect.Type) {
		for i := range s.NumField() {
			f := s.Field(i)
			if !word.MatchString(f.Tag.Get("yaml")) {
				t.Errorf("%s.%s: key %q", s, f.Name, f.Tag.Get("yaml"))
			}
			if judge := f.Tag.Get("check"); judge != "" && checks[judge] == nil {
				t.Errorf("%s.%s: no judge %q", s, f.Name, judge)
			}
			switch {
			case f.Type.Kind() == reflect.Struct:
				walk(f.Type)
				continue
			case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
				walk(f.Type.Elem())
			}
			if f.Tag.Get("help") == "" {
				t.Errorf("%s.%s: no meaning", s, f.Name)
			}
		}
	}
	walk(reflect.TypeFor[Config]())
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "1": 1, "65536": 65536, "64KiB": 64 << 10, "1.5GiB": 3 << 29, "10MB": 10_000_000, "7B": 7, "1 TiB": 1 << 40,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "x", "-1", "1.5", "1.5B", "9999999999GiB", "1KIB", "0x10", "1e30GiB", "NaNGiB", "-1KiB"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q was read as %d", text, got)
		}
	}
	for _, s := range []Size{0, 1, 1023, 1024, 1536, 64 << 20, 1 << 40} {
		if got, err := ParseSize(s.String()); err != nil || got != s {
			t.Errorf("%d is written %s and read %d, %v", s, s, got, err)
		}
	}
}

// TestResolve: names become places in the run directory.
func TestResolve(t *testing.T) {
	dir := t.TempDir()
	c := Default(Local)
	c.RunDir = dir
	if err := c.Resolve(); err != nil {
		t.Fatal(err)
	}
	got := []string{c.Listeners[0].Addr, c.Listeners[0].Name, c.Listeners[0].Mode, c.Admin.Listen, c.Registry.LastKnownGood}
	want := []string{dir + "/pub/call.sock", "unix:call.sock", "0666", "unix:" + dir + "/private/admin.sock", dir + "/private/registry.json"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if c.Host == "" {
		t.Error("no host name")
	}
}

// TestManyProblems: a hopeless file is told up to the bound.
func TestManyProblems(t *testing.T) {
	_, err := Parse("f.yaml", []byte(strings.Repeat("x: 1\n", 500)), Local)
	ps, ok := err.(Problems) //nolint:errorlint // Parse says what it returns
	if !ok || len(ps) != maxProblems+1 || !strings.Contains(ps[maxProblems].Text, "400 more") {
		t.Errorf("%d problems, the last: %v", len(ps), ps[len(ps)-1])
	}
}

// FuzzParse: no file makes the reader panic, and what it takes is within bounds.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse("f.yaml", b, Local)
		if err == nil && (c.Limits.TotalCalls < 1 || len(c.Listeners) == 0) {
			t.Errorf("taken: %+v", c)
		}
	})
}
