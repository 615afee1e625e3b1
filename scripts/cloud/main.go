// Cloud keeps what stands in infra/ and in the documents true to the code: it
// writes the front door's rewrites and the table of settings from the functions'
// own tables, and computes what a month costs from a Terraform plan.
//
//	cloud generate            writes infra/firebase.json, infra/deliveries.json, the documents and .env.example
//	cloud price PLAN.json     prints what that plan costs at 0, 1 and 11 million requests
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"
)

// deadline bounds a run; asking the functions may mean building them.
const deadline = 5 * time.Minute

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "cloud:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	switch {
	case len(args) == 1 && args[0] == "generate":
		return write(ctx, ".")
	case len(args) == 2 && args[0] == "price":
		plan, err := os.ReadFile(args[1])
		if err != nil {
			return fmt.Errorf("read the plan: %w", err)
		}
		s, err := summarise(plan)
		if err != nil {
			return err
		}
		return printPrices(out, s)
	}
	return errors.New("say generate, or price PLAN.json")
}

// write generates every file from the functions of the module in a folder.
func write(ctx context.Context, module string) error {
	files, err := generate(ctx, module)
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(module, name), content, 0o644); err != nil { // #nosec -- documents that everybody may read
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}

// generate returns the content of every generated file, by its path.
func generate(ctx context.Context, module string) (map[string][]byte, error) {
	var routes []route
	if err := ask(ctx, module, "routes", &routes); err != nil {
		return nil, err
	}
	var settings []setting
	if err := ask(ctx, module, "config", &settings); err != nil {
		return nil, err
	}
	door, err := firebase(routes)
	if err != nil {
		return nil, err
	}
	prices, err := priceList(module)
	if err != nil {
		return nil, err
	}
	told, err := terraformDeliveries()
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		"infra/deliveries.json":  told,
		"infra/PRICES.md":        prices,
		"infra/firebase.json":    door,
		"infra/CONFIGURATION.md": document(settings),
		".env.example":           example(settings),
	}, nil
}

// ask reads one of the functions' own tables.
func ask(ctx context.Context, module, table string, into any) error {
	cmd := exec.CommandContext(ctx, "go", "run", "./functions", table)
	cmd.Dir = module
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("ask the functions for their %s: %w", table, err)
	}
	if err := json.Unmarshal(out, into); err != nil {
		return fmt.Errorf("the functions' %s: %w", table, err)
	}
	return nil
}
