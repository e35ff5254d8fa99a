package call

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// maxHealthReply bounds the answer to a health check, in bytes.
const maxHealthReply = 1 << 20

// Healthy makes one call without arguments to the server at addr, host:port, on a connection of its own. nil: it was
// answered, with a result or with any exception but an INTERNAL_ERROR; a server that does not know the method is there,
// and its own health is its own to tell. ctx must have a deadline. Safe for concurrent use.
func Healthy(ctx context.Context, addr string, wire protocol.Wire, service, method string) error {
	at, ok := ctx.Deadline()
	if !ok {
		return errors.New("a health check without a deadline")
	}
	r := request{wire: wire, service: service, method: method, timeout: time.Until(at), body: []byte{0}, maxFrame: maxHealthReply}
	l := &direct{network: "tcp", addr: addr}
	defer l.close()
	f := r.exchange(ctx, l).fault
	if f == nil || f.Code != codeBadReply && f.Type != typeTransport && f.Type != appWord(protocol.AppInternalError) {
		return nil
	}
	return fmt.Errorf("%s %s: %s: %s", method, addr, f.Type, f.Message)
}

// Beats sends one heartbeat of OSP and dapeng, four zero bytes, and waits for its echo. ctx must have a deadline. Safe
// for concurrent use.
func Beats(ctx context.Context, addr string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	at, _ := ctx.Deadline()
	if err := conn.SetDeadline(at); err != nil {
		return err
	}
	var beat [4]byte
	if _, err := conn.Write(beat[:]); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, beat[:]); err != nil {
		return fmt.Errorf("heartbeat to %s: %w", addr, err)
	}
	if beat != [4]byte{} {
		return fmt.Errorf("heartbeat to %s: the answer is %x, not the same four zero bytes", addr, beat)
	}
	return nil
}
