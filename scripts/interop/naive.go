package interop

import (
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// naivePatience is how long the naive proxy waits for a reply.
const naivePatience = 250 * time.Millisecond

// Naive shows that the attacks are real: it does what a proxy does that pools upstream connections and looks at nothing
// but frame lengths. The attacker's bytes go to the server as they are, then a victim's call over the same connection; the
// replies are handed out in turn. It prints who got what, and returns how many of the attacks did harm.
func Naive(targets []Target, w io.Writer) (harm int, err error) {
	fmt.Fprintf(w, "%-7s %-15s %-32s %-24s %s\n", "server", "framing", "attack", "attacker got", "victim got")
	total := 0
	for _, f := range Fields(targets) {
		if f.Mode != "exclusive" {
			continue
		}
		for _, a := range attacks() {
			d := dialect{compact: f.To.Framing == "framed-compact"}
			mine, theirs, bad, err := naive(f.To.Addr, d, a)
			if err != nil {
				return harm, err
			}
			total++
			if bad {
				harm++
			}
			fmt.Fprintf(w, "%-7s %-15s %-32s %-24s %s\n", f.To.Lang, f.To.Framing, a.name, mine, theirs)
		}
	}
	fmt.Fprintf(w, "without the proxy: %d of %d attacks reached another source\n", harm, total)
	return harm, nil
}

func naive(addr string, d dialect, a attack) (mine, theirs string, harm bool, err error) {
	conn, err := net.DialTimeout("tcp", addr, attackerPatience)
	if err != nil {
		return "", "", false, err
	}
	defer conn.Close()
	if _, err := conn.Write(a.bytes(d, func(method string) string { return method })); err != nil {
		return "", "", false, err
	}
	var got []answer
	pooled := a.hangUp || a.want == silence // nobody waits: the connection is free at once
	for len(got) < max(1, len(a.seqs)) && !pooled {
		next, err := d.readAnswer(conn, naivePatience)
		if err != nil {
			break
		}
		got = append(got, next)
	}
	if _, err := conn.Write(frame(d.victimCall())); err != nil {
		return describe(got), "the connection was gone", true, nil
	}
	next, readErr := d.readAnswer(conn, naivePatience)
	if len(got) == 0 && !pooled && readErr == nil && next.text != secret {
		got = append(got, next) // a reply that came late is taken for the attacker's
		next, readErr = d.readAnswer(conn, naivePatience)
	}
	mine = describe(got)
	theirs, harm = victimGot(next, readErr)
	return mine, theirs, harm || strings.Contains(mine, "victim"), nil
}

func describe(got []answer) string {
	if len(got) == 0 {
		return "nothing"
	}
	for _, g := range got {
		if strings.Contains(string(g.raw), secret) {
			return "the victim's bytes"
		}
	}
	return fmt.Sprintf("%d × %v", len(got), got[0])
}

func victimGot(a answer, err error) (what string, harm bool) {
	switch {
	case err != nil:
		return "no answer", true
	case a.text == secret && a.seq == 77:
		return "its answer", false
	case strings.Contains(string(a.raw), bait):
		return "the attacker's text", true
	default:
		return "somebody else's " + a.String(), true
	}
}
