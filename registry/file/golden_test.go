package file

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bellhop-mesh/bellhop/registry"
	"github.com/bellhop-mesh/bellhop/registry/strict"
)

var update = flag.Bool("update", false, "write the .want files from what is read now; then review them")

// judges stand in for the codecs, which this package may not import.
func judges() []Option {
	return []Option{
		WithFraming(func(w string) error {
			switch w {
			case "framed-binary", "framed-compact", "osp":
				return nil
			}
			return fmt.Errorf("unknown framing %q: use one of framed-binary, framed-compact, osp", w)
		}),
		WithValidate(func(s *registry.Service) error {
			if s.Name == "refused" {
				return errors.New("is refused by the test; write another name")
			}
			return nil
		}),
	}
}

// TestGolden reads every testdata/*.good.yaml and *.bad.yaml. Beside NAME.yaml lies NAME.want: the JSON of what is
// published, or every problem, in order.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("found %d golden files, %v", len(files), err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			u, err := Read(f, judges()...)
			var got string
			switch {
			case strings.HasSuffix(f, ".good.yaml"):
				if err != nil {
					t.Fatalf("is good, and was refused:\n%v", err)
				}
				b, err := json.MarshalIndent(u, "", "  ")
				if err != nil {
					t.Fatal(err)
				}
				got = string(b) + "\n"
			case err == nil:
				t.Fatalf("is bad, and was taken: %+v", u)
			default:
				var ps strict.Problems
				if !errors.As(err, &ps) {
					t.Fatalf("the error is a %T; want strict.Problems", err)
				}
				got = err.Error() + "\n"
			}
			want := strings.TrimSuffix(f, ".yaml") + ".want"
			if *update {
				if err := os.WriteFile(want, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			b, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(b) {
				t.Errorf("got:\n%s\nwant:\n%s", got, b)
			}
		})
	}
}
