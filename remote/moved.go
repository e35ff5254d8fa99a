package remote

import (
	"errors"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// GoHome begins the message of the fault that sends a moved caller back to its local proxy (after "not executed: "): framings
// without a header have no other place for it.
const GoHome = "go home"

// maxInstance bounds what a moved caller may claim, in bytes.
const maxInstance = 64

// ParseMoved reads the arguments of the oneway bellhop:moved: {1: string instance}, where instance is the address file's. It is
// a claim: it says which host's grant the caller's calls spend, and gives it nothing.
func ParseMoved(p protocol.Payload, body []byte) (instance string, err error) {
	if p != protocol.Binary {
		if body, err = protocol.Transcode(nil, p, protocol.Binary, body, 4*maxInstance); err != nil {
			return "", err
		}
	}
	err = fields(body, func(id int16, f field) error {
		if id == 1 && f.typ == tString {
			instance = string(f.raw)
		}
		return nil
	})
	if err == nil && (instance == "" || len(instance) > maxInstance) {
		err = errors.New("moved: want the instance of the address file")
	}
	return instance, err
}
