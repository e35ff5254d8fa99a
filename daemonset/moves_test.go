package daemonset

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// keys are those that the last write asks to move.
func (p *paper) keys() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := ""
	for _, m := range p.written[len(p.written)-1].Move {
		s += m.Key + " "
	}
	return s
}

// TestMove: sources are asked soon, with what is left of their time, and are let go when the list does not name them.
func TestMove(t *testing.T) {
	run(t, alive, func(b *Beacon, p *paper) {
		time.Sleep(10 * time.Second)
		b.SetMove(map[string]time.Duration{"a": 30 * time.Second, "b": 10 * time.Second})
		synctest.Wait()
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
		if p.keys() != "a b " {
			t.Fatalf("asked %q at once", p.keys())
		}
		if ms := p.written[len(p.written)-1].Move[0].TTLMillis; ms < 29_900 || ms > 30_000 {
			t.Errorf("asked for %d ms", ms)
		}
		b.SetMove(map[string]time.Duration{"a": 30 * time.Second})
		time.Sleep(time.Second)
		synctest.Wait()
		if p.keys() != "a b " {
			t.Errorf("written again within two seconds: %q", p.keys())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if p.keys() != "a " {
			t.Errorf("asked %q, want a alone", p.keys())
		}
		b.SetMove(nil)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if p.keys() != "" {
			t.Errorf("asked %q after all were let go", p.keys())
		}
	})
}

// TestMoveFlaps: a list that changes ten times a second is written every two seconds, and what it said last is written.
func TestMoveFlaps(t *testing.T) {
	run(t, alive, func(b *Beacon, p *paper) {
		for i := range 100 {
			b.SetMove(map[string]time.Duration{fmt.Sprint("s", i%3): time.Minute})
			time.Sleep(100 * time.Millisecond)
		}
		b.SetMove(map[string]time.Duration{"last": time.Minute})
		time.Sleep(5 * time.Second)
		synctest.Wait()
		for i := 1; i < len(p.at); i++ {
			if gap := p.at[i].Sub(p.at[i-1]); gap < moveEvery && i > 1 { // the first one grows
				t.Errorf("written again after %v", gap)
			}
		}
		if n := len(p.written); n < 5 || n > 8 || p.keys() != "last " {
			t.Errorf("%d writes, the last asks %q", n, p.keys())
		}
	})
}

// TestMoveGrows: a list that only grows is written sooner: who is asked late is served late.
func TestMoveGrows(t *testing.T) {
	run(t, alive, func(b *Beacon, p *paper) {
		ttl := map[string]time.Duration{}
		for i := range 5 {
			ttl[fmt.Sprint(i)] = time.Minute
			b.SetMove(ttl)
			time.Sleep(moreEvery + 10*time.Millisecond)
			synctest.Wait()
			if n := len(p.written[len(p.written)-1].Move); n != i+1 {
				t.Fatalf("%d are asked after %d", n, i+1)
			}
		}
	})
}

// TestMoveExpires: a write for another reason does not ask anew those whose time is over.
func TestMoveExpires(t *testing.T) {
	run(t, alive, func(b *Beacon, p *paper) {
		b.SetMove(map[string]time.Duration{"a": 5 * time.Second})
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if err := b.Draining(); err != nil {
			t.Fatal(err)
		}
		if p.keys() != "" {
			t.Errorf("still asks %q", p.keys())
		}
	})
}

// TestMoveBound: the file stays small, whatever is asked.
func TestMoveBound(t *testing.T) {
	run(t, alive, func(b *Beacon, p *paper) {
		all := map[string]time.Duration{"": time.Minute, fmt.Sprintf("%0200d", 1): time.Minute}
		for i := range 1000 {
			all[fmt.Sprintf("%0100d", i)] = time.Minute
		}
		b.SetMove(all)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if n := len(p.written[len(p.written)-1].Move); n != maxMoves {
			t.Errorf("%d sources asked, want %d", n, maxMoves)
		}
	})
}

func TestCPULimit(t *testing.T) {
	for _, c := range []struct {
		name, self string
		files      map[string]string
		want       float64
	}{
		{"v2", "0::/pods/c1\n", map[string]string{"pods/cpu.max": "50000 100000\n", "pods/c1/cpu.max": "max 100000\n"}, 0.5},
		{"v2, none", "0::/a\n", map[string]string{"a/cpu.max": "max 100000\n"}, 0},
		{"v1", "4:cpu,cpuacct:/x\n", map[string]string{"cpu/x/cpu.cfs_quota_us": "20000\n", "cpu/x/cpu.cfs_period_us": "100000\n"}, 0.2},
		{"v1, none", "4:cpu:/x\n", map[string]string{"cpu/x/cpu.cfs_quota_us": "-1\n", "cpu/x/cpu.cfs_period_us": "100000\n"}, 0},
		{"garbage", "x\n0::/a\n", map[string]string{"a/cpu.max": "5\n"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir+"/self", c.self)
			for name, content := range c.files {
				write(t, dir+"/root/"+name, content)
			}
			if got, ok := CPULimit(dir+"/root", dir+"/self"); got != c.want || ok != (c.want > 0) {
				t.Errorf("%v, %t; want %v", got, ok, c.want)
			}
		})
	}
}
