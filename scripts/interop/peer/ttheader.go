package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"
)

// ttheader is a thrift.TTransport that speaks TTHeader, written from its public layout and from nothing of ours:
//
//	0        4       6       8      12            14
//	| length | 0x1000 | flags | seq  | header words | proto(1) ntransforms(1) info … 00-padding | payload |
//	info 0x10: count(2) × (key(2) len(2) value)   info 0x01: count(2) × (len(2) key len(2) value)
//
// One frame a flush. The payload is a TMessage, or len(4) + TMessage when inner is set.
type ttheader struct {
	conn    net.Conn
	in      *bufio.Reader
	inner   bool
	compact bool   // of the frame that was read last, where either is taken
	either  bool   // the header says which protocol it is
	service string // sent as ToService by callers
	server  bool
	seq     uint32 // caller: of the last call; server: of the call being answered
	frame   bytes.Buffer
	out     bytes.Buffer
}

const (
	ttMagic     = 0x1000
	ttIntInfo   = 0x10
	ttStrInfo   = 0x01
	ttToService = 6
	ttToMethod  = 9
	ttTimeout   = 12
	ttMaxFrame  = 16 << 20
)

// callTTHeader is a caller's side, which names the service; serveTTHeader is a server's.
func callTTHeader(conn net.Conn, f framing, service string) *ttheader {
	return &ttheader{conn: conn, in: bufio.NewReader(conn), inner: f.inner, compact: f.compact, service: service}
}

func serveTTHeader(conn net.Conn, f framing) *ttheader {
	return &ttheader{
		conn: conn, in: bufio.NewReader(conn), inner: f.inner, compact: f.compact, server: true,
		either: f.inner,
	} // ttheader-framed is declared without a protocol
}

func (t *ttheader) Open() error            { return nil }
func (t *ttheader) IsOpen() bool           { return true }
func (t *ttheader) Close() error           { return t.conn.Close() }
func (t *ttheader) RemainingBytes() uint64 { return uint64(t.frame.Len()) }

func (t *ttheader) Write(p []byte) (int, error) { return t.out.Write(p) }

func (t *ttheader) Read(p []byte) (int, error) {
	if t.frame.Len() == 0 {
		if err := t.readFrame(); err != nil {
			return 0, err
		}
	}
	return t.frame.Read(p)
}

// Flush sends what was written as one frame.
func (t *ttheader) Flush(context.Context) error {
	payload := t.out.Bytes()
	if t.inner {
		payload = append(binary.BigEndian.AppendUint32(nil, uint32(len(payload))), payload...)
	}
	head := t.header()
	frame := binary.BigEndian.AppendUint32(nil, uint32(10+len(head)+len(payload)))
	frame = binary.BigEndian.AppendUint16(frame, ttMagic)
	frame = binary.BigEndian.AppendUint16(frame, 0)
	if !t.server {
		t.seq++
	}
	frame = binary.BigEndian.AppendUint32(frame, t.seq)
	frame = binary.BigEndian.AppendUint16(frame, uint16(len(head)/4))
	frame = append(append(frame, head...), payload...)
	t.out.Reset()
	_, err := t.conn.Write(frame)
	return err
}

// header is what stands behind the 14 bytes, padded to whole words.
func (t *ttheader) header() []byte {
	h := []byte{0, 0}
	if t.compact {
		h[0] = 2
	}
	if !t.server {
		h = append(h, ttIntInfo)
		h = binary.BigEndian.AppendUint16(h, 3)
		for _, kv := range []struct {
			key   uint16
			value string
		}{{ttToService, t.service}, {ttToMethod, t.method()}, {ttTimeout, "4000"}} {
			h = binary.BigEndian.AppendUint16(h, kv.key)
			h = appendString16(h, kv.value)
		}
		h = append(h, ttStrInfo, 0, 1)
		h = appendString16(appendString16(h, "tenant"), "interop")
	}
	for len(h)%4 != 0 {
		h = append(h, 0)
	}
	return h
}

func appendString16(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

// method reads the name out of the TMessage that waits to be sent.
func (t *ttheader) method() string {
	b := t.out.Bytes()
	if !t.compact { // 80010001 len(4) name
		return string(b[8 : 8+binary.BigEndian.Uint32(b[4:])])
	}
	_, n := binary.Uvarint(b[2:]) // 82 type|version, sequence, length, name
	size, m := binary.Uvarint(b[2+n:])
	return string(b[2+n+m:][:size])
}

func (t *ttheader) readFrame() error {
	if !t.server {
		if err := t.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
	}
	var fixed [14]byte
	if _, err := io.ReadFull(t.in, fixed[:]); err != nil {
		return err
	}
	size, words := binary.BigEndian.Uint32(fixed[:]), int(binary.BigEndian.Uint16(fixed[12:]))
	if magic := binary.BigEndian.Uint16(fixed[4:]); magic != ttMagic {
		return fmt.Errorf("ttheader: magic %#x, want %#x", magic, ttMagic)
	}
	if size > ttMaxFrame || int(size) < 10+4*words {
		return fmt.Errorf("ttheader: frame of %d bytes with %d header words", size, words)
	}
	rest := make([]byte, size-10)
	if _, err := io.ReadFull(t.in, rest); err != nil {
		return err
	}
	if err := t.checkHeader(binary.BigEndian.Uint32(fixed[8:]), rest[:4*words]); err != nil {
		return err
	}
	payload := rest[4*words:]
	if t.inner {
		if len(payload) < 4 || int(binary.BigEndian.Uint32(payload)) != len(payload)-4 {
			return fmt.Errorf("ttheader: the inner length does not fit a payload of %d bytes", len(payload))
		}
		payload = payload[4:]
	}
	t.frame.Reset()
	_, err := t.frame.Write(payload)
	return err
}

func (t *ttheader) checkHeader(seq uint32, head []byte) error {
	if !t.server && seq != t.seq {
		return fmt.Errorf("ttheader: the reply carries sequence %d, the call had %d", seq, t.seq)
	}
	t.seq = seq
	if t.either && len(head) > 0 {
		t.compact = head[0] == 2
	}
	want := byte(0)
	if t.compact {
		want = 2
	}
	if len(head) < 2 || head[0] != want || head[1] != 0 {
		return fmt.Errorf("ttheader: header % x, want protocol %d and no transforms", head, want)
	}
	return nil
}
