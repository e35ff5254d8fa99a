package proxy

import (
	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/govern"
)

// exceptionText is what an exception says of itself.
func exceptionText(m *protocol.Message) []byte {
	if len(m.RetMessage) > 0 {
		return m.RetMessage
	}
	text, _, _ := protocol.AppException(m.Body, m.Payload)
	return text
}

// outcome classifies a reply (product.md, "Failure classes").
func outcome(m *protocol.Message) (govern.Class, protocol.Code) {
	if m.Type != protocol.MessageException {
		return govern.ClassOK, protocol.CodeOK
	}
	if len(m.RetCode) > 0 {
		if where, _ := m.Find("errorLocation"); !protocol.SystemRetCode(m.RetCode, where) {
			return govern.ClassOK, protocol.CodeOK // a business error
		}
		return govern.ClassFailed, protocol.CodeAppException
	}
	_, typ, ok := protocol.AppException(m.Body, m.Payload)
	if !ok {
		return govern.ClassFailed, protocol.CodeAppException
	}
	switch typ {
	case protocol.AppLoadshedding:
		return govern.ClassBusy, protocol.CodeAppException
	case protocol.AppInternalError, protocol.AppMissingResult, protocol.AppUnknown:
		return govern.ClassFailed, protocol.CodeAppException
	default:
		return govern.ClassCaller, protocol.CodeAppException
	}
}
