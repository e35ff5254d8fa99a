package client

import (
	"context"
	"os/exec"
	"testing"
	"time"
)

// python is Debian's: its modules, python3-thrift among them, are for no other.
const python = "/usr/bin/python3"

// TestPython runs the tests of client/python, which follow the same cases.
func TestPython(t *testing.T) {
	if out, err := exec.Command(python, "-c", "import thrift").CombinedOutput(); err != nil {
		t.Fatalf("%s with the package python3-thrift is needed (make setup installs it): %v\n%s", python, err, out)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, python, "-W", "error::ResourceWarning", "-B", "-m", "unittest", "discover", "-s", "tests", "-t", ".")
	cmd.Dir = "python"
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
