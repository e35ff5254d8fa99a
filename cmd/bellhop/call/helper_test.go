package call

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// Goroutines that packages of the proxy start when they are loaded are not of these tests.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
