package registry

import (
	"reflect"
	"testing"
	"time"
)

// TestFill: of two registries that know a service the first counts for each setting that it says something of, and the later one
// for all others, whatever settings there are.
func TestFill(t *testing.T) {
	said := func(n int64) *Service {
		s := &Service{Name: "S"}
		say(t, reflect.ValueOf(s).Elem(), n)
		return s
	}
	later := said(2)
	got := &Service{Name: "S", Endpoints: later.Endpoints, AnyZone: later.AnyZone} // no settings
	got.Fill(later)
	if !reflect.DeepEqual(got, later) {
		t.Errorf("nothing was said, and\n%+v was filled in of\n%+v", got, later)
	}
	got = said(1)
	got.Fill(later)
	if first := said(1); !reflect.DeepEqual(got, first) {
		t.Errorf("all was said:\n%+v became\n%+v", first, got)
	}
	got = &Service{Ejection: Ejection{Slow: Off, Max: time.Minute}}
	got.Fill(later)
	if e := got.Ejection; e.Slow != Off || e.Max != time.Minute || e.Errors != later.Ejection.Errors || e.Base != later.Ejection.Base {
		t.Errorf("a part was said: %+v", e)
	}
}

// say sets all fields but the name.
func say(t *testing.T, v reflect.Value, n int64) {
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			if v.Type().Field(i).Name != "Name" {
				f.SetString(string(rune('a' + n)))
			}
		case reflect.Int, reflect.Int64:
			f.SetInt(n)
		case reflect.Float64:
			f.SetFloat(float64(n))
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), int(n), int(n)))
		case reflect.Struct:
			say(t, f, n)
		default:
			t.Fatalf("what is said of %s?", v.Type().Field(i).Name)
		}
	}
}
