package flame

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

const script = `bellhop
	ffffffff81a3b4c5 tcp_sendmsg ([kernel.kallsyms])
	ffffffff81a3b4c6 __x64_sys_sendto ([kernel.kallsyms])
	          4a1b2c proxy.(*session).write (/usr/bin/bellhop)
	          4a1b2d main.main (/usr/bin/bellhop)

bellhop
	ffffffff81a3b4c7 _copy_from_iter ([kernel.kallsyms])
	ffffffff81a3b4c6 __x64_sys_sendto ([kernel.kallsyms])
	          4a1b2c proxy.(*session).write (/usr/bin/bellhop)
	          4a1b2d main.main (/usr/bin/bellhop)

bellhop
	          4a1b2e a <b>.walk (/usr/bin/bellhop)
	          4a1b2d main.main (/usr/bin/bellhop)

bellhop
	          4a1b2d main.main (/usr/bin/bellhop)
`

func parsed(t *testing.T) *Profile {
	t.Helper()
	p, err := Parse(strings.NewReader(script))
	if err != nil || p.Total != 4 {
		t.Fatalf("%+v, %v", p, err)
	}
	return p
}

// TestShares: a stack counts once, in the first class that fits it, wherever in the stack.
func TestShares(t *testing.T) {
	got := parsed(t).Shares([]Class{{"copies", []string{"_copy_"}}, {"send", []string{"__x64_sys_send", "tcp_"}}, {"none", []string{"nobody"}}})
	want := []Share{{"copies", 0.25}, {"send", 0.25}, {"other", 0.5}}
	if len(got) != len(want) {
		t.Fatalf("%v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%v, want %v", got[i], want[i])
		}
	}
}

func TestSVG(t *testing.T) {
	svg := parsed(t).SVG("calls & <more>")
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
	}
	if n := strings.Count(svg, "<g>"); n != 6 { // main, write, sendto, tcp_sendmsg, copy, walk
		t.Errorf("%d frames, want 6:\n%s", n, svg)
	}
	for _, want := range []string{`main.main 100.0 %`, `proxy.(*session).write 50.0 %`, `a &lt;b&gt;.walk 25.0 %`} {
		if !strings.Contains(svg, want) {
			t.Errorf("no %q in\n%s", want, svg)
		}
	}
}
