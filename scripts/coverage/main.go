// Coverage reads a coverage profile of the Go tool, prints each package's share
// and fails where one is below its floor.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

const module = "github.com/dlai-sd/plant/"

// The floors, in percent: of everything, and of what decides and proves.
const (
	floorOverall = 80.0
	floorCore    = 90.0
)

var core = []string{"shared/domain", "shared/ledger", "shared/translog", "shared/bundle", "shared/keys", "shared/auth"} // a table

type share struct{ covered, total int }

func (s share) percent() float64 {
	if s.total == 0 {
		return 100
	}
	return 100 * float64(s.covered) / float64(s.total)
}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "coverage:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	if len(args) != 1 {
		return errors.New("usage: coverage PROFILE")
	}
	file, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer file.Close() // only read
	blocks, err := read(file)
	if err != nil {
		return err
	}
	return judge(blocks, out)
}

// block is a run of statements; with -coverpkg it is listed once for each test
// binary, and counts as covered if any of them ran it.
type block struct {
	statements int
	covered    bool
}

func read(r io.Reader) (map[string]block, error) {
	blocks := map[string]block{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "mode:") {
			continue
		}
		fields := strings.Fields(lines.Text())
		if len(fields) != 3 {
			return nil, fmt.Errorf("a line with %d fields", len(fields))
		}
		statements, err := strconv.Atoi(fields[1])
		if err != nil {
			return nil, err
		}
		b := blocks[fields[0]]
		b.statements = statements
		b.covered = b.covered || fields[2] != "0"
		blocks[fields[0]] = b
	}
	return blocks, lines.Err()
}

func judge(blocks map[string]block, out io.Writer) error {
	packages := map[string]share{}
	var all share
	for where, b := range blocks {
		file, _, _ := strings.Cut(where, ":")
		name := strings.TrimPrefix(path.Dir(file), module)
		if strings.HasPrefix(name, "shared/testkit/") {
			continue
		}
		s := packages[name]
		s.total += b.statements
		all.total += b.statements
		if b.covered {
			s.covered += b.statements
			all.covered += b.statements
		}
		packages[name] = s
	}
	var below []string
	check := func(name string, s share, floor float64) {
		fmt.Fprintf(out, "%6.1f %%  (floor %2.0f)  %s\n", s.percent(), floor, name)
		if s.percent() < floor {
			below = append(below, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		floor := 0.0
		if slices.Contains(core, name) {
			floor = floorCore
		}
		check(name, packages[name], floor)
	}
	check("everything", all, floorOverall)
	if len(below) > 0 {
		return fmt.Errorf("below the floor: %s", strings.Join(below, ", "))
	}
	return nil
}
