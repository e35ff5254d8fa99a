package proxy

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// exceptionTypes are the words of fails-with.
var exceptionTypes = []string{
	"UNKNOWN", "UNKNOWN_METHOD", "INVALID_MESSAGE_TYPE", "WRONG_METHOD_NAME", "BAD_SEQUENCE_ID", "MISSING_RESULT", "INTERNAL_ERROR",
	"PROTOCOL_ERROR", "INVALID_TRANSFORM", "INVALID_PROTOCOL", "UNSUPPORTED_CLIENT_TYPE", "LOADSHEDDING",
}

// failsWith answers the oldest call with a TApplicationException of a type.
func (k *talk) failsWith(c *fakeConn, name string, args []string) error {
	typ := slices.Index(exceptionTypes, args[0])
	if typ < 0 {
		return errors.New("knows the types " + strings.Join(exceptionTypes, ", "))
	}
	seen := k.seen[name]
	if len(seen) == 0 {
		return errors.New("has seen no call that waits for an answer")
	}
	k.seen[name] = seen[1:]
	b := binary.BigEndian.AppendUint32([]byte{0, 0, 0, 0}, 0x80010000|uint32(thrift.EXCEPTION))
	b = binary.BigEndian.AppendUint32(b, uint32(len(seen[0].name)))
	b = binary.BigEndian.AppendUint32(append(b, seen[0].name...), uint32(seen[0].seq))
	b = protocol.AppendAppException(b, protocol.Binary, textOf(args[1:]), int32(typ))
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	c.bring(b)
	return nil
}
