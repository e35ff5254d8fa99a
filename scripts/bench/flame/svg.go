package flame

import (
	"fmt"
	"html"
	"slices"
	"strings"
)

// Sizes in SVG's units.
const (
	width, row, top = 1200, 17, 48
	least           = 0.4 // a narrower frame is not drawn
)

// SVG draws the flame graph (B. Gregg, "The Flame Graph", 2016): a frame's width is its share of the samples, what it
// called stands above it; frames of the kernel are red, a program's own are blue. Names and shares show under the pointer.
func (p *Profile) SVG(title string) string {
	depth := p.root.depth()
	height := top + depth*row + 10
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="monospace" font-size="11">`+"\n", width, height)
	_, _ = fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/><text x="8" y="20" font-size="15" font-family="sans-serif">%s</text>`+"\n",
		width, height, html.EscapeString(title))
	_, _ = fmt.Fprintf(&b, `<text x="8" y="38" font-family="sans-serif" fill="#555">%d samples; red: kernel, blue: the program itself</text>`+"\n", p.Total)
	p.draw(&b, p.root, 0, float64(height-10-row))
	b.WriteString("</svg>\n")
	return b.String()
}

func (n *node) depth() int {
	d := 0
	for _, c := range n.children {
		d = max(d, c.depth())
	}
	return d + 1
}

func (p *Profile) draw(b *strings.Builder, n *node, x, y float64) {
	for _, c := range sorted(n.children) {
		w := width * float64(c.total) / float64(max(p.Total, 1))
		if w >= least {
			c.box(b, x, y, w, 100*float64(c.total)/float64(p.Total))
			p.draw(b, c, x, y-row)
		}
		x += w
	}
}

func (n *node) box(b *strings.Builder, x, y, w, percent float64) {
	colour := "#8db8e0"
	if n.Kernel {
		colour = "#e8a090"
	}
	name := n.Name
	if at := strings.LastIndexByte(name, '/'); at >= 0 { // of a Go package's path the end tells enough
		name = name[at+1:]
	}
	_, _ = fmt.Fprintf(b, `<g><title>%s %.1f %%</title><rect x="%.1f" y="%.0f" width="%.1f" height="%d" fill="%s"/>`,
		html.EscapeString(n.Name), percent, x, y, w-0.2, row-1, colour)
	if letters := int(w / 7); letters > 3 {
		r := []rune(name)
		_, _ = fmt.Fprintf(b, `<text x="%.1f" y="%.0f">%s</text>`, x+2, y+12, html.EscapeString(string(r[:min(letters, len(r))])))
	}
	b.WriteString("</g>\n")
}

// sorted brings frames into an order that two pictures share.
func sorted(nodes []*node) []*node {
	return slices.SortedFunc(slices.Values(nodes), func(a, b *node) int { return strings.Compare(a.Name, b.Name) })
}
