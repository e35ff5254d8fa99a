package targets

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// File is what one run of a tool has measured for its targets. It is kept in the tree: the page is made of these files.
type File struct {
	Begun   time.Time            `json:"begun"`
	Machine string               `json:"machine"`
	Bellhop string               `json:"bellhop"` // version
	Values  map[string][]float64 `json:"values"`  // by a target's key, one for each round
	Absent  map[string]string    `json:"absent,omitempty"`
}

// folder of the files, in that of the page.
const folder = "targets"

// Save writes dir/targets/NAME.json and the page's table anew. A key that the catalogue does not know is an error.
func Save(dir, name string, f File) error {
	for key, values := range f.Values {
		if _, err := Judge(key, values); err != nil {
			return err
		}
	}
	b, err := json.MarshalIndent(f, "", " ")
	if err == nil {
		err = os.MkdirAll(filepath.Join(dir, folder), 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, folder, name+".json"), append(b, '\n'), 0o644)
	}
	if err != nil {
		return err
	}
	return Publish(dir)
}

// Publish writes the table of all targets into dir/README.md, between its marks `targets`.
func Publish(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, folder, "*.json"))
	if err != nil {
		return err
	}
	var files []File
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var f File
		if err := json.Unmarshal(b, &f); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		files = append(files, f)
	}
	return Rewrite(filepath.Join(dir, "README.md"), "targets", Table(files))
}

// Table is the Markdown of all targets. Where several files have values for one, the youngest counts.
func Table(files []File) string {
	slices.SortStableFunc(files, func(a, b File) int { return a.Begun.Compare(b.Begun) })
	var b strings.Builder
	b.WriteString("| figure | target | measured | range | rounds | | by | run |\n|---|---|---|---|---|---|---|---|\n")
	used := map[string]bool{}
	for _, t := range Catalogue() {
		cells := []string{t.Figure, t.Aim(), "not measured", "–", "–", "–", "`" + t.Command + "`", "–"}
		for _, f := range files {
			run := f.Begun.UTC().Format("2006-01-02 15:04") + ", " + f.Bellhop
			if why := f.Absent[t.Key]; why != "" {
				cells[2], cells[3], cells[4], cells[5], cells[7] = "not measured: "+why, "–", "–", "–", run
			}
			v, err := Judge(t.Key, f.Values[t.Key])
			if err != nil {
				continue
			}
			used[f.Machine] = true
			cells[2], cells[3], cells[4] = v.Measured(), v.Range(), fmt.Sprint(len(v.Values))
			cells[5], cells[7] = v.Word(), run
		}
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	for _, f := range files {
		if used[f.Machine] {
			b.WriteString("\nMachine: " + f.Machine + ".\n")
			delete(used, f.Machine)
		}
	}
	return b.String()
}

// Rewrite puts text between the lines `<!-- NAME:begin …-->` and `<!-- NAME:end -->` of a page.
func Rewrite(file, name, text string) error {
	page, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	whole, err := Between(string(page), name, text)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, []byte(whole), 0o644)
}

// Between is Rewrite on a text.
func Between(page, name, text string) (string, error) {
	begin, end := "<!-- "+name+":begin", "<!-- "+name+":end -->"
	head, rest, ok := strings.Cut(page, begin)
	mark, rest, ok2 := strings.Cut(rest, "-->\n")
	_, tail, ok3 := strings.Cut(rest, end)
	if !ok || !ok2 || !ok3 {
		return "", errors.New("has no lines " + begin + " … --> and " + end)
	}
	return head + begin + mark + "-->\n" + strings.TrimRight(text, "\n") + "\n" + end + tail, nil
}
