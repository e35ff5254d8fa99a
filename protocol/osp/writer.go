package osp

import (
	"encoding/binary"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// writer appends the fields of one header struct.
type writer struct {
	p    protocol.Payload
	dst  []byte
	last int32 // compact: the id of the field before
}

// begin appends a field's head. Types are TBinary's numbers.
func (w *writer) begin(typ byte, id int32) {
	if w.p != protocol.Compact {
		w.dst = append(w.dst, typ, byte(id>>8), byte(id))
		return
	}
	delta := id - w.last
	w.last = id
	if delta >= 1 && delta <= 15 {
		w.dst = append(w.dst, byte(delta)<<4|compactOf(typ))
		return
	}
	w.dst = binary.AppendUvarint(append(w.dst, compactOf(typ)), uint64(uint32(id<<1)^uint32(id>>31)))
}

// compactOf is the compact number of the types that are written here.
func compactOf(typ byte) byte {
	switch typ {
	case tI32:
		return 5
	case tI64:
		return 6
	case tString:
		return 8
	default:
		return 11 // tMap
	}
}

// num appends an integer field of type tI32 or tI64.
func (w *writer) num(typ byte, id int32, v int64) {
	w.begin(typ, id)
	switch {
	case w.p == protocol.Compact:
		w.dst = binary.AppendUvarint(w.dst, uint64(v<<1)^uint64(v>>63))
	case typ == tI32:
		w.dst = binary.BigEndian.AppendUint32(w.dst, uint32(int32(v)))
	default:
		w.dst = binary.BigEndian.AppendUint64(w.dst, uint64(v))
	}
}

// mapBegin appends the head of a map<string,string> field; n entries must follow.
func (w *writer) mapBegin(id int32, n int) {
	w.begin(tMap, id)
	w.dst = appendMapHead(w.dst, w.p, n)
}

// entry appends one entry of the map that was begun.
func (w *writer) entry(k, v []byte) {
	w.dst = appendString(appendString(w.dst, w.p, k), w.p, v)
}

// word is entry for constants.
func (w *writer) word(k, v string) {
	w.dst = appendString(appendString(w.dst, w.p, k), w.p, v)
}

// stop ends the struct.
func (w *writer) stop() { w.dst = append(w.dst, 0) }

type text interface{ string | []byte }

// putString appends a string field.
func putString[T text](w *writer, id int32, v T) {
	w.begin(tString, id)
	w.dst = appendString(w.dst, w.p, v)
}

// putFilled appends a string field unless it is empty.
func putFilled[T text](w *writer, id int32, v T) {
	if len(v) > 0 {
		putString(w, id, v)
	}
}

func appendString[T text](dst []byte, p protocol.Payload, v T) []byte {
	if p == protocol.Compact {
		dst = binary.AppendUvarint(dst, uint64(len(v)))
	} else {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(v)))
	}
	return append(dst, v...)
}

func appendMapHead(dst []byte, p protocol.Payload, n int) []byte {
	if p != protocol.Compact {
		return binary.BigEndian.AppendUint32(append(dst, tString, tString), uint32(n))
	}
	dst = binary.AppendUvarint(dst, uint64(n))
	if n > 0 {
		dst = append(dst, compactOf(tString)<<4|compactOf(tString))
	}
	return dst
}

// appendMerged appends hdr, a well-formed header struct in p, with these entries added to its map<string,string> id.
// Every other field keeps its bytes and its place. An entry of the map whose key comes again is replaced: what the
// proxy says of itself under its own keys must not stand beside what a caller claimed under them.
func appendMerged(dst []byte, p protocol.Payload, hdr []byte, id int32, extra []protocol.KV) []byte {
	at, end := -1, -1
	var old pairs
	f := fields{p: p, b: hdr}
	for f.next() {
		if m, ok := f.stringMap(); ok && f.id == id {
			at, end, old = f.val, f.pos, m // the last one counts
		}
	}
	if at < 0 {
		w := writer{p: p, dst: append(dst, hdr[:len(hdr)-1]...), last: f.id}
		w.mapBegin(id, len(extra))
		w.entries(extra)
		w.stop()
		return w.dst
	}
	kept := 0
	for m := old; ; kept++ {
		if _, _, ok := nextKept(&m, extra); !ok {
			break
		}
	}
	w := writer{p: p, dst: append(dst, hdr[:at]...)}
	w.dst = appendMapHead(w.dst, p, kept+len(extra))
	for {
		k, v, ok := nextKept(&old, extra)
		if !ok {
			break
		}
		w.entry(k, v)
	}
	w.entries(extra)
	return append(w.dst, hdr[end:]...)
}

func (w *writer) entries(kvs []protocol.KV) {
	for i := range kvs {
		w.entry(kvs[i].Key, kvs[i].Value)
	}
}

// nextKept returns the next entry whose key is not among extra's.
func nextKept(m *pairs, extra []protocol.KV) (k, v []byte, ok bool) {
	for {
		if k, v, ok = m.next(); !ok || !hasKey(extra, k) {
			return k, v, ok
		}
	}
}

func hasKey(kvs []protocol.KV, key []byte) bool {
	for i := range kvs {
		if string(kvs[i].Key) == string(key) {
			return true
		}
	}
	return false
}
