package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/registry/strict"
)

// Key is one key of the file, for the documentation and for `/config`.
type Key struct {
	Path    string // like limits.max_frame, or listeners[].addr
	Type    string
	Default string
	Help    string
}

// Keys lists every key there is, in the order of the struct.
func Keys() []Key {
	return keys(nil, reflect.ValueOf(Default(Local)).Elem(), "", true)
}

func keys(out []Key, v reflect.Value, prefix string, defaults bool) []Key {
	t := v.Type()
	for i := range t.NumField() {
		f, path := t.Field(i), join(prefix, t.Field(i).Tag.Get("yaml"))
		help := f.Tag.Get("help")
		switch {
		case f.Type.Kind() == reflect.Struct:
			out = keys(out, v.Field(i), path, defaults)
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
			out = append(out, Key{path, "list of " + f.Tag.Get("list"), listDefault(path), help})
			out = keys(out, reflect.Zero(f.Type.Elem()), path+"[]", false)
		default:
			def := "none"
			if defaults {
				def = showValue(v.Field(i))
			}
			out = append(out, Key{path, typeName(f), def, help})
		}
	}
	return out
}

// listDefault: where callers come in has defaults, which differ by role; other lists are empty.
func listDefault(path string) string {
	if path == "listeners" {
		return "see below"
	}
	return "none"
}

func typeName(f reflect.StructField) string {
	bounds := func(name string) string {
		low, high := f.Tag.Get("min"), f.Tag.Get("max")
		if f.Type == sizeType {
			low, high = Size(tagInt(f.Tag, "min")).String(), Size(tagInt(f.Tag, "max")).String()
		}
		return fmt.Sprintf("%s, %s–%s", name, low, high)
	}
	switch {
	case f.Type == durationType:
		return bounds("duration")
	case f.Type == sizeType:
		return bounds("size")
	case f.Type.Kind() == reflect.Int:
		return bounds("integer")
	case f.Type.Kind() == reflect.Float64:
		return bounds("number")
	case f.Type.Kind() == reflect.Bool:
		return "true or false"
	case f.Type.Kind() == reflect.Slice:
		return "list of text"
	case f.Tag.Get("oneof") != "":
		return strings.ReplaceAll(f.Tag.Get("oneof"), ",", ", ")
	default:
		return "text"
	}
}

func showValue(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return strict.ShowDuration(x)
	case Size:
		return x.String()
	case string:
		if x == "" {
			return "none"
		}
		return x
	case []Text:
		if len(x) == 0 {
			return "none"
		}
		return strings.Join(x, ", ")
	default:
		return fmt.Sprint(x)
	}
}

// Map returns the configuration as it is in force, keyed as in the file, for `/config`. There is no secret in it: the
// configuration names files of secrets and never holds their content.
func (c *Config) Map(role Role) map[string]any {
	return asMap(reflect.ValueOf(c).Elem(), role)
}

func asMap(v reflect.Value, role Role) map[string]any {
	out := map[string]any{}
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		if only := f.Tag.Get("role"); only != "" && only != string(role) {
			continue
		}
		out[f.Tag.Get("yaml")] = plain(v.Field(i), role)
	}
	return out
}

func plain(v reflect.Value, role Role) any {
	switch x := v.Interface().(type) {
	case time.Duration:
		return strict.ShowDuration(x)
	case Size:
		return x.String()
	}
	switch {
	case v.Kind() == reflect.Struct:
		return asMap(v, role)
	case v.Kind() == reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = plain(v.Index(i), role)
		}
		return list
	}
	return v.Interface()
}

type field struct {
	value reflect.Value
	tag   reflect.StructTag
}

func fieldOf(v reflect.Value, key string) (field, bool) {
	t := v.Type()
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("yaml") == key {
			return field{v.Field(i), t.Field(i).Tag}, true
		}
	}
	return field{}, false
}

func keysOf(t reflect.Type) []string {
	out := make([]string, t.NumField())
	for i := range out {
		out[i] = t.Field(i).Tag.Get("yaml")
	}
	return out
}

// ParseMode reads a socket's mode, which the check has judged.
func ParseMode(s string) uint32 {
	n, err := strconv.ParseUint(s, 8, 32)
	if err != nil {
		return 0o600
	}
	return uint32(n)
}
