package idl

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

// dump writes a program out, so that a golden file can hold it. Structs are written once, when they are first met.
type dump struct {
	strings.Builder
	done map[*Struct]bool
	next []*Struct
}

func (d *dump) program(p *Program) string {
	for _, s := range p.Services() {
		fmt.Fprintf(d, "service %s: %s\n", s.Name, strings.Join(s.Methods(), " "))
		for _, name := range s.Methods() {
			m := s.Method(name)
			fmt.Fprintf(d, "  %s oneway=%v\n", name, m.Oneway)
			d.fields("    arg    ", m.Args)
			d.fields("    result ", m.Result)
		}
	}
	for len(d.next) > 0 {
		s := d.next[0]
		d.next = d.next[1:]
		fmt.Fprintf(d, "%s union=%v\n", s.Name, s.Union)
		d.fields("  ", s)
	}
	return d.String()
}

func (d *dump) fields(indent string, s *Struct) {
	for _, f := range s.Fields {
		need := ""
		if f.Required {
			need = " required"
		}
		if f.Optional {
			need = " optional"
		}
		fmt.Fprintf(d, "%s%d %s %s%s", indent, f.ID, f.Name, d.typ(f.Type), need)
		if f.Default != nil {
			fmt.Fprintf(d, " = %s", f.Default)
		}
		fmt.Fprintln(d)
	}
}

func (d *dump) typ(t *Type) string {
	switch t.Kind {
	case List, Set:
		return t.Name[:strings.IndexByte(t.Name, '<')] + "<" + d.typ(t.Elem) + ">"
	case Map:
		return "map<" + d.typ(t.Key) + "," + d.typ(t.Elem) + ">"
	case Enumeration:
		return "enum " + t.Name + "{" + strings.Join(t.Enum.Names(), ",") + "}"
	case Record:
		if !d.done[t.Struct] {
			d.done[t.Struct] = true
			d.next = append(d.next, t.Struct)
		}
	}
	return t.Name
}

func TestGood(t *testing.T) {
	p, err := Load("testdata/good/everything.thrift", nil)
	if err != nil {
		t.Fatal(err)
	}
	got := (&dump{done: map[*Struct]bool{}}).program(p)
	const golden = "testdata/good/everything.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the program is\n%s\nwant %s (-update writes it)", got, golden)
	}
}

func badFiles(t testing.TB) []string {
	files, err := filepath.Glob("testdata/bad/*.thrift")
	if err != nil || len(files) == 0 {
		t.Fatalf("no bad files: %v", err)
	}
	return files
}

// TestBad: the first line of a bad file says what its error begins with, from the line on, or from another file's name on.
func TestBad(t *testing.T) {
	for _, path := range badFiles(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(string(text), "\n")
			want := strings.TrimPrefix(first, "# want: ")
			if want[0] >= '0' && want[0] <= '9' {
				want = path + ":" + want
			} else {
				want = filepath.Dir(path) + "/" + want
			}
			_, err = Load(path, nil)
			var e *Error
			if !errors.As(err, &e) || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("error %v\nwant  %s…", err, want)
			}
		})
	}
}

// TestAsTheCompiler: Apache's own compiler takes the good files and refuses the bad ones.
func TestAsTheCompiler(t *testing.T) {
	compiler, err := exec.LookPath("thrift")
	if err != nil {
		t.Skip("no thrift compiler here")
	}
	// Where 0.17, Debian 12's, is no judge: it warns, cuts, generates what does not compile, crashes or never ends.
	noJudge := []string{
		"annotation", "comment", "const_loop", "deep", "default_enum", "default_range", "enum_size", "id_size", "include_loop",
		"include_missing", "included", "oneway", "throws", "typedef_loop", "uuid",
	}
	judge := func(path string) ([]byte, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		return exec.CommandContext(ctx, compiler, "-I", "testdata/good", "--gen", "json", "-o", t.TempDir(), path).CombinedOutput()
	}
	for _, path := range badFiles(t) {
		if slices.Contains(noJudge, strings.TrimSuffix(filepath.Base(path), ".thrift")) {
			continue
		}
		if _, err := judge(path); err == nil {
			t.Errorf("%s: the compiler takes it", path)
		}
	}
	text, err := os.ReadFile("testdata/good/everything.thrift")
	if err != nil {
		t.Fatal(err)
	}
	var old []string // 0.17 has no uuid
	for l := range strings.Lines(string(text)) {
		if !strings.Contains(l, "uuid") {
			old = append(old, l)
		}
	}
	path := filepath.Join(t.TempDir(), "everything.thrift")
	if err := os.WriteFile(path, []byte(strings.Join(old, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := judge(path); err != nil {
		t.Errorf("the compiler refuses the good file: %v: %s", err, out)
	}
}

func TestIncludeFolders(t *testing.T) {
	if _, err := Load("testdata/dirs/main.thrift", nil); err == nil || !strings.Contains(err.Error(), "-I") {
		t.Errorf("without -I: %v", err)
	}
	p, err := Load("testdata/dirs/main.thrift", []string{"testdata/good"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.Service("Main")
	if err != nil || s.Method("top") == nil || s.Method("own") == nil || s.Method("nope") != nil {
		t.Errorf("the service: %v %v", s, err)
	}
	if _, err := p.Service("base.Root"); err != nil {
		t.Error(err)
	}
	if _, err := p.Service("Nope"); err == nil || !strings.Contains(err.Error(), "Main") {
		t.Errorf("an unknown service: %v", err)
	}
}

func TestMissingFile(t *testing.T) {
	if _, err := Load("testdata/nope.thrift", nil); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// TestHostile: what could take time or memory without end is bounded.
func TestHostile(t *testing.T) {
	double := "const list<string> A0 = ['x', 'x']\n"
	types := "typedef list<i32> T0\n"
	nested := "struct Deepest {}\ntypedef Deepest L0\n"
	for i := 1; i < 40; i++ {
		double += fmt.Sprintf("const list<list<string>> A%d = [A%d, A%d]\n", i, i-1, i-1)
		types += fmt.Sprintf("typedef map<T%d, T%d> T%d\n", i-1, i-1, i)
		nested += fmt.Sprintf("typedef list<L%d> L%d\n", i-1, i)
	}
	for name, text := range map[string]string{
		"constants double": double, "types double": types,
		"brackets": "const list<i32> A = " + strings.Repeat("[", 1<<20),
		"angles":   "typedef " + strings.Repeat("list<", 1<<18) + "i32" + strings.Repeat(">", 1<<18) + " T",
		"large":    strings.Repeat("# comment\n", maxFile/10+1),
	} {
		start := time.Now()
		path := filepath.Join(t.TempDir(), "a.thrift")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("%s: took %v", name, d)
		}
	}
	path := filepath.Join(t.TempDir(), "a.thrift")
	if err := os.WriteFile(path, []byte(nested), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path, nil); err != nil {
		t.Errorf("40 lists in each other: %v", err)
	}
}

// FuzzLoad: any text is a program, or an *Error with a place; never a panic.
func FuzzLoad(f *testing.F) {
	for _, path := range append(badFiles(f), "testdata/good/everything.thrift", "testdata/good/base.thrift") {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		l := &loader{files: map[string]*file{}, read: func(path string) (string, error) {
			switch path {
			case "a.thrift":
				return text, nil
			case "base.thrift":
				return "struct Point {1: i32 x}\nenum Level {HIGH = 7}\nservice Root {}\nconst string GREETING = 'x'", nil
			}
			return "", fs.ErrNotExist
		}}
		p, err := l.program("a.thrift")
		var e *Error
		switch {
		case err == nil && p == nil:
			t.Fatal("neither a program nor an error")
		case err != nil && (!errors.As(err, &e) || e.Line < 1 || e.Col < 1 || e.Msg == ""):
			t.Fatalf("an error without a place: %v", err)
		case err == nil:
			_ = (&dump{done: map[*Struct]bool{}}).program(p)
		}
	})
}
