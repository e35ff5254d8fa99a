package prove

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Table is the printed proof: figure, target, measured, ok.
type Table struct {
	name string
	rows [][4]string
	bad  int
	good int
}

// NewTable returns an empty table of the proof `make NAME`.
func NewTable(name string) *Table { return &Table{name: name} }

// Add notes a figure that has a target.
func (t *Table) Add(figure, target, measured string, ok bool) {
	word := "ok"
	if ok {
		t.good++
	} else {
		t.bad++
		word = "FAILED"
	}
	t.rows = append(t.rows, [4]string{figure, target, measured, word})
}

// Note adds a figure that has none.
func (t *Table) Note(figure, measured string) {
	t.rows = append(t.rows, [4]string{figure, "–", measured, "–"})
}

// Finish prints the table and its last line, and returns the exit code.
func (t *Table) Finish(w io.Writer) int {
	rows := append([][4]string{{"figure", "target", "measured", "ok"}}, t.rows...)
	printed := make([][]string, len(rows))
	for i := range rows {
		printed[i] = rows[i][:]
	}
	Columns(w, printed)
	_, _ = fmt.Fprintf(w, "%s: %d passed, %d failed\n", t.name, t.good, t.bad)
	return t.code()
}

// Rows are figure, target, measured and the word for it.
func (t *Table) Rows() [][4]string { return t.rows }

// Append adds what another table has.
func (t *Table) Append(o *Table) {
	t.rows = append(t.rows, o.rows...)
	t.good, t.bad = t.good+o.good, t.bad+o.bad
}

// Markdown is rows of a table for a page.
func Markdown(rows [][4]string) string {
	var b strings.Builder
	b.WriteString("| figure | target | measured | |\n|---|---|---|---|\n")
	for _, r := range rows {
		b.WriteString("| " + strings.Join(r[:], " | ") + " |\n")
	}
	return b.String()
}

// FinishJSON is Finish for programs.
func (t *Table) FinishJSON(w io.Writer) int {
	type row struct {
		Figure   string `json:"figure"`
		Target   string `json:"target"`
		Measured string `json:"measured"`
		OK       string `json:"ok"`
	}
	rows := make([]row, len(t.rows))
	for i, r := range t.rows {
		rows[i] = row{r[0], r[1], r[2], r[3]}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	_ = e.Encode(map[string]any{"proof": t.name, "passed": t.good, "failed": t.bad, "rows": rows})
	return t.code()
}

func (t *Table) code() int {
	if t.bad > 0 || t.good == 0 {
		return 1
	}
	return 0
}

// Columns prints rows in columns.
func Columns(w io.Writer, rows [][]string) {
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, r := range rows {
		_, _ = fmt.Fprintln(tw, "  "+strings.Join(r, "\t"))
	}
	_ = tw.Flush()
}
