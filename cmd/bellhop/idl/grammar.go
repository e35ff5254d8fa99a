package idl

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/alecthomas/participle/v2"
	"github.com/alecthomas/participle/v2/lexer"
)

// maxDepth bounds the nesting of brackets in a file: the parser and the resolver recurse along them.
const maxDepth = 64

// document is one file as it is written.
type document struct {
	Entries []*entry `parser:"@@*"`
}

// entry is one header or definition of a file. Exactly one field is set.
type entry struct {
	Pos        lexer.Position
	Include    *string        `parser:"(   'include' @String"`
	CppInclude *string        `parser:"| 'cpp_include' @String"`
	Namespace  *namespaceNode `parser:"| 'namespace' @@"`
	Const      *constNode     `parser:"| 'const' @@"`
	Typedef    *typedefNode   `parser:"| 'typedef' @@"`
	Enum       *enumNode      `parser:"| 'enum' @@"`
	Struct     *structNode    `parser:"| @@"`
	Service    *serviceNode   `parser:"| 'service' @@ ) ( ',' | ';' )?"`
}

type namespaceNode struct {
	Scope string `parser:"@( '*' | Ident )"`
	Name  string `parser:"@( Ident | String )"`
	Notes *notes `parser:"@@?"`
}

type constNode struct {
	Type  *typeNode `parser:"@@"`
	Name  string    `parser:"@Ident '='"`
	Value *constant `parser:"@@"`
}

type typedefNode struct {
	Type  *typeNode `parser:"@@"`
	Name  string    `parser:"@Ident"`
	Notes *notes    `parser:"@@?"`
}

type enumNode struct {
	Name   string       `parser:"@Ident '{'"`
	Values []*enumValue `parser:"@@* '}'"`
	Notes  *notes       `parser:"@@?"`
}

type enumValue struct {
	Pos   lexer.Position
	Name  string  `parser:"@Ident"`
	Value *string `parser:"( '=' @( Hex | Int ) )?"`
	Notes *notes  `parser:"@@? ( ',' | ';' )?"`
}

type structNode struct {
	Kind   string       `parser:"@( 'struct' | 'union' | 'exception' )"`
	Name   string       `parser:"@Ident 'xsd_all'? '{'"`
	Fields []*fieldNode `parser:"@@* '}'"`
	Notes  *notes       `parser:"@@?"`
}

type fieldNode struct {
	Pos     lexer.Position
	ID      *string   `parser:"( @( Hex | Int ) ':' )?"`
	Need    string    `parser:"@( 'required' | 'optional' )?"`
	Type    *typeNode `parser:"@@ '&'?"`
	Name    string    `parser:"@Ident"`
	Default *constant `parser:"( '=' @@ )? 'xsd_optional'? 'xsd_nillable'?"`
	Notes   *notes    `parser:"@@? ( ',' | ';' )?"`
}

// typeNode is a type's name with what stands between its angle brackets.
type typeNode struct {
	Pos   lexer.Position
	Name  string      `parser:"@Ident ( 'cpp_type' String )?"`
	Args  []*typeNode `parser:"( '<' @@ ( ',' @@ )* '>' )? ( 'cpp_type' String )?"`
	Notes *notes      `parser:"@@?"`
}

type serviceNode struct {
	Name    string          `parser:"@Ident"`
	Extends *reference      `parser:"( 'extends' @@ )? '{'"`
	Methods []*functionNode `parser:"@@* '}'"`
	Notes   *notes          `parser:"@@?"`
}

type reference struct {
	Pos  lexer.Position
	Name string `parser:"@Ident"`
}

type functionNode struct {
	Pos     lexer.Position
	Oneway  bool         `parser:"@'oneway'?"`
	Returns *typeNode    `parser:"@@"`
	Name    string       `parser:"@Ident '('"`
	Args    []*fieldNode `parser:"@@* ')'"`
	Throws  []*fieldNode `parser:"( 'throws' '(' @@* ')' )?"`
	Notes   *notes       `parser:"@@? ( ',' | ';' )?"`
}

// notes are annotations. Nothing here depends on one.
type notes struct {
	Keys []string `parser:"'(' ( @Ident ( '=' String )? ( ',' | ';' )? )* ')'"`
}

// constant is a value as it is written. Exactly one field is set.
type constant struct {
	Pos    lexer.Position
	Double *string    `parser:"@Double"`
	Int    *string    `parser:"| @( Hex | Int )"`
	Text   *string    `parser:"| @String"`
	Name   *string    `parser:"| @Ident"`
	List   *constList `parser:"| @@"`
	Map    *constMap  `parser:"| @@"`
}

type constList struct {
	Open   string      `parser:"@'['"`
	Values []*constant `parser:"( @@ ( ',' | ';' )? )* ']'"`
}

type constMap struct {
	Open    string        `parser:"@'{'"`
	Entries []*constEntry `parser:"@@* '}'"`
}

type constEntry struct {
	Key   *constant `parser:"@@ ':'"`
	Value *constant `parser:"@@ ( ',' | ';' )?"`
}

// grammar is the lexer and the parser. Building them takes a few milliseconds, which only who reads a file pays.
type grammar struct {
	lex    *lexer.StatefulDefinition
	parser *participle.Parser[document]
}

var theGrammar = sync.OnceValue(func() *grammar {
	lex := lexer.MustSimple([]lexer.SimpleRule{
		{Name: "Comment", Pattern: `(//|#)[^\n]*|/\*([^*]|\*+[^*/])*\*+/`},
		{Name: "Space", Pattern: `[\s\x{FEFF}]+`},
		{Name: "String", Pattern: `"(\\.|[^"\\\n])*"|'(\\.|[^'\\\n])*'`},
		{Name: "Double", Pattern: `[+-]?([0-9]*\.[0-9]+([eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)`},
		{Name: "Hex", Pattern: `[+-]?0[xX][0-9A-Fa-f]+`},
		{Name: "Int", Pattern: `[+-]?[0-9]+`},
		{Name: "Ident", Pattern: `[A-Za-z_](\.[A-Za-z_0-9]|[A-Za-z_0-9])*`},
		{Name: "Punct", Pattern: `[{}()<>\[\],;:=*&]`},
		{Name: "Open", Pattern: `/\*|["']`},
		{Name: "Other", Pattern: `(?s:.)`},
	})
	return &grammar{lex: lex, parser: participle.MustBuild[document](participle.Lexer(lex), participle.Elide("Comment", "Space"))}
})

// parse reads one file. name is what errors call it.
func parse(name, text string) (*document, error) {
	g := theGrammar()
	if err := g.scan(name, text); err != nil {
		return nil, err
	}
	doc, err := g.parser.ParseString(name, text)
	var pe participle.Error
	if errors.As(err, &pe) {
		return nil, at(pe.Position(), "%s", hinted(pe.Message()))
	}
	return doc, err
}

// scan refuses what the grammar would stumble over without saying why, and nesting before anything recurses into it.
func (g *grammar) scan(name, text string) error {
	lx, err := g.lex.LexString(name, text)
	if err != nil {
		return err
	}
	kinds := g.lex.Symbols()
	for depth := 0; ; {
		t, err := lx.Next()
		if err != nil {
			return err
		}
		switch t.Type {
		case lexer.EOF:
			return nil
		case kinds["Open"]:
			if t.Value == "/*" {
				return at(t.Pos, "this comment never ends: close it with */")
			}
			return at(t.Pos, "this string does not end on its line: close it with %s", t.Value)
		case kinds["Other"]:
			if t.Value == "@" {
				return at(t.Pos, "annotations of fbthrift are not read: Thrift's own stand in parentheses after what they annotate")
			}
			return at(t.Pos, "%q has no meaning in Thrift IDL: remove it", t.Value)
		case kinds["Punct"]:
			if strings.Contains("{([<", t.Value) {
				depth++
			} else if strings.Contains("})]>", t.Value) {
				depth--
			}
			if depth > maxDepth {
				return at(t.Pos, "nested deeper than %d levels: use a typedef or a struct", maxDepth)
			}
		}
	}
}

// hinted adds the next step to what the parser says.
func hinted(msg string) string {
	if strings.HasPrefix(msg, `unexpected token "<EOF>"`) {
		return msg + ": is a closing bracket missing?"
	}
	return msg
}

// Error is a defect of an IDL file: where, what, and the next step.
type Error struct {
	File      string
	Line, Col int
	Msg       string
}

// Error returns "file:line:col: message".
func (e *Error) Error() string { return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Col, e.Msg) }

func at(p lexer.Position, format string, args ...any) error {
	return &Error{File: p.Filename, Line: p.Line, Col: p.Column, Msg: fmt.Sprintf(format, args...)}
}
