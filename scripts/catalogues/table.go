package catalogues

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// byteOrderMark begins some files of UTF-8 text.
const byteOrderMark = "\uFEFF"

// maxColumns bounds a header.
const maxColumns = 200

// table is a file of rows under a header.
type table struct {
	name    string
	columns map[string]int
	next    func() ([]string, error) // io.EOF at the end
	row     int                      // of the file, the header being row 1
}

// record is one row, read by column.
type record struct {
	table *table
	cells []string
	where string
}

// get returns a cell without the space around it, "" where the column or the
// cell is missing.
func (r record) get(column string) string {
	i, ok := r.table.columns[column]
	if !ok || i >= len(r.cells) {
		return ""
	}
	return strings.TrimSpace(r.cells[i])
}

// openTabs begins a file of tab-separated text, whose quotes mean nothing.
func openTabs(folder fs.FS, name string, columns ...string) (*table, func(), error) {
	file, err := folder.Open(name)
	if err != nil {
		return nil, nil, err
	}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, maxLine)
	t, err := newTable(name, func() ([]string, error) {
		if !lines.Scan() {
			if lines.Err() != nil {
				return nil, lines.Err()
			}
			return nil, io.EOF
		}
		return strings.Split(strings.TrimSuffix(lines.Text(), "\r"), "\t"), nil
	}, columns)
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return t, func() { _ = file.Close() }, nil
}

// readCSV begins a CSV file (RFC 4180); quoted cells may hold line ends.
func readCSV(name string, b []byte) (*table, error) {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(b, []byte(byteOrderMark))))
	r.FieldsPerRecord = -1
	return newTable(name, r.Read, nil)
}

func newTable(name string, next func() ([]string, error), columns []string) (*table, error) {
	header, err := next()
	if err != nil {
		return nil, fmt.Errorf("%s: read the header: %w", name, err)
	}
	if len(header) > maxColumns {
		return nil, fmt.Errorf("%s has more than %d columns", name, maxColumns)
	}
	t := &table{name: name, columns: map[string]int{}, next: next, row: 1}
	for i, column := range header {
		t.columns[strings.TrimSpace(strings.TrimPrefix(column, byteOrderMark))] = i
	}
	return t, t.need(columns...)
}

// has reports whether the header names all of these columns.
func (t *table) has(columns ...string) bool { return t.need(columns...) == nil }

func (t *table) need(columns ...string) error {
	for _, column := range columns {
		if _, ok := t.columns[column]; !ok {
			return fmt.Errorf("%s has no column %q", t.name, column)
		}
	}
	return nil
}

// each calls do with every row that is not empty.
func (t *table) each(do func(record) error) error {
	for {
		cells, err := t.next()
		t.row++
		if errors.Is(err, io.EOF) {
			return nil
		}
		where := fmt.Sprintf("%s, row %d", t.name, t.row)
		if err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		if len(cells) == 1 && strings.TrimSpace(cells[0]) == "" {
			continue
		}
		if err := do(record{t, cells, where}); err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
	}
}
