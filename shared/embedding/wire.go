package embedding

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/dlai-sd/plant/shared/domain"
)

// Path is where a server answers a Request, below its base URL.
const Path = "/generate-embedding"

const (
	// MaxTexts is how many texts one request may hold.
	MaxTexts = 64
	// MaxRunes is how many characters a text may have: more than a name and a
	// description together.
	MaxRunes = 10_000
)

// Request asks for the vector of Text or, never both, of each of Texts.
type Request struct {
	Text  *string  `json:"text,omitzero"`
	Texts []string `json:"texts,omitzero"`
}

// Response answers a request with Text.
type Response struct {
	Model      string `json:"model"`
	Dimensions int    `json:"dimensions"`
	Embedding
}

// BatchResponse answers a request with Texts, in their order.
type BatchResponse struct {
	Model      string      `json:"model"`
	Dimensions int         `json:"dimensions"`
	Embeddings []Embedding `json:"embeddings"`
}

// NewResponse is the answer that holds an embedding.
func NewResponse(e Embedding) Response {
	return Response{Model: ModelID, Dimensions: Dimensions, Embedding: e}
}

// NewBatchResponse is the answer that holds embeddings.
func NewBatchResponse(embeddings []Embedding) BatchResponse {
	return BatchResponse{Model: ModelID, Dimensions: Dimensions, Embeddings: embeddings}
}

// All are the texts of a request.
func (r Request) All() []string {
	if r.Text != nil {
		return []string{*r.Text}
	}
	return r.Texts
}

// Check says what is wrong with a request; nothing if it can be answered.
func (r Request) Check() []domain.Violation {
	switch {
	case r.Text == nil && r.Texts == nil:
		return violations("one_of", "", "There is neither text nor texts.", "Send one of them.")
	case r.Text != nil && r.Texts != nil:
		return violations("one_of", "", "There are both text and texts.", "Send one of them.")
	case r.Text != nil:
		return checkText("/text", *r.Text)
	case len(r.Texts) == 0 || len(r.Texts) > MaxTexts:
		return violations("count", "/texts", fmt.Sprintf("There are %d texts.", len(r.Texts)), fmt.Sprintf("Send 1 to %d.", MaxTexts))
	}
	var all []domain.Violation
	for i, text := range r.Texts {
		all = append(all, checkText(fmt.Sprintf("/texts/%d", i), text)...)
	}
	return all
}

func checkText(field, text string) []domain.Violation {
	if strings.TrimSpace(text) == "" {
		return violations("empty", field, "The text is empty.", "Send text that says something.")
	}
	if n := utf8.RuneCountInString(text); n > MaxRunes {
		return violations("too_long", field, fmt.Sprintf("The text has %d characters.", n),
			fmt.Sprintf("Send at most %d; the model reads the first %d tokens.", MaxRunes, maxTokens))
	}
	return nil
}

func violations(rule, field, message, remediation string) []domain.Violation {
	return []domain.Violation{{Rule: "embedding." + rule, Field: field, Message: message, Remediation: remediation}}
}
