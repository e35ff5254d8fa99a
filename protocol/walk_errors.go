package protocol

// ErrShort says that the bytes end before the struct does. Compare with ==.
var ErrShort error = errShort

// ErrMessageType says that a message is of none of Thrift's types, or of one that has no place here: a reply that a
// caller sent, for example, which the codecs cannot tell.
var ErrMessageType = defect("bad_message_type", "the message's type has no place here: callers send calls and oneways, servers replies and exceptions")

// What can be wrong with a body. Values, not constructors: hostile input must not make the proxy allocate.
var (
	errShort    = defect("short", "the frame ends before its struct does")
	errString   = defect("string_past_frame", "a string announces more bytes than its frame has left")
	errList     = defect("container_past_frame", "a container announces more elements than its frame can hold")
	errNegative = defect("negative_size", "a string or container announces a negative size")
	errType     = defect("bad_type", "a field or element has a type number that Thrift does not define")
	errVarint   = defect("bad_varint", "a variable-length number is longer than its type allows")
	errDepth    = defect("depth", "structs and containers are nested deeper than 64")
	errTrailing = defect("trailing_bytes", "bytes follow the one struct that a frame may carry")
)

var shortReasons = [...]*Error{shortStruct: errShort, shortString: errString, shortList: errList}

func defect(reason, detail string) *Error {
	return &Error{Code: CodeProtocolError, Reason: reason, Detail: detail, Offset: -1}
}
