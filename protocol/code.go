package protocol

// Code classifies how a call ended. One list serves faults, metric labels and log words.
type Code uint8

// The codes. Each has its fault in codeTable; docs/operations.md lists them (a test compares).
const (
	CodeOK               Code = iota // a reply, declared exceptions included
	CodeAppException                 // the server answered with a TApplicationException or a system error of its own
	CodeNoService                    // the frame names no service, or none that is known
	CodeNoEndpoint                   // the service is known and has no usable endpoint
	CodeProtocolError                // the frame is not well-formed
	CodeTooLarge                     // a frame above the cap
	CodeUnsupported                  // a framing or feature this proxy refuses by name
	CodeInvalidTransform             // THeader: a transform this proxy does not know
	CodeDepth                        // too many pipelined calls on one connection
	CodeSourceCalls                  // the source has too many calls in flight
	CodeTotalCalls                   // the proxy has too many calls in flight
	CodeSourceBytes                  // the source has too many bytes buffered
	CodeTotalBytes                   // the proxy has too many bytes buffered
	CodeSourceLookups                // the source has too many services being looked up
	CodeTotalLookups                 // the proxy has too many services being looked up
	CodeQueueFull                    // an endpoint's queue of waiting calls is full
	CodeConnect                      // no connection could be opened (unsent)
	CodeLost                         // written, then the connection was lost
	CodeDeadline                     // the deadline passed
	CodeCanceled                     // the caller went away
	CodeDraining                     // the proxy is closing
	CodeHops                         // handed off more than once
	CodeUnauthenticated              // a hand-off hello that is not authenticated
	CodeGrant                        // a hand-off call above its grant
	CodeBadReply                     // the endpoint's reply was not understood
	CodeLimit                        // a rule's limit is reached (policy: never sent again)
	CodeDenied                       // a rule denies access (policy)
	CodeBreaker                      // a breaker is open for the method (policy)
	CodeSubset                       // no endpoint of the part that a rule sends the call to
	CodeSourceQueue                  // the source has too many calls waiting for their turn
	CodeQuarantined                  // the source is quarantined
	CodeOverload                     // the proxy protects itself
	CodeGoHome                       // a moved call whose host's grant is spent
	CodeInternal                     // a defect of the proxy
	numCodes
)

// NumCodes sizes tables indexed by Code.
const NumCodes = int(numCodes)

// Thrift's TApplicationException types (wire.md §1).
const (
	AppUnknown            int32 = 0
	AppUnknownMethod      int32 = 1
	AppInvalidMessageType int32 = 2
	AppWrongMethodName    int32 = 3
	AppBadSequenceID      int32 = 4
	AppMissingResult      int32 = 5
	AppInternalError      int32 = 6
	AppProtocolError      int32 = 7
	AppInvalidTransform   int32 = 8
	AppInvalidProtocol    int32 = 9
	AppUnsupportedClient  int32 = 10
	AppLoadshedding       int32 = 11
	AppTimeout            int32 = 12
	AppInjectedFailure    int32 = 13
)

type codeInfo struct {
	word     string // metric label and log word
	app      int32  // TApplicationException type
	executed bool   // the call may have run
	retry    bool   // a thin client may send it again elsewhere
	ret      string // dapeng respCode and OSP retCode
}

var codeTable = [NumCodes]codeInfo{
	CodeOK:               {"ok", 0, true, false, "0"},
	CodeAppException:     {"app_exception", AppInternalError, true, false, "Err-Core-500"},
	CodeNoService:        {"no_service", AppUnknownMethod, false, true, "Err-Core-404"},
	CodeNoEndpoint:       {"no_endpoint", AppLoadshedding, false, true, "Err-Core-503"},
	CodeProtocolError:    {"protocol_error", AppProtocolError, false, false, "Err-Core-400"},
	CodeTooLarge:         {"too_large", AppProtocolError, false, false, "Err-Core-413"},
	CodeUnsupported:      {"unsupported", AppInvalidProtocol, false, false, "Err-Core-415"},
	CodeInvalidTransform: {"invalid_transform", AppInvalidTransform, false, false, "Err-Core-416"},
	CodeDepth:            {"depth", AppLoadshedding, false, true, "Err-Core-521"},
	CodeSourceCalls:      {"source_calls", AppLoadshedding, false, true, "Err-Core-522"},
	CodeTotalCalls:       {"total_calls", AppLoadshedding, false, true, "Err-Core-523"},
	CodeSourceBytes:      {"source_bytes", AppLoadshedding, false, true, "Err-Core-524"},
	CodeTotalBytes:       {"total_bytes", AppLoadshedding, false, true, "Err-Core-525"},
	CodeSourceLookups:    {"source_lookups", AppLoadshedding, false, true, "Err-Core-529"},
	CodeTotalLookups:     {"total_lookups", AppLoadshedding, false, true, "Err-Core-530"},
	CodeQueueFull:        {"queue_full", AppLoadshedding, false, true, "Err-Core-526"},
	CodeConnect:          {"connect", AppLoadshedding, false, true, "Err-Core-502"},
	CodeLost:             {"lost", AppInternalError, true, false, "Err-Core-505"},
	CodeDeadline:         {"deadline", AppTimeout, true, false, "Err-Core-504"},
	CodeCanceled:         {"canceled", AppInternalError, true, false, "Err-Core-499"},
	CodeDraining:         {"draining", AppLoadshedding, false, true, "Err-Core-527"},
	CodeHops:             {"hops", AppLoadshedding, false, false, "Err-Core-508"},
	CodeUnauthenticated:  {"unauthenticated", AppUnsupportedClient, false, false, "Err-Core-401"},
	CodeGrant:            {"grant", AppLoadshedding, false, true, "Err-Core-528"},
	CodeBadReply:         {"bad_reply", AppInternalError, true, false, "Err-Core-506"},
	CodeLimit:            {"limit", AppLoadshedding, false, false, "Err-Core-429"},
	CodeDenied:           {"denied", AppInternalError, false, false, "Err-Core-403"},
	CodeBreaker:          {"breaker", AppLoadshedding, false, false, "Err-Core-531"},
	CodeSubset:           {"subset", AppLoadshedding, false, true, "Err-Core-532"},
	CodeSourceQueue:      {"source_queue", AppLoadshedding, false, true, "Err-Core-533"},
	CodeQuarantined:      {"quarantined", AppLoadshedding, false, false, "Err-Core-534"},
	CodeOverload:         {"overload", AppLoadshedding, false, true, "Err-Core-535"},
	CodeGoHome:           {"go_home", AppLoadshedding, false, true, "Err-Core-536"},
	CodeInternal:         {"internal", AppInternalError, true, false, "Err-Core-500"},
}

// String returns the metric label and log word.
func (c Code) String() string {
	if int(c) < NumCodes {
		return codeTable[c].word
	}
	return "invalid"
}

// AppType returns the TApplicationException type that answers this code.
func (c Code) AppType() int32 { return codeTable[c].app }

// NotExecuted reports whether a call that ended so has certainly not run.
func (c Code) NotExecuted() bool { return !codeTable[c].executed }

// Retry reports whether a caller may send the call again elsewhere.
func (c Code) Retry() bool { return codeTable[c].retry }

// Policy reports whether somebody's will and no trouble ended the call: it is not sent again, and carries no not-executed mark,
// which would have a thin client send it again.
func (c Code) Policy() bool {
	return c == CodeLimit || c == CodeDenied || c == CodeBreaker || c == CodeQuarantined
}

// RetCode returns the OSP retCode and dapeng respCode that answer this code.
func (c Code) RetCode() string { return codeTable[c].ret }

// Fault is the proxy's own answer to a call.
type Fault struct {
	Code    Code
	Message string // what was wrong and, where there is one, the next step; without the "not executed:" prefix
	// Executed overrides Code: the call was written upstream before it failed, so it may have run.
	Executed bool
	// Final: it did not run, and that is not said, for those whom the caller would send it to then have no room either.
	Final bool
	// GoingAway adds the going-away mark of the framing.
	GoingAway bool
}

// NotExecuted reports whether the fault may say so.
func (f Fault) NotExecuted() bool {
	return f.Code.NotExecuted() && !f.Executed && !f.Final && !f.Code.Policy()
}

// Text returns the message as plain Thrift carries it: it begins with "not executed:" when that is certain (wire.md §9).
func (f Fault) Text() string { return f.prefix() + f.Message }

func (f Fault) prefix() string {
	if f.NotExecuted() && f.Code.AppType() == AppLoadshedding {
		return "not executed: "
	}
	return ""
}

// Error is a defect of a frame: which code answers it and what was wrong where. Errors made while decoding are values
// of package-level variables wherever they can be, so that hostile input costs no allocation.
type Error struct {
	Code   Code
	Reason string // metric label and log word, e.g. "string_past_frame"
	Detail string
	Offset int // byte offset in the frame, -1 when unknown
}

// Error returns "reason: detail".
func (e *Error) Error() string {
	if e.Detail == "" {
		return e.Reason
	}
	return e.Reason + ": " + e.Detail
}
