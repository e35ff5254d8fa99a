package zookeeper

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-mesh/bellhop/registry"
)

// nowhere is an ensemble that is never asked.
type nowhere struct{ ensemble }

func (nowhere) listen(func(event))     {}
func (nowhere) abs(path string) string { return path }

// TestWantBeforeUpdate: a service that was read is wanted with success until an update, and the table after it, had time to
// say so, however long the first update waits for others.
func TestWantBeforeUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(nowhere{}, Options{Services: []string{"a.A", "b.B"}}, nil)
		wanted := func(when string, want bool) {
			t.Helper()
			if got := s.Want("a.A"); got != want {
				t.Errorf("%s: %v", when, got)
			}
		}
		s.foundIt(s.entries["a.A"], node{})
		if s.entries["a.A"].service == nil {
			t.Fatal("nothing was found")
		}
		time.Sleep(time.Minute)
		wanted("read a minute ago, not published", true)

		ctx, cancel := context.WithCancel(t.Context())
		published := make(chan registry.Update, 1)
		s.initial = 1
		s.foundIt(s.entries["b.B"], node{})
		go s.publisher(ctx, func(u registry.Update) { published <- u })
		if u := <-published; u.Services["a.A"] == nil {
			t.Fatalf("published: %v", u)
		}
		synctest.Wait()
		wanted("just published", true)
		time.Sleep(2 * time.Second)
		wanted("published, and the table could not use it", false)
		cancel()
	})
}
