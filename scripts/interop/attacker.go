package interop

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
)

// How long an attacker waits: for a reply that must come, and to be sure that none does.
const (
	attackerPatience = 5 * time.Second
	attackerSilence  = 60 * time.Millisecond
)

const attackerFrame = 1 << 20 // bytes of the longest reply that is read

// dialFrom connects with a source address of its own: 127.0.0.2 is another source than 127.0.0.1.
func dialFrom(source, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: attackerPatience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
	return d.Dial("tcp", addr)
}

// answer is one frame that an attacker received.
type answer struct {
	raw  []byte
	kind thrift.TMessageType
	seq  int32
	app  int32  // TApplicationException type, of exceptions
	text string // of replies
}

func (a answer) String() string {
	if a.kind == thrift.EXCEPTION {
		return fmt.Sprintf("exception %d", a.app)
	}
	return "reply"
}

// readAnswer reads one framed message. What cannot be read as one is an error, with the bytes in answer.raw.
func (d dialect) readAnswer(conn net.Conn, patience time.Duration) (answer, error) {
	var a answer
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return a, err
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return a, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > attackerFrame {
		return a, fmt.Errorf("a reply of %d bytes", n)
	}
	a.raw = make([]byte, n)
	if _, err := io.ReadFull(conn, a.raw); err != nil {
		return a, err
	}
	return a, d.decode(&a)
}

func (d dialect) decode(a *answer) error {
	ctx := context.Background()
	buf := thrift.NewTMemoryBuffer()
	buf.Write(a.raw)
	var p thrift.TProtocol = thrift.NewTBinaryProtocolConf(buf, nil)
	if d.compact {
		p = thrift.NewTCompactProtocolConf(buf, nil)
	}
	var err error
	if _, a.kind, a.seq, err = p.ReadMessageBegin(ctx); err != nil {
		return err
	}
	if a.kind == thrift.EXCEPTION {
		app := thrift.NewTApplicationException(0, "")
		err = app.Read(ctx, p)
		a.app = app.TypeId()
		return err
	}
	if _, err = p.ReadStructBegin(ctx); err != nil {
		return err
	}
	_, kind, _, err := p.ReadFieldBegin(ctx)
	if err == nil && kind == thrift.STRING {
		a.text, err = p.ReadString(ctx)
	}
	return err
}

// strike sends the attack once and reads what comes back until the connection ends or stays silent.
func (a attack) strike(addr string, d dialect, service string) (got []answer, closed bool, err error) {
	conn, err := dialFrom("127.0.0.1", addr)
	if err != nil {
		return nil, false, err
	}
	defer conn.Close()
	if _, err := conn.Write(a.bytes(d, func(method string) string { return service + ":" + method })); err != nil {
		return nil, true, nil // closed before all was written
	}
	if a.hangUp {
		return nil, false, nil
	}
	wanted := len(a.seqs)
	if a.want == refused {
		wanted = 1
	}
	for {
		patience := attackerSilence
		if len(got) < wanted {
			patience = attackerPatience
		}
		next, err := d.readAnswer(conn, patience)
		var slow net.Error
		switch {
		case err == nil:
			got = append(got, next)
		case errors.As(err, &slow) && slow.Timeout():
			return got, false, nil
		case next.raw != nil:
			return append(got, next), false, fmt.Errorf("a reply that is none: %w", err)
		default:
			return got, true, nil
		}
	}
}

// judge says what the attacker got, and what was wrong with that ("" when nothing was).
func (a attack) judge(got []answer, closed bool, secret string) (what, wrong string) {
	var words []string
	for _, g := range got {
		words = append(words, g.String())
		if strings.Contains(string(g.raw), secret) {
			return "the victim's bytes", "the attacker saw a victim's text"
		}
	}
	if closed {
		words = append(words, "closed")
	}
	if len(words) == 0 {
		words = []string{"nothing"}
	}
	if len(words) > 3 {
		words = []string{fmt.Sprintf("%d × %s", len(words), words[0])}
	}
	return strings.Join(words, ", "), a.short(got, closed)
}

// short says where the outcome falls short of what was wanted.
func (a attack) short(got []answer, closed bool) string {
	switch a.want {
	case refused:
		for _, g := range got {
			if g.kind != thrift.EXCEPTION {
				return "a malformed call was answered"
			}
		}
		if len(got) == 0 && !closed {
			return "neither refused nor closed"
		}
		if len(got) > 1 {
			return "one call, several replies"
		}
	case silence:
		if len(got) > 0 {
			return "a oneway was answered"
		}
	case answered:
		if len(got) != len(a.seqs) {
			return fmt.Sprintf("%d replies to %d calls", len(got), len(a.seqs))
		}
		for i, g := range got {
			if g.kind != thrift.REPLY || g.seq != a.seqs[i] || g.text != a.texts[i] {
				return fmt.Sprintf("reply %d: %v, sequence %d, %q", i, g, g.seq, g.text)
			}
		}
	case anything:
	}
	return ""
}
