package protocol

// DetectBytes is how many bytes Detect needs at most before it decides or refuses.
const DetectBytes = 64

// Detect tells the framing of a connection from its first bytes (wire.md §4). FramingUnknown without an error: more
// bytes are needed. heartbeats is the number of leading bytes that are four-byte zero heartbeats: the caller of Detect
// answers them (echo) and drops them, the connection stays undecided. An error (*Error) names what the bytes look like
// (TLS, HTTP/2, PROXY protocol, fbthrift compact, …).
func Detect(b []byte) (f Framing, heartbeats int, err error) { panic("not written yet") }
