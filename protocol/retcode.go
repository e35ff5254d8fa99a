package protocol

import "bytes"

// systemPrefix begins every code that the system (a proxy, a server's framework) gives, not the service's own logic.
const systemPrefix = "Err-Core-"

// errorLocationProxy is the value of extFields errorLocation that a proxy writes into its own errors (wire.md §2).
const errorLocationProxy = "proxy"

// SystemRetCode reports whether an OSP retCode or dapeng respCode speaks of the system rather than of the business:
// Err-Core-* codes, and whatever a proxy says of itself (errorLocation=proxy). System errors count against an
// endpoint's health; business errors come from healthy endpoints (wire.md §5). Safe for concurrent use.
func SystemRetCode(ret []byte, errorLocation []byte) bool {
	return bytes.HasPrefix(ret, []byte(systemPrefix)) || string(errorLocation) == errorLocationProxy
}

// AppTypeOfRetCode returns the TApplicationException type that speaks an OSP retCode or dapeng respCode to a caller of
// plain Thrift. The proxy's own codes are found in the table of Code; other Err-Core-4xx are PROTOCOL_ERROR (the
// request was at fault), other Err-Core-* are INTERNAL_ERROR, and every other code is a business error, for which
// Thrift has no type: UNKNOWN. Safe for concurrent use.
func AppTypeOfRetCode(ret []byte) int32 {
	if !bytes.HasPrefix(ret, []byte(systemPrefix)) {
		return AppUnknown
	}
	for i := CodeAppException; i < numCodes; i++ {
		if codeTable[i].ret == string(ret) {
			return codeTable[i].app
		}
	}
	if rest := ret[len(systemPrefix):]; len(rest) > 0 && rest[0] == '4' {
		return AppProtocolError
	}
	return AppInternalError
}

// retCodeOfApp is the way back, indexed by TApplicationException type. Every entry is the code of the Code whose fault
// has that type, so that both directions agree: AppTypeOfRetCode(RetCodeOfAppType(t)) == t, but for the types that
// have no code of their own (UNKNOWN, INVALID_MESSAGE_TYPE, WRONG_METHOD_NAME, BAD_SEQUENCE_ID, MISSING_RESULT,
// INJECTED_FAILURE), which come back as the nearest one.
var retCodeOfApp = [...]string{
	AppUnknown:            "Err-Core-500",
	AppUnknownMethod:      "Err-Core-404",
	AppInvalidMessageType: "Err-Core-400",
	AppWrongMethodName:    "Err-Core-400",
	AppBadSequenceID:      "Err-Core-506",
	AppMissingResult:      "Err-Core-506",
	AppInternalError:      "Err-Core-500",
	AppProtocolError:      "Err-Core-400",
	AppInvalidTransform:   "Err-Core-416",
	AppInvalidProtocol:    "Err-Core-415",
	AppUnsupportedClient:  "Err-Core-401",
	AppLoadshedding:       "Err-Core-503",
	AppTimeout:            "Err-Core-504",
	AppInjectedFailure:    "Err-Core-500",
}

// RetCodeOfAppType returns the OSP retCode or dapeng respCode that speaks a TApplicationException to their callers.
// Types that Thrift does not define are Err-Core-500. Safe for concurrent use.
func RetCodeOfAppType(app int32) string {
	if app < 0 || int(app) >= len(retCodeOfApp) {
		return retCodeOfApp[AppInternalError]
	}
	return retCodeOfApp[app]
}
