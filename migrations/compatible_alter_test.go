package migrations_test

import (
	"regexp"
	"strings"
)

var (
	alterType    = regexp.MustCompile(`^alter (?:column )?` + name + ` (?:set data )?type\b`)
	alterColumn  = regexp.MustCompile(`^alter (?:column )?` + name + ` (set not null|drop default|drop expression|drop identity|add generated|set expression)`)
	dropPart     = regexp.MustCompile(`^drop (?:(column|constraint) )?(?:if exists )?` + name)
	addNamed     = regexp.MustCompile(`^add constraint ` + name + ` (.*)$`)
	addTableRule = regexp.MustCompile(`^add (check|foreign key|unique|primary key|exclude)\b(.*)$`)
	addColumn    = regexp.MustCompile(`^add (?:column )?(?:if not exists )?` + name + ` (.*)$`)
	validate     = regexp.MustCompile(`^validate constraint ` + name)
	rewrites     = regexp.MustCompile(`^set (?:logged|unlogged|tablespace|access method|without oids)`)
	lightAction  = regexp.MustCompile(`^(?:enable (?:always |replica )?trigger|validate constraint)|^add (?:constraint [a-z0-9_]+ )?foreign key|^set \(`)
	stored       = regexp.MustCompile(`\bgenerated always as \(.*\) stored|\bgenerated (?:always|by default) as identity|^(?:big|small)?serial\b`)
	constant     = regexp.MustCompile(`\bdefault (?:'[^']*'|[-+]?[0-9.]+|true|false|null|now\(\)|current_timestamp|current_date)(?:::[a-z0-9_\[\] ]+)?(?: (?:not null|null|check|references|unique|collate)\b|$)`)
)

// alter reads an ALTER TABLE; of a table that is in use each action counts.
func (l *lint) alter(table, actions string) {
	if !l.inUse(table) {
		return
	}
	for _, action := range split(actions) {
		if !lightAction.MatchString(action) {
			l.shut[table] = true
		}
		l.action(table, action)
	}
}

func (l *lint) action(table, action string) {
	switch {
	case rename.MatchString(action):
		l.find("renames in %s: %s", table, action)
	case rewrites.MatchString(action):
		l.find("writes all of %s anew: %s", table, action)
	case alterType.MatchString(action):
		l.find("changes the type of %s.%s", table, alterType.FindStringSubmatch(action)[1])
	case alterColumn.MatchString(action):
		m := alterColumn.FindStringSubmatch(action)
		l.find("%s of %s.%s", m[2], table, m[1])
	case validate.MatchString(action):
		if c := validate.FindStringSubmatch(action)[1]; l.made["constraint "+c] {
			l.find("reads all of %s while it is shut: validate %s in the migration after", table, c)
		}
	case dropPart.MatchString(action):
		m := dropPart.FindStringSubmatch(action)
		l.find("drops %s of %s", strings.TrimSpace(m[1]+" "+m[2]), table)
	case addNamed.MatchString(action):
		m := addNamed.FindStringSubmatch(action)
		l.made["constraint "+m[1]] = true
		l.constraint(table, m[1], m[2])
	case addTableRule.MatchString(action):
		l.constraint(table, "without a name", strings.TrimPrefix(action, "add "))
	case addColumn.MatchString(action):
		m := addColumn.FindStringSubmatch(action)
		l.column(table, m[1], m[2])
	}
}

func (l *lint) constraint(table, constraint, text string) {
	switch {
	case small[table] != "" || strings.Contains(text, " using index "):
	case strings.HasPrefix(text, "check") || strings.HasPrefix(text, "foreign key"):
		if !strings.HasSuffix(text, " not valid") {
			l.find("constraint %s: reads all of %s while it is shut (NOT VALID first)", constraint, table)
		}
	default:
		l.find("constraint %s: makes an index while %s is shut", constraint, table)
	}
}

func (l *lint) column(table, column, text string) {
	hasDefault := strings.Contains(text, " default ")
	switch {
	case stored.MatchString(text), hasDefault && !constant.MatchString(text):
		l.find("column %s.%s: writes the whole table anew", table, column)
	case strings.Contains(text, "not null") && !hasDefault:
		l.find("column %s.%s is NOT NULL and has no default: the version before leaves it out", table, column)
	}
	for _, scan := range []string{" unique", " primary key", " references ", " check "} {
		if strings.Contains(text+" ", scan) && small[table] == "" {
			l.find("column %s.%s:%s goes through all of the table while it is shut", table, column, strings.TrimRight(scan, " "))
		}
	}
}

// split divides a list at its commas outside parentheses.
func split(list string) []string {
	var parts []string
	depth, from := 0, 0
	for i, c := range list {
		switch {
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ',' && depth == 0:
			parts, from = append(parts, strings.TrimSpace(list[from:i])), i+1
		}
	}
	return append(parts, strings.TrimSpace(list[from:]))
}

var dollar = regexp.MustCompile(`^\$[A-Za-z_]*\$`)

// statements are SQL's, in lower case, without comments, on one line each. What
// stands in quotes is left out (” remains), but for DO, whose text is run.
func statements(sql string) []string {
	var all []string
	var b strings.Builder
	end := func() {
		if s := strings.Join(strings.Fields(b.String()), " "); s != "" {
			all = append(all, s)
		}
		b.Reset()
	}
	for sql != "" {
		tag := dollar.FindString(sql)
		switch {
		case strings.HasPrefix(sql, "--"):
			_, sql, _ = strings.Cut(sql, "\n")
			b.WriteByte(' ')
		case strings.HasPrefix(sql, "/*"):
			_, sql, _ = strings.Cut(sql, "*/")
			b.WriteByte(' ')
		case tag != "":
			body, rest, _ := strings.Cut(sql[len(tag):], tag)
			if isDo := strings.HasPrefix(strings.TrimSpace(b.String()), "do"); isDo {
				b.WriteString(" " + strings.ToLower(body))
			}
			sql = rest
		case sql[0] == '\'':
			_, sql, _ = strings.Cut(sql[1:], "'")
			b.WriteString("''")
		case sql[0] == ';':
			end()
			sql = sql[1:]
		default:
			b.WriteString(strings.ToLower(sql[:1]))
			sql = sql[1:]
		}
	}
	end()
	return all
}
