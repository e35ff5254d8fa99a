package call

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/bellhop-mesh/bellhop/client"
	"github.com/bellhop-mesh/bellhop/protocol"
)

// exceptionOut is what --json prints of a declared exception.
type exceptionOut struct {
	Name  string          `json:"name"`
	Value json.RawMessage `json:"value"`
}

// line is what --json prints. Exactly one field is set; a result may be null.
type line struct {
	Result    json.RawMessage `json:"result,omitempty"`
	Exception *exceptionOut   `json:"exception,omitempty"`
	Fault     *fault          `json:"fault,omitempty"`
}

var null = []byte("null")

// show prints a reply, and returns what the process ends with.
func (j *job) show(r reply, out, errOut io.Writer) error {
	l, err := j.line(r)
	if err != nil {
		l = line{Fault: bad("%v", err).fault}
	}
	if j.json {
		err = l.raw(out)
	} else {
		for _, n := range r.notes {
			fmt.Fprintln(errOut, "bellhop: note:", n)
		}
		err = j.human(l, out, errOut)
	}
	switch {
	case err != nil:
		return &Exit{Code: exitFailed, err: err}
	case l.Fault != nil:
		return &Exit{Code: exitFailed}
	case l.Exception != nil:
		return &Exit{Code: exitException}
	}
	return nil
}

// line reads the reply's body.
func (j *job) line(r reply) (line, error) {
	switch {
	case r.fault != nil:
		return line{Fault: r.fault}, nil
	case r.body == nil: // oneway
		return line{Result: null}, nil
	case j.method == nil:
		b, err := decodeTyped(r.body)
		return line{Result: b}, err
	}
	o, ok, err := decodeResult(r.body, j.method.Result)
	switch {
	case err != nil:
		return line{}, err
	case !ok && j.method.Oneway: // OSP and dapeng answer a oneway with whatever they have
		return line{Result: null}, nil
	case !ok:
		return line{Fault: &fault{
			Code: client.ClassApp.String(), Type: appWord(protocol.AppMissingResult),
			Message: "the reply has neither a result nor an exception: is it the IDL that the server has?",
		}}, nil
	case o.exception != "":
		return line{Exception: &exceptionOut{o.exception, o.result}}, nil
	}
	return line{Result: o.result}, nil
}

// raw prints the line for machines. Results are written as they are: encoding/json would copy and escape them again.
func (l line) raw(out io.Writer) error {
	var b []byte
	switch {
	case l.Fault != nil:
		f, err := json.Marshal(l)
		if err != nil {
			return err
		}
		b = append(f, '\n')
	case l.Exception != nil:
		b = append(append(b, `{"exception":{"name":`...), appendString(nil, []byte(l.Exception.Name))...)
		b = append(append(append(b, `,"value":`...), l.Exception.Value...), "}}\n"...)
	default:
		b = append(append(append(b, `{"result":`...), l.Result...), "}\n"...)
	}
	_, err := out.Write(b)
	return err
}

// human prints values to out, everything else to errOut.
func (j *job) human(l line, out, errOut io.Writer) error {
	switch {
	case l.Fault != nil:
		f := l.Fault
		code := f.Code
		if f.RetCode != "" {
			code += " " + printable(f.RetCode)
		}
		ran := "the call may have run"
		if f.NotExecuted {
			ran = "the call has not run"
		}
		fmt.Fprintf(errOut, "bellhop: %s: %s: %s (%s)\n", code, f.Type, printable(f.Message), ran)
		if j.service != "" && !j.prefix && f.Type == appWord(protocol.AppUnknownMethod) {
			fmt.Fprintln(errOut, "bellhop: if this is a proxy or a multiplexed server, name the service with --prefix")
		}
		return nil
	case l.Exception != nil:
		fmt.Fprintln(errOut, "bellhop: the method threw", printable(l.Exception.Name))
		return pretty(out, l.Exception.Value, coloured(out))
	case j.oneway:
		fmt.Fprintln(errOut, "bellhop: sent; a oneway has no reply")
		return nil
	}
	return pretty(out, l.Result, coloured(out))
}

// printable is a text of somebody else's that can't move the terminal's cursor.
func printable(s string) string {
	q := appendString(nil, []byte(strings.ToValidUTF8(s, "\uFFFD")))
	return string(q[1 : len(q)-1])
}

// coloured reports whether w is a terminal that may be coloured (no-color.org).
func coloured(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}
