package governed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/bench/targets"
	"github.com/bellhop-mesh/bellhop/scripts/prove"
)

// playedRow is what was found in one row, and everything that it was found in.
type playedRow struct {
	Row     string      `json:"row"`
	Begun   time.Time   `json:"begun"`
	Machine string      `json:"machine"`
	Table   [][4]string `json:"table"`
	Runs    []*Run      `json:"runs"`
}

// keep writes dir/NAME.json and the table in dir/NAME.txt and in the page beside the folder, where there is one. Rows that
// were not played now stay as they were found before.
func keep(dir, name string, order []string, now []playedRow) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	file := filepath.Join(dir, name+".json")
	var all []playedRow
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &all)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", file, err)
	}
	for _, r := range now {
		for _, run := range r.Runs {
			for k, v := range run.Figures { // JSON has no infinity
				if math.IsInf(v, 0) || math.IsNaN(v) {
					run.Figures[k] = -1
				}
			}
		}
		all = append(slices.DeleteFunc(all, func(o playedRow) bool { return o.Row == r.Row }), r)
	}
	slices.SortStableFunc(all, func(a, b playedRow) int { return slices.Index(order, a.Row) - slices.Index(order, b.Row) })
	text, err := encode(all)
	if err == nil {
		err = os.WriteFile(file, text, 0o644)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".txt"), []byte(plain(name, all)), 0o644)
	}
	page := filepath.Clean(dir) + ".md"
	if _, missing := os.Stat(page); err != nil || missing != nil {
		return err
	}
	return targets.Rewrite(page, name, markdown(filepath.Base(dir), name, all))
}

// encode has a line for each run: small, and a difference can be read.
func encode(all []playedRow) ([]byte, error) {
	var b strings.Builder
	b.WriteString("[")
	for i, r := range all {
		head, err := json.Marshal(playedRow{Row: r.Row, Begun: r.Begun, Machine: r.Machine, Table: r.Table, Runs: []*Run{}})
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString("\n" + strings.TrimSuffix(string(head), "]}"))
		for k, run := range r.Runs {
			line, err := json.Marshal(run)
			if err != nil {
				return nil, err
			}
			if k > 0 {
				b.WriteString(",")
			}
			b.WriteString("\n" + string(line))
		}
		b.WriteString("]}")
	}
	return []byte(b.String() + "]\n"), nil
}

func plain(name string, all []playedRow) string {
	var b strings.Builder
	fmt.Fprintf(&b, "make %s\n", name)
	for _, r := range all {
		fmt.Fprintf(&b, "\n%s, begun %s, %s\n", r.Row, r.Begun.Format("2006-01-02 15:04"), r.Machine)
		rows := [][]string{{"figure", "target", "measured", "ok"}}
		for _, x := range r.Table {
			rows = append(rows, x[:])
		}
		prove.Columns(&b, rows)
	}
	return b.String()
}

// markdown is one table for all rows; which runs they are from stands below it.
func markdown(folder, name string, all []playedRow) string {
	var rows [][4]string
	var when []string
	machines := []string{}
	for _, r := range all {
		rows = append(rows, r.Table...)
		when = append(when, r.Row+" "+r.Begun.Format("2006-01-02 15:04"))
		if !slices.Contains(machines, r.Machine) {
			machines = append(machines, r.Machine)
		}
	}
	return prove.Markdown(rows) + fmt.Sprintf("\nRuns: %s, on %s. Everything measured: [%s.json](%s/%s.json).\n",
		strings.Join(when, ", "), strings.Join(machines, "; "), name, folder, name)
}
