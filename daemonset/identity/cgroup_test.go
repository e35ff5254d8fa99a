package identity

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each file in testdata is `want: kind key workload` (or none), a line of dashes, and what /proc/<pid>/cgroup said.
func TestCgroupGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d golden files, %v", len(files), err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			head, text, ok := strings.Cut(string(b), "\n---\n")
			if !ok {
				t.Fatal("no line of dashes")
			}
			want := strings.TrimPrefix(head, "want: ")
			got := "none"
			if s, ok := parseCgroup([]byte(text)); ok {
				got = s.Kind.String() + " " + s.Key + " " + s.Workload
			}
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func FuzzCgroup(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.txt")
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		_, text, _ := strings.Cut(string(b), "\n---\n")
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, ok := parseCgroup(b)
		if ok != (s.Kind != 0) || ok && (s.Key == "" || s.Workload == "") {
			t.Fatalf("%+v, %v", s, ok)
		}
		if s.Kind == Pod && !isPodUID(s.Key) {
			t.Fatalf("a pod with the UID %q", s.Key)
		}
		if strings.ContainsAny(s.Key, "/\n") {
			t.Fatalf("key %q", s.Key)
		}
	})
}
