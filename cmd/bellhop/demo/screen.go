package demo

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// screen is where the demo is watched: a terminal, whose table is rewritten in place, or a file or pipe, which gets
// lines. Its methods are for one goroutine.
type screen struct {
	w        io.Writer
	terminal bool
	colours
	drawn  int  // lines of the table that the cursor is below of
	headed bool // the columns were named
}

func newScreen(out *os.File) *screen {
	s := &screen{w: out, terminal: term.IsTerminal(int(out.Fd()))}
	if _, plain := os.LookupEnv("NO_COLOR"); s.terminal && !plain && os.Getenv("TERM") != "dumb" {
		s.colours = terminalColours
	}
	if os.Getenv("TERM") == "dumb" {
		s.terminal = false
	}
	return s
}

// say writes a line that stays.
func (s *screen) say(format string, args ...any) {
	s.clear()
	_, _ = fmt.Fprintf(s.w, format+"\n", args...) // a reader that went away ends the demo by SIGPIPE, or does not matter
}

// show draws the frame. second: a second has passed since the last one that had it; lines are for those only.
func (s *screen) show(f frame, second bool) {
	if s.terminal {
		lines := f.table(s.colours)
		s.clear()
		_, _ = io.WriteString(s.w, strings.Join(lines, "\n")+"\n") // as in say
		s.drawn = len(lines)
		return
	}
	if !second {
		return
	}
	if !s.headed {
		s.headed = true
		s.say("%s", f.head())
	}
	s.say("%s", f.line())
}

// clear takes the table away.
func (s *screen) clear() {
	if s.drawn > 0 {
		_, _ = fmt.Fprintf(s.w, "\x1b[%dA\x1b[J", s.drawn) // as in say
		s.drawn = 0
	}
}
