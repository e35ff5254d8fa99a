package protocol_test

import (
	"os"
	"strings"
	"testing"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// TestPageNamesEveryWord: docs/protocols.md has every word that a registry may use for a framing, every code that an
// exception becomes, and every reason for which a connection's first bytes are refused.
func TestPageNamesEveryWord(t *testing.T) {
	text, err := os.ReadFile("../docs/protocols.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	words := protocol.WireNames()
	for app := int32(-1); app <= protocol.AppInjectedFailure; app++ {
		words = append(words, protocol.RetCodeOfAppType(app))
	}
	for _, first := range []string{"\x16\x03\x01\x00", "PRI * HTTP/2.0", "PROXY TCP4 ", "\r\n\r\n", "\x82\x22", "[1,\"m\"", "\x00\x00\x00\x40\x02\x05", "\xff\xff"} {
		f, _, err := protocol.Detect([]byte(first))
		pe, ok := err.(*protocol.Error)
		if !ok {
			t.Errorf("%q: framing %s, error %v; want a refusal", first, f, err)
			continue
		}
		words = append(words, pe.Reason)
	}
	for _, w := range words {
		if !strings.Contains(page, "`"+w+"`") {
			t.Errorf("docs/protocols.md does not name `%s`", w)
		}
	}
}
