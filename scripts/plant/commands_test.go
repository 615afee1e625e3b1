package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/testkit/testdata"
)

// commandLine finds plant's command lines in a page's blocks: behind bin/plant, or
// operator, which runs the same words in the cloud.
var commandLine = regexp.MustCompile(`(?m)(?:bin/plant|^operator|&& operator) ([a-z-][^|&;>\n)]*)`)

// TestWrittenCommandsExist: each command line that the pages show is one.
func TestWrittenCommandsExist(t *testing.T) {
	t.Setenv("PLANT_ADMIN_DATABASE_URL", "postgres://admin@host/plant") // as the README exports it
	for _, page := range []string{"README.md", "infra/RUNBOOK.md", "infra/GROWTH.md"} {
		text, err := os.ReadFile(filepath.Join(testdata.Root(), page))
		require.NoError(t, err)
		for i, block := range strings.Split(string(text), "```") {
			if i%2 == 0 {
				continue
			}
			for _, found := range commandLine.FindAllStringSubmatch(block, -1) {
				line, _, _ := strings.Cut(found[1], "  #")
				require.NoError(t, parses(t, words(line)), "%s: plant %s", page, line)
			}
		}
	}
	require.Error(t, parses(t, []string{"keys", "twist"}), "or this test sees nothing")
}

func words(line string) []string {
	list := strings.Fields(line)
	for i, w := range list {
		list[i] = strings.NewReplacer("$LEAKED", "abc", "$BROKEN", "3").Replace(strings.Trim(w, `"`))
	}
	return list
}

func parses(t *testing.T, args []string) error {
	t.Helper()
	var c cli
	parser, err := newParser(&c, io.Discard, io.Discard, func(int) {})
	require.NoError(t, err)
	_, err = parser.Parse(args)
	return err
}
