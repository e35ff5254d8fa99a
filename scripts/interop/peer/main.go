// Command peer is the Go side of the interoperability matrix: one program that serves scripts/interop/interop.thrift in
// any number of framings at once, or calls such servers and says which of its checks failed. The peers in the other
// languages (cpp, python, java, node) take the same command line and speak the same lines, so that the matrix treats all
// five alike. It must never use this project's own codecs: it is the other side of their test.
//
//	peer server [--service PREFIX] --serve FRAMING=ADDR …   ADDR is host:port or unix:/path
//	    prints "listening FRAMING ADDR" a server, then "ready"; leaves on SIGTERM or when stdin ends
//	peer client
//	    reads "ID FRAMING ADDR [SERVICE]" lines, prints "ID ok N" or "ID FAIL check: what" for each
package main

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	slog.SetLogLoggerLevel(slog.LevelError)
	if len(os.Args) < 2 {
		fatal(fmt.Errorf("usage: peer server|client …"))
	}
	switch os.Args[1] {
	case "server":
		if err := serve(os.Args[2:], os.Stdout); err != nil {
			fatal(err)
		}
		untilTold(os.Stdin)
	case "client":
		client(os.Stdin, os.Stdout)
	default:
		fatal(fmt.Errorf("unknown command %q: use server or client", os.Args[1]))
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "peer:", err)
	os.Exit(1)
}

// untilTold blocks until stdin ends or a signal asks to leave.
func untilTold(in io.Reader) {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM, os.Interrupt)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, in)
	}()
	select {
	case <-told:
	case <-ended:
	}
}

// client answers every target line with one result line.
func client(in io.Reader, out io.Writer) {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		word := strings.Fields(lines.Text())
		if len(word) < 3 {
			fmt.Fprintf(out, "? FAIL line: want ID FRAMING ADDR [SERVICE], got %q\n", lines.Text())
			continue
		}
		t := target{id: word[0], framing: word[1], addr: word[2]}
		if len(word) > 3 {
			t.service = word[3]
		}
		n, err := t.run()
		if err != nil {
			fmt.Fprintf(out, "%s FAIL %s\n", t.id, strings.ReplaceAll(err.Error(), "\n", " "))
			continue
		}
		fmt.Fprintf(out, "%s ok %d\n", t.id, n)
	}
}
