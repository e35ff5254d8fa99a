package zookeeper

import (
	"net"
	"strings"
	"testing"
	"time"
)

// conversation is one connection of a peer that is no ZooKeeper server.
type conversation struct{ net.Conn }

func (c conversation) write(s string) { _, _ = c.Write([]byte(s)) }

// serve runs a peer that says its part when it has been spoken to.
func serve(t *testing.T, say func(conversation)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 512))
			say(conversation{c})
			c.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String()
}

func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// awaitText waits until say has the text in it.
func awaitText(t *testing.T, say func() string, want string) {
	t.Helper()
	for deadline := time.After(10 * time.Second); !strings.Contains(say(), want); {
		select {
		case <-deadline:
			t.Fatalf("it says %q, not %q", say(), want)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
