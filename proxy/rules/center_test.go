package rules

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-mesh/bellhop/registry"
)

// place is a source whose documents a test brings.
type place struct {
	docs chan registry.Document
	fail chan error
}

func (*place) Name() string       { return "test" }
func (*place) ReadErrors() uint64 { return 3 }

func (p *place) Run(ctx context.Context, publish func(registry.Document)) error {
	for {
		select {
		case d := <-p.docs:
			publish(d)
		case err := <-p.fail:
			return err
		case <-ctx.Done():
			return nil
		}
	}
}

// desk is a center under test, on a fake clock.
type desk struct {
	*Center
	place   *place
	changes []string // digests, in order
	stop    func()
}

func open(t *testing.T, lastGood string) *desk {
	t.Helper()
	p := &place{docs: make(chan registry.Document), fail: make(chan error)}
	d := &desk{Center: NewCenter(p, lastGood, quiet), place: p}
	if err := d.LoadLastGood(); err != nil {
		t.Fatal(err)
	}
	d.OnChange(func(r *Rules) { d.changes = append(d.changes, r.Digest) })
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- d.Run(ctx) }()
	d.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	return d
}

// say brings a version and waits until it was judged.
func (d *desk) say(version, text string) {
	d.place.docs <- registry.Document{Data: []byte(text), Version: version, From: "/node"}
	synctest.Wait()
}

const (
	good    = "version: 1\nservices: {demo.A: {timeout: 5ms}}\n"
	better  = "version: 1\nservices: {demo.A: {timeout: 6ms}}\n"
	bad     = "version: 1\nservices:\n  demo.A: {timeout: 5}\nzone: []\n"
	badLine = "/node:3: services.demo.A.timeout: is 5, which is not a duration; write a number and a unit, like 500ms or 2s"
)

func TestCenterKeepsTheOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, "")
		defer d.stop()
		if d.Rules() != nil || d.Status().InForce != nil {
			t.Fatal("there are rules before anybody spoke")
		}
		d.say("1", bad)
		st := d.Status()
		if d.Rules() != nil || !st.Wrong || st.RefusedN != 1 || len(st.Refused.Problems) != 2 || st.Refused.Told()[0] != badLine {
			t.Fatalf("%+v", st)
		}
		select {
		case <-d.Spoke():
		default:
			t.Fatal("a refusal is an answer")
		}
		d.say("2", good)
		time.Sleep(time.Minute)
		d.say("3", bad)
		d.say("3", bad) // said again, for instance after a reconnect
		st = d.Status()
		if st.InForce.Digest != digestOf([]byte(good)) || st.InForce.Version != "2" || time.Since(st.InForce.Since) != time.Minute ||
			!st.Wrong || st.RefusedN != 2 || st.Refused.Version != "3" || string(d.Rules().Data) != good {
			t.Fatalf("%+v", st)
		}
		d.say("4", good) // taken back
		if st = d.Status(); st.Wrong || st.InForce.Version != "4" || st.Accepted != 1 || time.Since(st.InForce.Since) != time.Minute || st.Refused == nil {
			t.Fatalf("%+v", st)
		}
		d.say("5", better)
		d.place.docs <- registry.Document{From: "/node"}
		synctest.Wait()
		if st = d.Status(); !st.Missing || st.InForce.Version != "5" || d.Rules() == nil || st.ReadErrors != 3 {
			t.Fatalf("%+v", st)
		}
		if len(d.changes) != 2 || d.changes[1] != digestOf([]byte(better)) {
			t.Errorf("changes %q", d.changes)
		}
	})
}

func TestCenterTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, "")
		defer d.stop()
		d.say("1", good+"#"+strings.Repeat("x", registry.MaxDocument))
		if st := d.Status(); !st.Wrong || !strings.Contains(st.Refused.Told()[0], "/node: has more than 900000 bytes") {
			t.Errorf("%+v", st.Refused)
		}
	})
}

func TestSourceIsRunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, "")
		defer d.stop()
		d.say("1", good)
		for range 3 {
			d.place.fail <- errors.New("gone")
		}
		d.say("2", better)
		if st := d.Status(); st.SourceErrors != 3 || st.InForce.Version != "2" {
			t.Errorf("%+v", st)
		}
	})
}

// TestLastGood: what was in force is in force after a restart, until its place answers; a bad version does not change it.
func TestLastGood(t *testing.T) {
	path := filepath.Join(t.TempDir(), "private", "rules.json")
	run := func(f func(d *desk)) {
		synctest.Test(t, func(t *testing.T) {
			d := open(t, path)
			defer d.stop()
			f(d)
		})
	}
	run(func(d *desk) {
		d.say("1", good)
		d.say("2", bad)
	})
	run(func(d *desk) {
		st := d.Status()
		if st.InForce == nil || !st.InForce.LastGood || st.InForce.Version != "1" || st.InForce.From != "/node" || string(d.Rules().Data) != good {
			t.Fatalf("%+v", st)
		}
		d.say("2", bad)
		if st = d.Status(); !st.InForce.LastGood || !st.Wrong {
			t.Fatalf("%+v", st)
		}
		d.say("3", good)
		if st = d.Status(); st.InForce.LastGood || st.Accepted != 0 || len(d.changes) != 0 {
			t.Fatalf("%+v, changes %q", st, d.changes)
		}
	})
	for what, spoil := range map[string]func(k map[string]any){
		"digest":  func(k map[string]any) { k["document"] = []byte(better) },
		"version": func(k map[string]any) { k["version"] = 9 },
	} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var k map[string]any
		if err := json.Unmarshal(b, &k); err != nil {
			t.Fatal(err)
		}
		spoil(k)
		b, _ = json.Marshal(k)
		spoiled := filepath.Join(t.TempDir(), "rules.json")
		if err := os.WriteFile(spoiled, b, 0o600); err != nil {
			t.Fatal(err)
		}
		c := NewCenter(&place{}, spoiled, quiet)
		if err := c.LoadLastGood(); err == nil || !strings.Contains(err.Error(), what) || c.Rules() != nil {
			t.Errorf("spoiled %s: %v", what, err)
		}
	}
}
