// Package plot draws a bar chart as SVG: groups of bars, one bar a series, with the range of what was measured as a
// whisker. It must never compute a figure: what it is given is what it draws.
//
//	│      ┬
//	│ ┬   ┌┼┐        Groups: 1, 16, 64 …     Series: haproxy, nginx, bellhop …
//	│┌┼┐  │││
//	└┴─┴──┴─┴──
package plot

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// Value is one bar. A NaN or a zero Mid is a bar that is not there.
type Value struct{ Mid, Low, High float64 }

// Series is one colour: a value for every group.
type Series struct {
	Name   string
	Values []Value
}

// Chart is what is drawn. Log makes the scale logarithmic, for values that differ by powers of ten.
type Chart struct {
	Title, Unit string
	Groups      []string
	Series      []Series
	Log         bool
}

// Sizes in SVG's units.
const (
	width, height            = 860, 360
	left, right, top, bottom = 70, 20, 70, 40
)

var colours = []string{"#9aa0a6", "#d1495b", "#edae49", "#8d6a9f", "#00798c", "#30638e"}

func (v Value) there() bool { return v.Mid > 0 && !math.IsNaN(v.Mid) }

// scale maps a value to a height of the picture.
type scale struct {
	low, high float64
	log       bool
}

func (s scale) y(v float64) float64 {
	f := (v - s.low) / (s.high - s.low)
	if s.log {
		f = math.Log(max(v, s.low)/s.low) / math.Log(s.high/s.low)
	}
	return height - bottom - f*(height-top-bottom)
}

// scale chooses what fits all values, whiskers too.
func (c *Chart) scale() scale {
	low, high := math.Inf(1), 0.0
	for _, s := range c.Series {
		for _, v := range s.Values {
			if v.there() {
				low, high = min(low, v.Mid, max(v.Low, v.Mid/10)), max(high, v.Mid, v.High)
			}
		}
	}
	if high == 0 {
		low, high = 1, 10
	}
	if c.Log {
		return scale{math.Pow(10, math.Floor(math.Log10(low))), math.Pow(10, math.Ceil(math.Log10(high))), true}
	}
	step := stepFor(high)
	return scale{0, math.Ceil(high/step) * step, false}
}

// stepFor is a round distance between grid lines: 1, 2 or 5 times a power of ten, for about five of them.
func stepFor(high float64) float64 {
	p := math.Pow(10, math.Floor(math.Log10(high/5)))
	for _, m := range []float64{1, 2, 5} {
		if p*m >= high/5*0.999 {
			return p * m
		}
	}
	return p * 10
}

func (s scale) ticks() (ticks []float64) {
	if s.log {
		for v := s.low; v <= s.high*1.001; v *= 10 {
			ticks = append(ticks, v)
		}
		return ticks
	}
	step := stepFor(s.high)
	for i := 0; float64(i)*step <= s.high*1.001; i++ {
		ticks = append(ticks, float64(i)*step)
	}
	return ticks
}

// SVG draws the chart.
func (c *Chart) SVG() string {
	var b strings.Builder
	s := c.scale()
	_, _ = fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" fill="#222">`+"\n", width, height)
	_, _ = fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	_, _ = fmt.Fprintf(&b, `<text x="%d" y="20" font-size="15">%s</text>`+"\n", left, html.EscapeString(c.Title))
	_, _ = fmt.Fprintf(&b, `<text x="%d" y="%d">%s</text>`+"\n", left, top-12, html.EscapeString(c.Unit))
	for _, t := range s.ticks() {
		_, _ = fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%g</text>`+"\n",
			left, width-right, s.y(t), s.y(t), left-6, s.y(t)+4, t)
	}
	c.legend(&b)
	group := float64(width-left-right) / float64(len(c.Groups))
	bar := group * 0.8 / float64(len(c.Series))
	for gi, name := range c.Groups {
		x := left + float64(gi)*group
		_, _ = fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", x+group/2, height-bottom+18, html.EscapeString(name))
		for si, series := range c.Series {
			if v := series.Values[gi]; v.there() {
				drawBar(&b, s, v, x+group*0.1+float64(si)*bar, bar, colours[si%len(colours)])
			}
		}
	}
	_, _ = b.WriteString("</svg>\n")
	return b.String()
}

func drawBar(b *strings.Builder, s scale, v Value, x, w float64, colour string) {
	_, _ = fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`, x, s.y(v.Mid), w*0.9, height-bottom-s.y(v.Mid), colour)
	_, _ = fmt.Fprintf(b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="#222"/>`+"\n", x+w*0.45, x+w*0.45, s.y(max(v.Low, s.low)), s.y(v.High))
}

func (c *Chart) legend(b *strings.Builder) {
	x := float64(left)
	for i, s := range c.Series {
		_, _ = fmt.Fprintf(b, `<rect x="%.1f" y="30" width="10" height="10" fill="%s"/><text x="%.1f" y="39">%s</text>`+"\n",
			x, colours[i%len(colours)], x+14, html.EscapeString(s.Name))
		x += 34 + 7*float64(len(s.Name))
	}
}
