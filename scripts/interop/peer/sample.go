package main

import (
	"fmt"
	"math"
	"reflect"
	"sort"
	"strings"

	"github.com/bellhop-mesh/bellhop/scripts/interop/gen-go/interop"
)

// sample is the one value that every peer builds by hand, in its own language; see interop.thrift.
func sample() *interop.Everything {
	e := interop.NewEverything()
	e.Yes, e.No, e.FarYes, e.FarNo = true, false, true, false
	e.Tiny, e.Small, e.Medium, e.Far, e.Back = -7, -12345, 123456789, -5, 60
	e.Large, e.Least = 1<<53+1, math.MinInt64
	e.Real = -0.1
	e.Text = "grüße, 世界 🌍"
	e.Raw = everyByte()
	e.Color = interop.Color_BLUE
	e.Bools = []bool{true, false, false, true}
	e.Flags = map[string]bool{"on": true, "off": false}
	e.Longs = []int64{0, -1, 1, math.MaxInt64, math.MinInt64}
	e.Reals = []float64{0.5, -1.5, 3.141592653589793, 1e300}
	e.Numbers = []int32{-3, 0, 2000000000}
	e.Words = []string{"", "alpha", "beta"}
	e.Names = map[int32]string{-1: "minus", 0: "", 7: "seven"}
	e.Counts = map[string]int64{"big": 1 << 40, "small": -2}
	for i := range 20 {
		e.Lines = append(e.Lines, fmt.Sprintf("line %d", i))
	}
	e.Colors = []interop.Color{interop.Color_RED, interop.Color_BLUE, interop.Color_GREEN}
	e.Blobs = [][]byte{{}, {0x00, 0xff}, []byte("abc")}
	e.Shape = shape()
	e.NoList, e.NoSet, e.NoMap = []int32{}, []string{}, map[string]int64{}
	e.NoPoints, e.NoText, e.NoRaw = []*interop.Point{}, "", []byte{}
	return e
}

func shape() *interop.Shape {
	c, far := "c", "far"
	return &interop.Shape{
		Centre:  &interop.Point{X: 1, Y: -2, Label: &c},
		Corners: []*interop.Point{{X: 0, Y: 0}, {X: 3, Y: 4, Label: &far}},
		Named:   map[string]*interop.Point{"a": {X: 5, Y: 6}},
		Grid:    [][]int32{{1, 2}, {}, {3}},
		Series:  map[string][]int64{"s": {1, -1}},
	}
}

func everyByte() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

// differs returns "" when a and b are equal, else the fields that are not. Sets are slices in Go and arrive in any order.
func differs(a, b *interop.Everything) string {
	if a == nil {
		return "nothing arrived"
	}
	for _, e := range []*interop.Everything{a, b} {
		sort.Strings(e.Words)
		sort.Slice(e.Numbers, func(i, j int) bool { return e.Numbers[i] < e.Numbers[j] })
	}
	if a.Equals(b) {
		return ""
	}
	var fields []string
	got, want := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for i := range got.NumField() {
		g, w := got.Field(i).Interface(), want.Field(i).Interface()
		if !reflect.DeepEqual(g, w) {
			fields = append(fields, fmt.Sprintf("%s: got %v, want %v", got.Type().Field(i).Name, g, w))
		}
	}
	return strings.Join(fields, "; ")
}
