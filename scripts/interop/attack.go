package interop

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// TMessage types.
const (
	msgCall      = 1
	msgReply     = 2
	msgException = 3
	msgOneway    = 4
)

// dialect writes hostile messages by hand, framed, in TBinary or TCompact: no library would.
type dialect struct{ compact bool }

// message is a TMessage's header followed by body.
func (d dialect) message(kind byte, name string, seq int32, body []byte) []byte {
	var b []byte
	if d.compact { // 82 · type(3 bits) version(5 bits) · sequence · length · name
		b = append(b, 0x82, kind<<5|1)
		b = binary.AppendUvarint(b, uint64(uint32(seq)))
		b = binary.AppendUvarint(b, uint64(len(name)))
		b = append(b, name...)
	} else { // 80 01 00 type · length · name · sequence
		b = append(b, 0x80, 0x01, 0x00, kind)
		b = binary.BigEndian.AppendUint32(b, uint32(len(name)))
		b = append(b, name...)
		b = binary.BigEndian.AppendUint32(b, uint32(seq))
	}
	return append(b, body...)
}

// text is a struct with the string field 1, whose announced length is claim and not len(s) when claim is not 0.
func (d dialect) text(s string, claim int) []byte {
	if claim == 0 {
		claim = len(s)
	}
	var b []byte
	if d.compact {
		b = binary.AppendUvarint([]byte{0x18}, uint64(uint32(claim)))
	} else {
		b = binary.BigEndian.AppendUint32([]byte{11, 0, 1}, uint32(claim))
	}
	return append(append(b, s...), 0)
}

// oddType is a struct with a field of a type that does not exist.
func (d dialect) oddType() []byte {
	if d.compact {
		return []byte{0x1f, 1, 2, 3, 0}
	}
	return []byte{99, 0, 1, 1, 2, 3, 0}
}

// hugeList is a struct with a list that announces 2³¹−1 strings and has none.
func (d dialect) hugeList() []byte {
	if d.compact {
		return append(binary.AppendUvarint([]byte{0x19, 0xf8}, 1<<31-1), 0)
	}
	return []byte{15, 0, 1, 11, 0x7f, 0xff, 0xff, 0xff, 0}
}

// nested is a struct in a struct, n times.
func (d dialect) nested(n int) []byte {
	open := []byte{12, 0, 1}
	if d.compact {
		open = []byte{0x1c}
	}
	return append(bytes.Repeat(open, n), bytes.Repeat([]byte{0}, n+1)...)
}

func frame(parts ...[]byte) []byte {
	whole := bytes.Join(parts, nil)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(whole))), whole...)
}

// outcome is what an attacker may get from a proxy that holds the border.
type outcome int

const (
	refused  outcome = iota // a TApplicationException or a closed connection, and nothing else
	silence                 // no reply
	answered                // its own replies, each with its own sequence and text
	anything                // the attack hangs up before an answer
)

// attack is one way to use a connection that another source also uses.
type attack struct {
	name   string
	want   outcome
	hangUp bool     // leave at once after the last byte
	texts  []string // of the replies, when answered
	seqs   []int32
	bytes  func(d dialect, call func(method string) string) []byte
}

// bait is what an attacker sends as its own text; a victim that reads it has got somebody else's reply.
const bait = "bait-of-the-attacker"

// secret is what the naive proxy's victim says, in a call that an attacker can guess the length of.
const secret = "secret-of-the-victim"

// victimCall is that call's message. A string that is longer than its frame by these bytes swallows the stop of its own
// struct and the next call up to that one's stop: the server takes both frames for one well-formed call.
func (d dialect) victimCall() []byte { return d.message(msgCall, "echoString", 77, d.text(secret, 0)) }

func attacks() []attack {
	echo := func(d dialect, name string, seq int32, s string) []byte {
		return d.message(msgCall, name, seq, d.text(s, 0))
	}
	all := []attack{
		{name: "string beyond the frame", bytes: func(d dialect, call func(string) string) []byte {
			return frame(d.message(msgCall, call("echoString"), 1, d.text(bait, len(bait)+len(d.victimCall()))))
		}},
		{name: "string without an end", bytes: func(d dialect, call func(string) string) []byte {
			return frame(d.message(msgCall, call("echoString"), 1, d.text(bait, 1<<20)))
		}},
		{name: "negative length", bytes: func(d dialect, call func(string) string) []byte {
			return frame(d.message(msgCall, call("echoString"), 1, d.text(bait, -2)))
		}},
		{name: "two messages in a frame", bytes: func(d dialect, call func(string) string) []byte {
			return frame(echo(d, call("echoString"), 1, bait), echo(d, "echoString", 2, bait))
		}},
		{name: "forged replies for 64 sequences", bytes: func(d dialect, call func(string) string) []byte {
			parts := [][]byte{echo(d, call("echoString"), 1, bait)}
			for seq := range int32(64) {
				parts = append(parts, echo(d, "echoString", seq, bait))
			}
			return frame(parts...)
		}},
		{name: "field of an unknown type", bytes: func(d dialect, call func(string) string) []byte {
			return frame(d.message(msgCall, call("echoString"), 1, d.oddType()))
		}},
		{name: "list of 2³¹−1 strings", bytes: func(d dialect, call func(string) string) []byte {
			return frame(d.message(msgCall, call("echoString"), 1, d.hugeList()))
		}},
		{name: "struct without an end", bytes: func(d dialect, call func(string) string) []byte {
			body := d.text(bait, 0)
			return frame(d.message(msgCall, call("echoString"), 1, body[:len(body)-1]))
		}},
		{name: "10,000 nested structs", bytes: func(d dialect, call func(string) string) []byte {
			return frame(d.message(msgCall, call("echoString"), 1, d.nested(10_000)))
		}},
		{name: "a reply instead of a call", bytes: func(d dialect, call func(string) string) []byte {
			return frame(d.message(msgReply, call("echoString"), 1, d.text(bait, 0)))
		}},
		{name: "unknown oneway", want: silence, bytes: func(d dialect, call func(string) string) []byte {
			return frame(d.message(msgOneway, call("nobody"), 1, d.text(bait, 0)))
		}},
		{name: "oneway of a method that replies", want: silence, bytes: func(d dialect, call func(string) string) []byte {
			return frame(d.message(msgOneway, call("echoString"), 1, d.text(bait, 0)))
		}},
		{name: "call of a oneway method", want: silence, bytes: func(d dialect, call func(string) string) []byte {
			return frame(d.message(msgCall, call("notify"), 1, d.text(bait, 0)))
		}},
		{name: "hang up during a call", want: anything, hangUp: true, bytes: func(d dialect, call func(string) string) []byte {
			return frame(echo(d, call("echoString"), 1, bait))
		}},
		{name: "hang up inside a frame", want: anything, hangUp: true, bytes: func(d dialect, call func(string) string) []byte {
			whole := frame(echo(d, call("echoString"), 1, bait))
			return whole[:len(whole)-5]
		}},
	}
	return append(all, replay())
}

// replay pipelines calls whose sequences repeat, are 0, negative or the greatest there is.
func replay() attack {
	a := attack{name: "repeated and odd sequences", want: answered, seqs: []int32{0, 0, -1, 5, 5, 1<<31 - 1, -1 << 31, 1}}
	for i := range a.seqs {
		a.texts = append(a.texts, fmt.Sprintf("%s-%d", bait, i))
	}
	a.bytes = func(d dialect, call func(string) string) []byte {
		var b []byte
		for i, seq := range a.seqs {
			b = append(b, frame(d.message(msgCall, call("echoString"), seq, d.text(a.texts[i], 0)))...)
		}
		return b
	}
	return a
}
