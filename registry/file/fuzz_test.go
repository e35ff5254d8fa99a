package file

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bellhop-mesh/bellhop/registry"
	"github.com/bellhop-mesh/bellhop/registry/strict"
)

// FuzzParse: whatever the bytes, there is either an update in which every address is in its one spelling, or a problem
// that says something.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		u, err := parseAll(content{files: []rawFile{{"f.yaml", data}}}, hooks{})
		if err != nil {
			ps, ok := err.(strict.Problems)
			if !ok || len(ps) == 0 || len(ps) > 100+1 || ps[0].Text == "" {
				t.Fatalf("the error is %T %v", err, err)
			}
			return
		}
		for name, s := range u.Services {
			if s.Name != name || name == "" {
				t.Fatalf("service %q is called %q", name, s.Name)
			}
			for _, e := range s.Endpoints {
				if c, err := registry.CanonicalAddr(e.Addr); err != nil || c != e.Addr {
					t.Fatalf("address %q: canonical %q, %v", e.Addr, c, err)
				}
			}
		}
	})
}
