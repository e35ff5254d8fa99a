package osppeer

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// Header is what a peer says about a call or a reply. Empty fields are not written.
type Header struct {
	Service, Method, Version, Caller string

	Timeout time.Duration     // calls; dapeng field 10, OSP extFields bellhop-timeout-ms (bellhop's extension)
	Cookies map[string]string // baggage
	Ext     map[string]string // OSP extFields; dapeng has none

	Reply               bool // a RetCode is there
	RetCode, RetMessage string
}

// OK reports whether a reply says that the call went well.
func (h *Header) OK(framing protocol.Framing) bool { return h.Reply && h.RetCode == okCode(framing) }

func okCode(framing protocol.Framing) string {
	if framing == protocol.Dapeng {
		return "0000"
	}
	return "0"
}

const timeoutKey = "bellhop-timeout-ms"

// ids are the field ids of one framing's header.
type ids struct{ service, method, version, caller, timeout, ret, message, cookies, ext int16 }

// OSP's ids are not in the order in which encode writes them, on purpose: real peers do not order them either.
func idsOf(framing protocol.Framing) ids {
	if framing == protocol.Dapeng {
		return ids{service: 1, method: 2, version: 3, caller: 4, timeout: 10, ret: 11, message: 12, cookies: 23, ext: -1}
	}
	return ids{service: 1, method: 2, version: 3, caller: 6, timeout: -1, ret: 7, message: 8, cookies: 16, ext: 40}
}

// headerProtocol is Apache's protocol for the header of a frame whose body is in p.
func headerProtocol(framing protocol.Framing, p protocol.Payload, buf *thrift.TMemoryBuffer) thrift.TProtocol {
	if framing == protocol.OSP && p == protocol.Compact {
		return thrift.NewTCompactProtocolConf(buf, nil)
	}
	return thrift.NewTBinaryProtocolConf(buf, nil)
}

// encoder writes fields until the first error.
type encoder struct {
	thrift.TProtocol
	ctx context.Context
	err error
}

func (e *encoder) do(err error) {
	if e.err == nil {
		e.err = err
	}
}

func (e *encoder) str(id int16, v string, always bool) {
	if v == "" && !always {
		return
	}
	e.do(e.WriteFieldBegin(e.ctx, "", thrift.STRING, id))
	e.do(e.WriteString(e.ctx, v))
	e.do(e.WriteFieldEnd(e.ctx))
}

func (e *encoder) strings(id int16, m map[string]string, always bool) {
	if id < 0 || len(m) == 0 && !always {
		return
	}
	e.do(e.WriteFieldBegin(e.ctx, "", thrift.MAP, id))
	e.do(e.WriteMapBegin(e.ctx, thrift.STRING, thrift.STRING, len(m)))
	for k, v := range m {
		e.do(e.WriteString(e.ctx, k))
		e.do(e.WriteString(e.ctx, v))
	}
	e.do(e.WriteMapEnd(e.ctx))
	e.do(e.WriteFieldEnd(e.ctx))
}

func (h *Header) encode(framing protocol.Framing, p protocol.Payload) ([]byte, error) {
	id, dapeng := idsOf(framing), framing == protocol.Dapeng
	buf := thrift.NewTMemoryBuffer()
	e := &encoder{TProtocol: headerProtocol(framing, p, buf), ctx: context.Background()}
	ext := h.Ext
	e.do(e.WriteStructBegin(e.ctx, "Header"))
	e.str(id.service, h.Service, dapeng)
	e.str(id.method, h.Method, dapeng)
	e.str(id.version, h.Version, dapeng)
	if ms := h.Timeout.Milliseconds(); ms > 0 && dapeng {
		e.do(e.WriteFieldBegin(e.ctx, "", thrift.I32, id.timeout))
		e.do(e.WriteI32(e.ctx, int32(ms)))
		e.do(e.WriteFieldEnd(e.ctx))
	} else if ms > 0 {
		ext = map[string]string{timeoutKey: strconv.FormatInt(ms, 10)}
		for k, v := range h.Ext {
			ext[k] = v
		}
	}
	e.strings(id.cookies, h.Cookies, dapeng)
	e.str(id.caller, h.Caller, false)
	e.strings(id.ext, ext, false)
	e.str(id.ret, h.RetCode, h.Reply)
	e.str(id.message, h.RetMessage, false)
	e.do(e.WriteFieldStop(e.ctx))
	e.do(e.WriteStructEnd(e.ctx))
	e.do(e.Flush(e.ctx))
	return buf.Bytes(), e.err
}

func (h *Header) decode(framing protocol.Framing, p protocol.Payload, buf *thrift.TMemoryBuffer) error {
	ctx, id := context.Background(), idsOf(framing)
	in := headerProtocol(framing, p, buf)
	if _, err := in.ReadStructBegin(ctx); err != nil {
		return err
	}
	for {
		_, typ, field, err := in.ReadFieldBegin(ctx)
		if err != nil {
			return err
		}
		if typ == thrift.STOP {
			break
		}
		if err := h.field(ctx, in, typ, field, &id); err != nil {
			return err
		}
		if err := in.ReadFieldEnd(ctx); err != nil {
			return err
		}
	}
	if ms, err := strconv.Atoi(h.Ext[timeoutKey]); err == nil {
		h.Timeout = time.Duration(ms) * time.Millisecond
	}
	return in.ReadStructEnd(ctx)
}

func (h *Header) field(ctx context.Context, in thrift.TProtocol, typ thrift.TType, field int16, id *ids) (err error) {
	texts := map[int16]*string{
		id.service: &h.Service, id.method: &h.Method, id.version: &h.Version, id.caller: &h.Caller,
		id.ret: &h.RetCode, id.message: &h.RetMessage,
	}
	switch text := texts[field]; {
	case text != nil && typ == thrift.STRING:
		h.Reply = h.Reply || field == id.ret
		*text, err = in.ReadString(ctx)
	case field == id.cookies && typ == thrift.MAP:
		err = readStrings(ctx, in, &h.Cookies)
	case field == id.ext && typ == thrift.MAP:
		err = readStrings(ctx, in, &h.Ext)
	case field == id.timeout && typ == thrift.I32:
		var ms int32
		ms, err = in.ReadI32(ctx)
		h.Timeout = time.Duration(ms) * time.Millisecond
	default:
		err = in.Skip(ctx, typ)
	}
	return err
}

// readStrings reads a map<string,string> into dst; a map of other types is skipped.
func readStrings(ctx context.Context, in thrift.TProtocol, dst *map[string]string) error {
	key, elem, n, err := in.ReadMapBegin(ctx)
	if err != nil {
		return err
	}
	if n > 0 && (key != thrift.STRING || elem != thrift.STRING) {
		for range n {
			if err := errors.Join(in.Skip(ctx, key), in.Skip(ctx, elem)); err != nil {
				return err
			}
		}
		return in.ReadMapEnd(ctx)
	}
	m := map[string]string{}
	for range n {
		k, err := in.ReadString(ctx)
		if err != nil {
			return err
		}
		if m[k], err = in.ReadString(ctx); err != nil {
			return err
		}
	}
	*dst = m
	return in.ReadMapEnd(ctx)
}
