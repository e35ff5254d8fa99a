package protocol

// Transcode appends body, one well-formed struct in from, to dst in to, without an IDL: the wire carries the types.
// What is appended is bounded by max bytes (0: DefaultMaxFrame). When from == to it is a copy. On an error dst is
// returned as it was; the error is an *Error. Safe for concurrent use.
func Transcode(dst []byte, from, to Payload, body []byte, max int) ([]byte, error) {
	if max <= 0 {
		max = DefaultMaxFrame
	}
	if from == to {
		if len(body) > max {
			return dst, errTooLarge
		}
		return append(dst, body...), nil
	}
	t := transcoder{src: body, dst: dst, limit: len(dst) + max}
	var e *Error
	if from == Compact {
		e = t.structToBinary(1)
	} else {
		e = t.structToCompact(1)
	}
	if e == nil && t.pos != len(body) {
		e = errTrailing
	}
	if e != nil {
		return dst[:t.limit-max], e
	}
	return t.dst, nil
}
