package main

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// TestEveryFraming has the generator's calls answered by the echo server's code and judged by the generator's.
func TestEveryFraming(t *testing.T) {
	for _, word := range protocol.WireNames() {
		for _, service := range []string{"", "Echo"} {
			for _, size := range []int{0, 1, 128, 70_000} {
				sp, err := newSpeech(word, service, "echo", size)
				if err != nil {
					t.Fatalf("%s: %v", word, err)
				}
				e := &echo{}
				for _, seq := range []int32{1, 200, 1<<31 - 1} {
					call, err := sp.appendCall(nil, seq)
					if err != nil {
						t.Fatalf("%s: %v", word, err)
					}
					reply, err := e.answer(nil, sp.codec, call)
					if err != nil {
						t.Fatalf("%s, %d bytes: the server: %v", word, size, err)
					}
					got, err := sp.judge(reply)
					if err != nil || got != seq {
						t.Fatalf("%s, %d bytes: the reply to %d is %d, %v", word, size, seq, got, err)
					}
				}
			}
		}
	}
}

func TestJudgeSeesWrongReplies(t *testing.T) {
	for _, word := range []string{"framed-binary", "framed-compact", "theader", "osp", "dapeng"} {
		sp, err := newSpeech(word, "Echo", "echo", 16)
		if err != nil {
			t.Fatal(err)
		}
		other, err := newSpeech(word, "Echo", "echo", 17)
		if err != nil {
			t.Fatal(err)
		}
		e := &echo{}
		call, _ := other.appendCall(nil, 7)
		reply, err := e.answer(nil, sp.codec, call)
		if err != nil {
			t.Fatal(err)
		}
		if seq, err := sp.judge(reply); seq != 7 || err == nil || !strings.Contains(err.Error(), "not the echo") {
			t.Errorf("%s: another's reply: %d, %v", word, seq, err)
		}
		if _, err := sp.judge(call); err == nil {
			t.Errorf("%s: a call passed for a reply", word)
		}
		var to protocol.ReplyTo
		to.SetFrom(&e.call)
		fault := sp.codec.AppendFault(nil, protocol.Fault{Code: protocol.CodeDeadline, Message: "too late"}, &to)
		if seq, err := sp.judge(fault); seq != 7 || err == nil || !strings.Contains(err.Error(), "too late") {
			t.Errorf("%s: a fault: %d, %v", word, seq, err)
		}
	}
}

// TestEchoBytes compares with frames written by hand: the layout of TBinary and TCompact, and no codec of ours.
func TestEchoBytes(t *testing.T) {
	for _, c := range []struct{ name, framing, call, reply string }{
		{"string", "framed-binary", "80010001 00000001 61 00000005 0b0001 00000002 6869 00", "80010002 00000001 61 00000005 0b0000 00000002 6869 00"},
		{"i64", "framed-binary", "80010001 00000001 61 00000005 0a0001 0000000000000009 00", "80010002 00000001 61 00000005 0a0000 0000000000000009 00"},
		{"no argument", "framed-binary", "80010001 00000001 61 00000005 00", "80010002 00000001 61 00000005 00"},
		{"oneway", "framed-binary", "80010004 00000001 61 00000005 0b0001 00000002 6869 00", ""},
		{"compact", "framed-compact", "82 21 05 01 61 18 02 6869 00", "82 41 05 01 61 0800 02 6869 00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wire, err := protocol.ParseWire(c.framing)
			if err != nil {
				t.Fatal(err)
			}
			got, err := (&echo{}).answer(nil, codecs()[wire.Framing], framed(t, c.call))
			if want := framed(t, c.reply); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("got %x, %v\nwant %x", got, err, want)
			}
		})
	}
}

// framed puts a length before the bytes that are written in hex.
func framed(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	if len(b) == 0 {
		return nil
	}
	return append([]byte{0, 0, 0, byte(len(b))}, b...)
}

func TestEchoRefuses(t *testing.T) {
	codec := codecs()[protocol.FramedBinary]
	two := framed(t, "80010001 00000001 61 00000005 080001 00000001 080002 00000002 00")
	reply, err := (&echo{}).answer(nil, codec, two)
	if err != nil || !bytes.Contains(reply, []byte("one argument")) {
		t.Errorf("two arguments: %q, %v", reply, err)
	}
	for name, frame := range map[string]string{
		"a reply":       "80010002 00000001 61 00000005 00",
		"a cut string":  "80010001 00000001 61 00000005 0b0001 00000009 6869 00",
		"trailing byte": "80010001 00000001 61 00000005 00 00",
	} {
		if got, err := (&echo{}).answer(nil, codec, framed(t, frame)); err == nil {
			t.Errorf("%s was answered with %x", name, got)
		}
	}
}
