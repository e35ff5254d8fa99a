package call

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/bellhop-mesh/bellhop/cmd/bellhop/idl"
	"github.com/bellhop-mesh/bellhop/protocol"
)

// TBinary's type numbers.
const (
	wireStop   byte = 0
	wireBool   byte = 2
	wireI8     byte = 3
	wireDouble byte = 4
	wireI16    byte = 6
	wireI32    byte = 8
	wireI64    byte = 10
	wireString byte = 11
	wireStruct byte = 12
	wireMap    byte = 13
	wireSet    byte = 14
	wireList   byte = 15
	wireUUID   byte = 16
)

// kinds has for each word of typed JSON what it is; wires has for each kind its number on the wire.
var (
	kinds = map[string]idl.Kind{
		"tf": idl.Bool, "i8": idl.I8, "i16": idl.I16, "i32": idl.I32, "i64": idl.I64, "dbl": idl.Double, "str": idl.String,
		"bin": idl.Binary, "uid": idl.UUID, "rec": idl.Record, "map": idl.Map, "lst": idl.List, "set": idl.Set,
	}
	wires = map[idl.Kind]byte{
		idl.Bool: wireBool, idl.I8: wireI8, idl.I16: wireI16, idl.I32: wireI32, idl.I64: wireI64, idl.Double: wireDouble,
		idl.String: wireString, idl.Binary: wireString, idl.UUID: wireUUID, idl.List: wireList, idl.Set: wireSet,
		idl.Map: wireMap, idl.Record: wireStruct, idl.Enumeration: wireI32,
	}
	// scalars has what an error says is wanted.
	scalars = map[idl.Kind]string{
		idl.Bool: "bool", idl.I8: "i8", idl.I16: "i16", idl.I32: "i32", idl.I64: "i64", idl.Double: "double",
		idl.String: "string", idl.Binary: "binary in base64", idl.UUID: "uuid",
	}
)

const words = "tf, i8, i16, i32, i64, dbl, str, bin, uid, rec, map, lst, set"

// encoder turns JSON into a TBinary struct.
type encoder struct {
	in  *source
	out []byte
	max int // bytes
}

// begin accounts for one more level and value at p.
func (e *encoder) begin(depth int, p *path) error {
	if depth > protocol.MaxDepth {
		return p.errorf("nested deeper than %d levels", protocol.MaxDepth)
	}
	return e.room(p, 0)
}

func (e *encoder) room(p *path, n int) error {
	if len(e.out)+n > e.max {
		return p.errorf("the arguments are larger than %d bytes here", e.max)
	}
	return nil
}

func (e *encoder) fieldHead(wire byte, id int16) {
	e.out = binary.BigEndian.AppendUint16(append(e.out, wire), uint16(id))
}

// scalar writes a value that is one token.
func (e *encoder) scalar(k idl.Kind, t json.Token, p *path) error {
	if err := e.room(p, 16); err != nil {
		return err
	}
	switch k {
	case idl.Bool:
		return e.boolean(t, p)
	case idl.I8, idl.I16, idl.I32, idl.I64:
		return e.integer(k, t, p)
	case idl.Double:
		return e.double(t, p)
	}
	s, ok := t.(string)
	if !ok {
		return p.want(scalars[k], t)
	}
	switch k {
	case idl.Binary:
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			b, err = base64.RawStdEncoding.DecodeString(s)
		}
		if err != nil {
			return p.want(scalars[k], t)
		}
		return e.bytes(b, p)
	case idl.UUID:
		return e.uuid(s, p)
	default:
		return e.bytes([]byte(s), p)
	}
}

func (e *encoder) bytes(b []byte, p *path) error {
	e.out = binary.BigEndian.AppendUint32(e.out, uint32(len(b)))
	e.out = append(e.out, b...)
	return e.room(p, 0)
}

func (e *encoder) boolean(t json.Token, p *path) error {
	switch v := t.(type) {
	case bool:
		if v {
			e.out = append(e.out, 1)
		} else {
			e.out = append(e.out, 0)
		}
		return nil
	case json.Number:
		if v == "0" || v == "1" {
			e.out = append(e.out, v[0]-'0')
			return nil
		}
	}
	return p.want("bool", t)
}

func (e *encoder) integer(k idl.Kind, t json.Token, p *path) error {
	bits := map[idl.Kind]int{idl.I8: 8, idl.I16: 16, idl.I32: 32, idl.I64: 64}[k]
	n, ok := t.(json.Number)
	if !ok {
		return p.want(scalars[k], t)
	}
	v, err := strconv.ParseInt(n.String(), 10, bits)
	if err != nil {
		return p.want(fmt.Sprintf("%s (%d … %d)", scalars[k], math.MinInt64>>(64-bits), math.MaxInt64>>(64-bits)), t)
	}
	switch k {
	case idl.I8:
		e.out = append(e.out, byte(v))
	case idl.I16:
		e.out = binary.BigEndian.AppendUint16(e.out, uint16(v))
	case idl.I32:
		e.out = binary.BigEndian.AppendUint32(e.out, uint32(v))
	default:
		e.out = binary.BigEndian.AppendUint64(e.out, uint64(v))
	}
	return nil
}

func (e *encoder) double(t json.Token, p *path) error {
	var v float64
	var err error
	switch n := t.(type) {
	case json.Number:
		v, err = n.Float64()
	case string:
		switch n {
		case "NaN":
			v = math.NaN()
		case "Infinity":
			v = math.Inf(1)
		case "-Infinity":
			v = math.Inf(-1)
		default:
			return p.want(`double, "NaN", "Infinity" or "-Infinity"`, t)
		}
	default:
		return p.want("double", t)
	}
	if err != nil {
		return p.want("a number that fits a double", t)
	}
	e.out = binary.BigEndian.AppendUint64(e.out, math.Float64bits(v))
	return nil
}

func (e *encoder) uuid(s string, p *path) error {
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	dashes := len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-'
	if err != nil || len(b) != 16 || !dashes {
		return p.want("uuid (12345678-1234-1234-1234-123456789abc)", s)
	}
	e.out = append(e.out, b...)
	return nil
}

// mapKey writes a key of a JSON object: a string, whatever its type is.
func (e *encoder) mapKey(k idl.Kind, key string, p *path) error {
	var t json.Token = key
	switch k {
	case idl.Bool:
		switch key {
		case "true", "false":
			t = key == "true"
		case "1", "0":
			t = json.Number(key)
		}
	case idl.I8, idl.I16, idl.I32, idl.I64:
		t = json.Number(key)
	case idl.Double:
		if _, err := strconv.ParseFloat(key, 64); err == nil && !strings.ContainsAny(key, "nNxX_") {
			t = json.Number(key)
		}
	}
	if err := e.scalar(k, t, p); err != nil {
		return p.errorf("key: want %s, got %s", scalars[k], describe(key))
	}
	return nil
}

// hole leaves place for a size that is known only at the end, and fill writes it.
func (e *encoder) hole() int {
	e.out = append(e.out, 0, 0, 0, 0)
	return len(e.out) - 4
}

func (e *encoder) fill(at, n int) { binary.BigEndian.PutUint32(e.out[at:], uint32(n)) }
