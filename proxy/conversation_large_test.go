package proxy

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"
)

// The words for large frames, which arrive in pieces (testdata/README.md).

// textOf is the text that the rest of a line names: the words themselves, or "large N" for N characters.
func textOf(words []string) string {
	if len(words) == 2 && words[0] == "large" {
		if n, err := strconv.Atoi(words[1]); err == nil {
			return strings.Repeat("x", n)
		}
	}
	return strings.Join(words, " ")
}

// large: "begins SEQ NAME N M" and "begins-reply N M" bring the first M bytes of a frame with a text of N characters,
// "goes-on M" brings more of it, "ends" the rest. "has-part": bytes were written, and no whole frame.
func (k *talk) large(c *fakeConn, name, verb string, args []string) error {
	t := k.t.(*testing.T)
	switch verb {
	case "begins":
		k.more[name] = callFrame(args, false, []string{args[1], strings.Repeat("x", number(t, args[2]))})
		args = args[3:]
	case "begins-reply":
		if len(k.seen[name]) == 0 {
			return errors.New("has seen no call that waits for an answer")
		}
		m := k.seen[name][0]
		k.seen[name] = k.seen[name][1:]
		k.more[name] = frame(m.name, thrift.REPLY, m.seq, 0, strings.Repeat("x", number(t, args[0])))
		args = args[1:]
	case "has-part":
		if m, err := k.next(c, name); err == nil {
			return fmt.Errorf("was sent the whole of %s", m.name)
		}
		if len(k.rest[name]) == 0 {
			return errors.New("was sent nothing")
		}
		return nil
	}
	n := len(k.more[name])
	if verb != "ends" {
		n = number(t, args[0])
	}
	b := k.more[name]
	k.more[name] = b[n:]
	c.bring(b[:n])
	return nil
}
