// Command prove-crash kills the local proxy with SIGKILL, twenty times, under 2,000 calls/s from the Go client, and shows
// what that cost the callers. It must never stop calling around a kill, nor forgive a call.
//
//	2,000 calls/s ─► client ─► local proxy ──► server: a ledger of call ids      half of the calls idempotent (get),
//	                    │      killed, and 1 s                 ▲                 half not (put)
//	                    │      later started again             │
//	                    └────► remote proxy (stands) ──────────┘
//
// Every kill gets a client of its own, made once the local proxy serves again: one client would keep to the remote tier
// for longer after every crash, up to a minute, and the later kills would hit nobody.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/bellhop-mesh/bellhop/client"
	"github.com/bellhop-mesh/bellhop/scripts/prove"
)

const (
	rate      = 2000 // calls a second
	service   = "Ledger"
	before    = time.Second // of load, before a kill
	downtime  = time.Second
	callLimit = time.Second // deadline of a call
	gapMax    = 100 * time.Millisecond
	serverLag = 2 * time.Millisecond // what a call takes the server
)

func main() {
	kills := flag.Int("kills", 20, "how often the local proxy is killed")
	verbose := flag.Bool("v", false, "a line for every kill")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	table := prove.NewTable("prove-crash")
	if err := run(ctx, table, *kills, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "prove-crash:", err)
		table.Add("the proof ran to its end", "yes", "no", false)
	}
	os.Exit(table.Finish(os.Stdout))
}

// stage is what stands around the callers.
type stage struct {
	dir           string
	ledger        *ledger
	local, remote *prove.Bellhop
}

func run(ctx context.Context, table *prove.Table, kills int, verbose bool) error {
	dir, err := os.MkdirTemp("", "prove-crash-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s := &stage{dir: dir}
	defer s.stop()
	if err := s.start(ctx); err != nil {
		return err
	}
	load := newLoad(rate)
	defer load.stop()
	var all []kill
	for i := range kills {
		k, err := s.kill(ctx, load)
		if err != nil {
			return fmt.Errorf("kill %d: %w", i+1, err)
		}
		all = append(all, k)
	}
	load.stop() // and waits for the last calls
	judge(table, all, load, s.ledger, verbose)
	return nil
}

func (s *stage) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var err error
	if s.ledger, err = newLedger(serverLag); err != nil {
		return err
	}
	port, err := prove.FreePort()
	if err != nil {
		return err
	}
	services := fmt.Sprintf("services:\n  %s: {framing: framed-binary, idempotent: [get], endpoints: [%q]}\n", service, s.ledger.addr())
	s.remote = &prove.Bellhop{
		Role: "remote", Dir: filepath.Join(s.dir, "remote"), Services: services,
		Config: fmt.Sprintf("listeners:\n  - {net: tcp, addr: %q}\nremote: {register: off}\n", port),
	}
	if err := s.remote.Start(ctx); err != nil {
		return err
	}
	s.local = &prove.Bellhop{
		Role: "local", Dir: filepath.Join(s.dir, "local"), Services: services + fmt.Sprintf("remotes:\n  - {addr: %q}\n", port),
		Config: "listeners:\n  - {net: unix, addr: call.sock}\n",
	}
	if err := s.local.Start(ctx); err != nil {
		return err
	}
	return s.local.Process.Await(ctx, func() error { // else the first kill would leave the callers nowhere to go
		f, err := s.local.Address()
		if err == nil && len(f.Remote) == 0 {
			err = fmt.Errorf("the address file names no remote proxy")
		}
		return err
	})
}

func (s *stage) stop() {
	for _, b := range []*prove.Bellhop{s.local, s.remote} {
		if b != nil && b.Process != nil {
			b.Process.Kill()
		}
	}
	if s.ledger != nil {
		s.ledger.stop()
	}
}

// kill is one crash: when it was, and what the client had done by then.
type kill struct {
	at, gone    time.Duration // the signal was sent; the process was gone
	onLocal     int64         // calls that its client had written to the local proxy before it
	onRemote    int64         // … and to the remote one after it
	awayTooSoon bool          // the client had left the local proxy before the kill
}

// kill lets a new client call for a while, kills the local proxy under it, and starts that again.
func (s *stage) kill(ctx context.Context, load *load) (k kill, err error) {
	c, err := client.New(client.Options{
		AddressFile: s.local.AddressFile(), Source: "prove-crash", Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return k, err
	}
	load.use(c)
	if err := wait(ctx, before); err != nil {
		return k, err
	}
	st := c.Stats()
	k.onLocal, k.awayTooSoon = st.Local, st.Away || st.Switches > 0
	k.at = load.now()
	s.local.Process.Kill()
	k.gone = load.now()
	if err := wait(ctx, downtime); err != nil {
		return k, err
	}
	k.onRemote = c.Stats().Remote - st.Remote
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return k, s.local.Start(ctx)
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
