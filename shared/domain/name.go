package domain

import (
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// NameKey is the form in which names are compared for uniqueness: trimmed, NFC,
// case-folded (Unicode full folding), NFC again. "Straße" and "STRASSE" have
// one key, and so have the composed and the decomposed "é".
func NameKey(name string) string {
	trimmed := norm.NFC.String(strings.TrimSpace(name))
	return norm.NFC.String(strings.Map(foldCherokee, cases.Fold().String(trimmed)))
}

// foldCherokee mends golang.org/x/text's folding of Cherokee, which exchanges
// the two cases: Unicode's CaseFolding.txt folds to the capitals.
func foldCherokee(r rune) rune {
	switch {
	case r >= 0xAB70 && r <= 0xABBF:
		return r - 0xAB70 + 0x13A0
	case r >= 0x13F8 && r <= 0x13FD:
		return r - 8
	}
	return r
}
