// Package testdata finds the real data and golden vectors that tests read.
// They are not part of this repository; a clone without them still passes.
package testdata

import (
	"os"
	"path/filepath"
	"testing"
)

// Dir returns the folder of test data: PLANT_TESTDATA, or ../shared/data
// beside the module root. Where there is none the test skips and says so;
// where PLANT_TESTDATA names a folder that does not exist it fails, because
// somebody meant the data to be there.
func Dir(t testing.TB) string {
	t.Helper()
	named, set := os.LookupEnv("PLANT_TESTDATA")
	dir := named
	if !set {
		dir = filepath.Join(Root(), "..", "shared", "data")
	}
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return dir
	}
	if set {
		t.Fatalf("PLANT_TESTDATA names %s, which is not a folder", dir)
	}
	t.Skip("test data is not here: set PLANT_TESTDATA to the folder that holds it")
	return ""
}

// Read returns one file of the test data.
func Read(t testing.TB, elem ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{Dir(t)}, elem...)...))
	if err != nil {
		t.Fatalf("read test data: %v", err)
	}
	return b
}

// Root returns the module's root folder: the nearest one above the working
// directory that holds a go.mod.
func Root() string {
	dir, err := os.Getwd()
	if err != nil {
		return "."
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "."
		}
		dir = parent
	}
}
