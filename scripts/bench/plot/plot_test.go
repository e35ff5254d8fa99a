package plot

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
)

func TestSVG(t *testing.T) {
	for _, log := range []bool{false, true} {
		c := Chart{Title: "CPU <per> call", Unit: "µs", Groups: []string{"1", "16"}, Log: log, Series: []Series{
			{"a & b", []Value{{10, 9, 11}, {20, 19, 21}}},
			{"c", []Value{{}, {math.NaN(), 0, 0}}},
			{"d", []Value{{0.5, 0.4, 0.6}, {4000, 3000, 5000}}},
		}}
		svg := c.SVG()
		d := xml.NewDecoder(strings.NewReader(svg))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("log %v: %v in\n%s", log, err, svg)
			}
		}
		if n := strings.Count(svg, "<rect") - 1 - len(c.Series); n != 4 { // less the ground and the legend
			t.Errorf("log %v: %d bars, want 4", log, n)
		}
		if strings.Contains(svg, "NaN") || strings.Contains(svg, `="-`) {
			t.Errorf("log %v: drawn outside the picture:\n%s", log, svg)
		}
	}
}

func TestScale(t *testing.T) {
	for _, c := range []struct {
		high, top float64
		ticks     int
	}{{10, 10, 6}, {11, 15, 4}, {47, 50, 6}, {0.9, 1, 6}} {
		chart := Chart{Series: []Series{{"a", []Value{{c.high, c.high, c.high}}}}}
		s := chart.scale()
		if math.Abs(s.high-c.top) > 1e-9 || len(s.ticks()) != c.ticks {
			t.Errorf("%v: up to %v with %v, want %v with %d ticks", c.high, s.high, s.ticks(), c.top, c.ticks)
		}
		if s.y(0) != height-bottom || s.y(s.high) != top {
			t.Errorf("%v: from %v to %v", c.high, s.y(0), s.y(s.high))
		}
	}
}
