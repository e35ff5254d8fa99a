package osp

import "github.com/bellhop-mesh/bellhop/protocol"

// Head implements protocol.Header: the body begins where the header struct ends.
func (c *codec) Head(begin []byte, _ int, s *protocol.Scratch) int {
	if len(begin) < c.head {
		return 0
	}
	p := protocol.Binary
	switch begin[c.codecAt] {
	case codecBinary:
	case codecCompact:
		p = protocol.Compact
	default:
		return -1
	}
	n, err := walkHeader(c.headerPayload(p), begin[c.head:], s)
	switch {
	case err == nil:
		return c.head + n
	case err == errHeader && len(begin)-c.head <= protocol.MaxHeader:
		return 0
	}
	return -1
}
