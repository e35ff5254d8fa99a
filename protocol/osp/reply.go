package osp

import "github.com/bellhop-mesh/bellhop/protocol"

// AppendReply implements protocol.Codec.
func (c *codec) AppendReply(dst []byte, m *protocol.Message, to *protocol.ReplyTo, s *protocol.Scratch) ([]byte, error) {
	p := to.PayloadFor(m.Payload)
	if c.passes(m, p) {
		return c.copyFrame(dst, m.Frame, to.Seq), nil
	}
	start := len(dst)
	dst = c.open(dst, p, to.Seq)
	hp := c.headerPayload(p)
	var err error
	if m.Framing == c.framing || c.carries(m) {
		dst, err = c.appendRaw(dst, m, hp, s)
	} else {
		dst = c.appendReplyHeader(dst, m, to, hp)
	}
	switch {
	case err != nil:
	case m.Type == protocol.MessageException && m.Framing != c.framing:
		dst = c.appendErrorBody(dst)
	case len(m.Body) > 0:
		dst, err = protocol.Transcode(dst, m.Payload, p, m.Body, s.Max)
	}
	if err != nil {
		return dst[:start], err
	}
	return shut(dst, start), nil
}

// appendErrorBody appends the body of an error reply: OSP's is the empty struct, which is one stop byte in TBinary and
// in TCompact; dapeng's is absent.
func (c *codec) appendErrorBody(dst []byte) []byte {
	if c.framing == protocol.Dapeng {
		return dst
	}
	return append(dst, 0)
}

// begin appends the fields that every header built for an answer begins with. dapeng's peers expect the names even
// where they are empty.
func (c *codec) begin(w *writer, to *protocol.ReplyTo) {
	if c.framing == protocol.Dapeng {
		putString(w, idService, to.Service)
		putString(w, idMethod, to.Method)
		putString(w, idVersion, to.Version)
		return
	}
	putFilled(w, idService, to.Service)
	putFilled(w, idMethod, to.Method)
	putFilled(w, idVersion, to.Version)
}

// appendReplyHeader builds the header of a reply that came in another framing.
func (c *codec) appendReplyHeader(dst []byte, m *protocol.Message, to *protocol.ReplyTo, p protocol.Payload) []byte {
	w := writer{p: p, dst: dst}
	c.begin(&w, to)
	unexecuted := false
	if m.Type == protocol.MessageException {
		unexecuted = c.putException(&w, m)
	} else {
		putString(&w, c.ret, c.ok)
	}
	c.putTraceIDs(&w, m)
	c.putReplyMaps(&w, m, unexecuted)
	w.stop()
	return w.dst
}

// putException appends code and message of an error reply, and says whether the message of a TApplicationException
// claims that the call was not executed (wire.md §9: plain Thrift has no other place for it).
func (c *codec) putException(w *writer, m *protocol.Message) (unexecuted bool) {
	if sibling(m.Framing) != nil {
		putString(w, c.ret, m.RetCode)
		putFilled(w, c.retMessage, m.RetMessage)
		return false
	}
	message, app, _ := protocol.AppException(m.Body, m.Payload) // what is no such struct says no more than that it failed
	if code, ok := m.Find(keyRetCode); ok {                     // the server speaks OSP or dapeng, behind another proxy
		putString(w, c.ret, code)
	} else {
		putString(w, c.ret, protocol.RetCodeOfAppType(app))
	}
	putFilled(w, c.retMessage, message)
	const mark = "not executed:"
	return app == protocol.AppLoadshedding && len(message) >= len(mark) && string(message[:len(mark)]) == mark
}

// putReplyMaps sorts Info into cookies and extFields. Where both are one map (dapeng), all of it goes there.
func (c *codec) putReplyMaps(w *writer, m *protocol.Message, unexecuted bool) {
	_, told := m.Find(keyNotExecuted)
	unexecuted = unexecuted && !told && !hasWord(m.Extra, keyNotExecuted)
	marks := len(m.Extra)
	if unexecuted {
		marks++
	}
	cookies, ext := filled(m.Trace), 0
	for i := range m.Info {
		switch c.place(m.Info[i].Key) {
		case c.cookies:
			cookies++
		case c.ext:
			ext++
		}
	}
	if c.ext == none {
		cookies += marks
	} else {
		ext += marks
	}
	if cookies > 0 || c.framing == protocol.Dapeng {
		w.mapBegin(c.cookies, cookies)
		if len(m.Trace) > 0 {
			w.entry([]byte(keyTrace), m.Trace)
		}
		c.placed(w, m.Info, c.cookies)
	}
	if ext > 0 {
		w.mapBegin(c.ext, ext)
		c.placed(w, m.Info, c.ext)
	}
	if unexecuted {
		w.word(keyNotExecuted, "true")
	}
	w.entries(m.Extra)
}

// place says which map of a reply an Info key belongs to; none: it was for one hop between proxies.
func (c *codec) place(key []byte) int32 {
	switch string(key) {
	case keyGroup, keyLevel, keyLocation, keyBroken, keyRetry, keyNotExecuted:
		if c.ext != none {
			return c.ext
		}
		return c.cookies
	}
	if own(key) {
		return nowhere
	}
	return c.cookies
}

// placed appends the entries of info that belong to the map id.
func (c *codec) placed(w *writer, info []protocol.KV, id int32) {
	for i := range info {
		if c.place(info[i].Key) == id {
			w.entry(info[i].Key, info[i].Value)
		}
	}
}

func hasWord(kvs []protocol.KV, key string) bool {
	for i := range kvs {
		if string(kvs[i].Key) == key {
			return true
		}
	}
	return false
}

// AppendFault implements protocol.Codec. Only what the proxy says itself is in the header: no cookie of the call.
func (c *codec) AppendFault(dst []byte, f protocol.Fault, to *protocol.ReplyTo) []byte {
	p := to.Payload
	if p == protocol.PayloadAny { // the call was not understood that far
		p = c.defaultPayload()
	}
	start := len(dst)
	w := writer{p: c.headerPayload(p), dst: c.open(dst, p, to.Seq)}
	c.begin(&w, to)
	putString(&w, c.ret, f.Code.RetCode())
	putString(&w, c.retMessage, f.Message)
	words := [16]string{}
	n := 0
	add := func(k, v string) { words[n], words[n+1], n = k, v, n+2 }
	if c.framing == protocol.OSP {
		add(keyGroup, "500")
		add(keyLevel, "ERROR")
		add(keyLocation, "proxy")
		add(keyRetry, boolWord(f.Code.Retry() && f.NotExecuted()))
		add(keyBroken, "false")
	}
	if f.NotExecuted() {
		add(keyNotExecuted, "true")
	}
	if f.Code == protocol.CodeGoHome {
		add(keyGoHome, "true")
	}
	if f.GoingAway {
		add(keyState, stateClosing)
	}
	w.mapBegin(c.extra, n/2)
	for i := 0; i < n; i += 2 {
		w.word(words[i], words[i+1])
	}
	w.stop()
	return shut(c.appendErrorBody(w.dst), start)
}

func boolWord(b bool) string {
	if b {
		return "true"
	}
	return "false"
}
