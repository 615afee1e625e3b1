// Package checkpoints is where a log's signed checkpoints are published: outside
// the database, under numbers that are each given once. What was published there
// stays, so a database that was rolled back is found out.
package checkpoints

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// What a Store answers beside a checkpoint.
var (
	ErrExists = errors.New("a checkpoint of this number is published")
	ErrNone   = errors.New("no checkpoint is published from this number on")
)

// MaxSize bounds a checkpoint, in bytes.
const MaxSize = 64 << 10

// Store publishes checkpoints. It is used from several processes at once.
type Store interface {
	// Create publishes a checkpoint under number n, whole or not at all, and never
	// replaces one: ErrExists then. After another error it may be published or not.
	Create(ctx context.Context, n int64, note []byte) error
	// Newest returns the checkpoint of the highest number among those from a number
	// on, ErrNone if there is none.
	Newest(ctx context.Context, from int64) (n int64, note []byte, err error)
}

const (
	folder = "checkpoints"
	digits = 12
	most   = 999_999_999_999
)

var numbered = regexp.MustCompile(`^[0-9]{12}$`)

// name is what a checkpoint is called, in every store: names sort as numbers do.
func name(n int64) string { return fmt.Sprintf("%s/%0*d", folder, digits, n) }

// number is the number in a name; false for what is no checkpoint's name.
func number(name string) (int64, bool) {
	text, ours := strings.CutPrefix(name, folder+"/")
	if !ours || !numbered.MatchString(text) {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && n > 0
}

func check(n int64, note []byte) error {
	switch {
	case n < 1 || n > most:
		return fmt.Errorf("checkpoint %d: numbers are 1 to %d", n, most)
	case len(note) == 0 || len(note) > MaxSize:
		return fmt.Errorf("checkpoint %d: %d bytes", n, len(note))
	}
	return nil
}
