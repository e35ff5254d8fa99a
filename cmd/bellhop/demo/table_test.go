package demo

import (
	"strings"
	"testing"
	"time"
)

var sampleFrame = frame{
	elapsed: 7500 * time.Millisecond, total: 15 * time.Second, proxy: killed,
	rows: []row{
		{"Go", greeterService, 498, "remote", 0, 310 * time.Microsecond, 2 * time.Millisecond},
		{"Python", greeterService, 0, "-", 12, 0, 0},
	},
}

func TestTable(t *testing.T) {
	want := `  7.5 s of 15 s    local proxy: killed
  caller  service        calls/s  via      failed        p50        p99
  Go      demo.Greeter       498  remote        0    0.31 ms    2.00 ms
  Python  demo.Greeter         0  -            12          -          -`
	if got := strings.Join(sampleFrame.table(colours{}), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Colours change nothing but the colour: the columns stay where they are.
func TestTableInColour(t *testing.T) {
	got := strings.Join(sampleFrame.table(terminalColours), "\n")
	for _, w := range []string{"local proxy: \x1b[1;31mkilled\x1b[0m", "\x1b[33mremote\x1b[0m", "\x1b[1;31m     12\x1b[0m"} {
		if !strings.Contains(got, w) {
			t.Errorf("%q is not in\n%q", w, got)
		}
	}
	c := terminalColours
	plain := strings.NewReplacer(c.good, "", c.bad, "", c.other, "", c.off, "").Replace(got)
	if want := strings.Join(sampleFrame.table(colours{}), "\n"); plain != want {
		t.Errorf("got\n%s\nwant\n%s", plain, want)
	}
}

func TestLines(t *testing.T) {
	want := `          local     | Go → demo.Greeter              | Python → demo.Greeter         
 elapsed  proxy     |   /s via    fail    p50 p99 ms |   /s via    fail    p50 p99 ms
   7.5 s  killed    |  498 remote    0   0.31   2.00 |    0 -        12   0.00   0.00`
	if got := sampleFrame.head() + "\n" + sampleFrame.line(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A terminal sees the table in place, and what was said above it; a file sees a line a second.
func TestScreen(t *testing.T) {
	for _, c := range []struct {
		name     string
		terminal bool
		want     string
	}{
		{"terminal", true, "T\x1b[4A\x1b[JT\x1b[4A\x1b[Jhello\nT"},
		{"file", false, "H\nL\nhello\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b strings.Builder
			s := screen{w: &b, terminal: c.terminal}
			s.show(sampleFrame, true)
			s.show(sampleFrame, false)
			s.say("hello")
			s.show(sampleFrame, false)
			got := strings.NewReplacer(strings.Join(sampleFrame.table(colours{}), "\n")+"\n", "T", sampleFrame.head(), "H", sampleFrame.line(), "L").Replace(b.String())
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
