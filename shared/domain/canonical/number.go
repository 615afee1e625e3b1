package canonical

import (
	"bytes"
	"strconv"
)

const (
	maxInteger = 1<<53 - 1 // the largest n such that n and its neighbours are exact in a float64
	maxDigits  = 15        // what every decimal keeps through a float64
	minPower   = -300      // well inside the normal range of a float64
)

// checkNumber refuses what canonical JSON, whose numbers are IEEE 754 doubles,
// would silently change, and what its canonical form would be refused for:
//
//   - -0 in any spelling;
//   - an integer (no point, no exponent) beyond ±(2^53-1);
//   - a decimal of more than 15 significant digits, leading and trailing zeros
//     not counted;
//   - a decimal nearer to zero than 10^-300;
//   - a decimal beyond ±(2^53-1): it would be written as an integer that is
//     refused (1e16 becomes 10000000000000000) or, from 10^21 on, not as a plain
//     number.
//
// lit follows the grammar of RFC 8259.
func checkNumber(lit []byte) *Error {
	unsigned := bytes.TrimPrefix(lit, []byte("-"))
	if !bytes.ContainsAny(unsigned, ".eE") {
		return checkInteger(unsigned, len(unsigned) < len(lit))
	}
	digits, power := significant(unsigned)
	switch {
	case len(digits) == 0 && len(unsigned) < len(lit):
		return badNumber("negative zero")
	case len(digits) == 0:
		return nil
	case len(digits) > maxDigits:
		return badNumber("more than 15 significant digits")
	case power < minPower:
		return badNumber("nearer to zero than 10^-300")
	}
	if f, err := strconv.ParseFloat(string(unsigned), 64); err != nil || f > maxInteger {
		return badNumber("beyond ±(2^53-1)")
	}
	return nil
}

func checkInteger(digits []byte, negative bool) *Error {
	if len(digits) == 1 && digits[0] == '0' && negative {
		return badNumber("negative zero")
	}
	if len(digits) <= maxDigits {
		return nil
	}
	if n, err := strconv.ParseUint(string(digits), 10, 64); err != nil || n > maxInteger {
		return badNumber("an integer beyond ±(2^53-1)")
	}
	return nil
}

// significant returns a decimal's digits without leading and trailing zeros
// (none: it is zero) and the power of ten of the first of them. A power beyond
// ±2,000,000,000 is cut to that.
func significant(lit []byte) (digits []byte, power int) {
	mantissa, exponent := lit, 0
	if i := bytes.IndexAny(lit, "eE"); i >= 0 {
		mantissa, exponent = lit[:i], clampedInt(lit[i+1:])
	}
	whole, fraction, _ := bytes.Cut(mantissa, []byte("."))
	all := append(append(make([]byte, 0, len(mantissa)), whole...), fraction...)
	leading := len(all) - len(bytes.TrimLeft(all, "0"))
	return bytes.Trim(all, "0"), len(whole) - 1 - leading + exponent
}

// clampedInt reads a signed decimal of any length.
func clampedInt(b []byte) int {
	const limit = 1_000_000_000
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil || n > limit || n < -limit {
		if b[0] == '-' {
			return -limit
		}
		return limit
	}
	return int(n)
}

func badNumber(detail string) *Error { return &Error{Class: ClassNumber, Detail: detail} }
