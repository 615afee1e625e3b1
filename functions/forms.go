package main

import (
	"math"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dlai-sd/plant/shared/embedding"
	"github.com/dlai-sd/plant/shared/embedding/minilm"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/web"
)

// form is what the value of a variable has to be: in words that follow "must be",
// and as a rule. Without a rule any text will do.
type form struct {
	words string
	holds func(value string) bool
}

func freeText(words string) form { return form{words, nil} }

func pattern(words, expression string) form {
	return form{words, regexp.MustCompile(`^(?:` + expression + `)$`).MatchString}
}

// whole takes what a person writes for a number: no sign, no zero in front of it, and
// no other base than ten.
func whole(what string, least, most int) form {
	words := what + ", " + strconv.Itoa(least) + " to " + strconv.Itoa(most)
	return form{words, func(value string) bool {
		n, ok := web.ParseNumber(value)
		return ok && n >= int64(least) && n <= int64(most)
	}}
}

func span(words string, most time.Duration) form {
	return form{words, func(value string) bool {
		d, err := time.ParseDuration(value)
		return err == nil && d >= 0 && d <= most
	}}
}

// fraction takes numbers above 0, up to most.
func fraction(words string, most float64) form {
	return form{words, func(value string) bool {
		f, err := strconv.ParseFloat(value, 64)
		return err == nil && !math.IsNaN(f) && f > 0 && f <= most
	}}
}

func parsed(words string, check func(value string) error) form {
	return form{words, func(value string) bool { return check(value) == nil }}
}

// The forms of the variables.
func aFunction() form {
	return form{"one of " + strings.Join(Functions(), ", "), func(value string) bool { return slices.Contains(Functions(), value) }}
}

func anOrigin() form {
	return parsed("name/number, without white space, controls or plus signs", ledger.CheckOrigin)
}

func aSecretVersion() form {
	return parsed("projects/P/secrets/S/versions/N, N a number", keys.CheckVersion)
}

func aDatabase() form {
	return parsed("the address of a database, postgres://…", store.CheckURL)
}

func aCache() form {
	return parsed("the address of a Redis, redis://… or rediss://…", embedding.CheckCacheURL)
}

func aModel() form {
	var ids []string
	for _, r := range embedding.Recipes() {
		ids = append(ids, r.ModelID)
	}
	return form{"one of " + strings.Join(ids, ", "), func(value string) bool { return slices.Contains(ids, value) }}
}

func threads() form { return whole("a whole number of processors", 0, minilm.MaxThreads) }

func anAddress() form {
	return form{"an address of this machine, or its name", func(value string) bool {
		return net.ParseIP(value) != nil || hostName.MatchString(value)
	}}
}

func aHostAndPort() form {
	port := whole("a TCP port", 1, math.MaxUint16)
	return form{"host:port", func(value string) bool {
		host, at, err := net.SplitHostPort(value)
		return err == nil && host != "" && port.holds(at)
	}}
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$`)

func aProject() form {
	return pattern("a project id", `[a-z0-9.:-]{1,63}`)
}

func anInstance() form {
	return pattern("project:region:instance", `(?:[a-z0-9.-]+:)?[a-z0-9-]+:[a-z0-9-]+:[a-z0-9-]+`)
}

func aDatabaseUser() form {
	return form{"an e-mail without .gserviceaccount.com", func(value string) bool {
		return anEmail().holds(value) && !strings.HasSuffix(value, ".gserviceaccount.com")
	}}
}

func aDatabaseName() form {
	return pattern("a name of letters, digits, - and _", `[A-Za-z_][A-Za-z0-9_-]{0,62}`)
}

func aTopic(what string) form {
	return pattern(what+", without its project", `[A-Za-z][A-Za-z0-9._~%+-]{2,254}`)
}

func aBucket() form {
	return pattern("the name of a bucket, without gs://", `[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]`)
}

func anEmail() form {
	return pattern("an e-mail", `[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+`)
}

// aBase is where another service answers: whoever is asked there is shown a token.
func aBase() form {
	return form{"scheme://host[:port] in lower case and nothing else; https, or http to this machine", func(value string) bool {
		return isOrigins(value) && !strings.Contains(value, ",") && strings.TrimSpace(value) == value
	}}
}

func someOrigins() form {
	return form{"origins between commas, each scheme://host[:port] in lower case and nothing else; https, or http to this machine", isOrigins}
}

func isOrigins(value string) bool {
	_, err := web.ParseOrigins(value)
	return err == nil
}

// anIssuer may have a path, unlike an origin.
func anIssuer() form {
	return form{"an https URL, or http to this machine", func(value string) bool {
		u, err := url.Parse(value)
		return err == nil && u.User == nil && u.RawQuery == "" && u.Fragment == "" && isOrigins(strings.ToLower(u.Scheme+"://"+u.Host))
	}}
}
