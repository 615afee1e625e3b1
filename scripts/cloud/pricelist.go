package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/go-json-experiment/json"
)

// printPrices prints the bill at each volume, with its sources.
func printPrices(out io.Writer, s summary) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	var bills [][]item
	fmt.Fprintf(w, "US dollars a month (%s, list prices of %s)", region, ratesAsOf)
	for _, v := range volumes() {
		fmt.Fprintf(w, "\t%.0fM requests", v/1e6)
		bills = append(bills, s.month(v))
	}
	fmt.Fprintln(w, "\tsource")
	for i, line := range bills[0] {
		fmt.Fprintf(w, "%s (%s)", line.What, line.Unit)
		for _, bill := range bills {
			fmt.Fprintf(w, "\t%.2f", bill[i].USD)
		}
		fmt.Fprintln(w, "\t"+line.Page)
	}
	fmt.Fprint(w, "together")
	for _, bill := range bills {
		fmt.Fprintf(w, "\t%.2f", total(bill))
	}
	fmt.Fprintln(w, "\t")
	fmt.Fprintf(w, "reaches $%.0f at\t%.1fM\t\t\t\n", s.BudgetUSD, s.reaches(s.BudgetUSD)/1e6)
	return w.Flush()
}

// priceList is the page of prices, of the kept summaries of the plans.
func priceList(module string) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<!-- %s -->\n# What a month costs\n\nUS dollars, %s, list prices of %s. Computed from the Terraform plan by `scripts/cloud`, whose `price.go` says what a month of use is taken to be; `rates.go` holds the prices. A test fails where the size team comes to $100 or more.\n", generated, region, ratesAsOf)
	for _, size := range []string{"lab", "team"} {
		raw, err := os.ReadFile(filepath.Join(module, "scripts/cloud/testdata", size+".json"))
		if err != nil {
			return nil, fmt.Errorf("read the kept summary: %w", err)
		}
		var s summary
		if err := json.Unmarshal(raw, &s); err != nil {
			return nil, fmt.Errorf("the kept summary of %s: %w", size, err)
		}
		s.section(&b, size)
	}
	return b.Bytes(), nil
}

func (s summary) section(b *bytes.Buffer, size string) {
	fmt.Fprintf(b, "\n## %s\n\n|", size)
	var bills [][]item
	rule := "\n|---|"
	for _, v := range volumes() {
		fmt.Fprintf(b, " | %.0fM requests", v/1e6)
		rule += "--:|"
		bills = append(bills, s.month(v))
	}
	b.WriteString(" | price, free share |" + rule + "---|\n")
	for i, line := range bills[0] {
		fmt.Fprintf(b, "| %s", line.What)
		for _, bill := range bills {
			fmt.Fprintf(b, " | %.2f", bill[i].USD)
		}
		r := rates()[line.Unit]
		fmt.Fprintf(b, " | [$%s per %s, %s free](%s) |\n", plainly(r.USD*per(line.Unit)), unitName(line.Unit), plainly(r.Free), line.Page)
	}
	b.WriteString("| **together**")
	for _, bill := range bills {
		fmt.Fprintf(b, " | **%.2f**", total(bill))
	}
	fmt.Fprintf(b, " | |\n\nIt reaches its budget of $%.0f at about %.1f million requests a month.\n", s.BudgetUSD, s.reaches(s.BudgetUSD)/1e6)
}

// per is how many of a unit its price is quoted for.
func per(unit string) float64 {
	if unit == "requests" || unit == "alert time series" {
		return 1e6
	}
	if unit == "secret reads" {
		return 1e4
	}
	if unit == "bucket writes" {
		return 1e3
	}
	return 1
}

func unitName(unit string) string {
	if n := per(unit); n > 1 {
		return fmt.Sprintf("%.0f %s", n, unit)
	}
	return unit
}

// plainly writes a figure without an exponent and without idle zeros.
func plainly(f float64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.7f", f), "0"), ".")
}
