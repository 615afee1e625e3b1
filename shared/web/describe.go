package web

import (
	"context"
	"fmt"
	"net"
	"regexp"
	"runtime"
	"strings"
	"syscall"

	"github.com/dlai-sd/plant/shared/domain"
)

// maxDescription bounds a described error, in bytes.
const maxDescription = 1000

// maxCauses bounds how far Describe follows an error's causes.
const maxCauses = 16

// quoted finds what a message quotes: usually a value.
var quoted = regexp.MustCompile("\"[^\"]*\"?|'[^']*'|`[^`]*`?")

// Describe is the text of an error as a log, or a dead letter, may hold it.
// What our own code wrote around a cause stays; what a database, a parser or
// another library says about values is left out, and so is everything quoted:
// of a database's error only the SQLSTATE remains, of others their Go type.
func Describe(err error) string {
	if err == nil {
		return ""
	}
	s := strings.ToValidUTF8(quoted.ReplaceAllString(describe(err, maxCauses), `"…"`), "")
	if len(s) > maxDescription {
		s = strings.ToValidUTF8(s[:maxDescription], "") + "…"
	}
	return s
}

func describe(err error, left int) string {
	if left == 0 {
		return "…"
	}
	if text, ok := plain(err); ok {
		return text
	}
	var refusal *domain.Error
	var problem *Problem
	switch {
	case asExactly(err, &refusal):
		return withCause(string(refusal.Code), refusal.Err, left)
	case asExactly(err, &problem):
		return withCause(string(problem.Code), problem.Err, left)
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		cause := e.Unwrap()
		if cause == nil {
			return fmt.Sprintf("%T", err)
		}
		return ourPart(err, cause) + describe(cause, left-1)
	case interface{ Unwrap() []error }:
		var parts []string
		for _, cause := range e.Unwrap() {
			parts = append(parts, describe(cause, left-1))
		}
		return strings.Join(parts, "; ")
	}
	return fmt.Sprintf("%T", err)
}

// plain returns the text of an error that cannot hold what a user wrote.
func plain(err error) (string, bool) {
	switch e := err.(type) {
	case interface{ SQLState() string }:
		return "SQLSTATE " + e.SQLState(), true
	case runtime.Error, syscall.Errno, *net.OpError:
		return err.Error(), true
	}
	if err == context.DeadlineExceeded || err == context.Canceled {
		return err.Error(), true
	}
	if fmt.Sprintf("%T", err) == "*errors.errorString" {
		return err.Error(), true
	}
	return "", false
}

// ourPart is what a wrapping error says before its cause, as fmt.Errorf("…: %w")
// makes it. What fmt.Errorf("%w: …") adds behind may be a value: it is left out. Of
// any other it is the type.
func ourPart(err, cause error) string {
	if before, ok := strings.CutSuffix(err.Error(), cause.Error()); ok {
		return before
	}
	if kind := fmt.Sprintf("%T", err); kind != "*fmt.wrapError" {
		return kind + ": "
	}
	return ""
}

func withCause(text string, cause error, left int) string {
	if cause == nil {
		return text
	}
	return text + ": " + describe(cause, left-1)
}

// asExactly is errors.As without following causes.
func asExactly[E error](err error, target *E) bool {
	e, ok := err.(E)
	if ok {
		*target = e
	}
	return ok
}
