package docs

import (
	"regexp"
	"strings"
)

// span is a stretch of text in one style.
type span struct {
	Style string // "", code, strong or em
	Text  string
}

// marks are what the descriptions use of Markdown.
var marks = regexp.MustCompile("`[^`]+`" + `|\*\*[^*]+\*\*|\*[^*\s][^*]*\*`)

// paragraphs reads a description: paragraphs with code, strong and emphasis.
func paragraphs(text string) [][]span {
	var all [][]span
	for p := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		if p = strings.Join(strings.Fields(p), " "); p != "" {
			all = append(all, spans(p))
		}
	}
	return all
}

func spans(text string) (list []span) {
	for text != "" {
		at := marks.FindStringIndex(text)
		if at == nil {
			return append(list, span{Text: text})
		}
		if at[0] > 0 {
			list = append(list, span{Text: text[:at[0]]})
		}
		list = append(list, marked(text[at[0]:at[1]]))
		text = text[at[1]:]
	}
	return list
}

func marked(text string) span {
	switch {
	case text[0] == '`':
		return span{"code", strings.Trim(text, "`")}
	case strings.HasPrefix(text, "**"):
		return span{"strong", strings.Trim(text, "*")}
	}
	return span{"em", strings.Trim(text, "*")}
}
