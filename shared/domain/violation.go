package domain

// Violation says which rule an input or an entity breaks, where, and what to
// do about it. Field is a JSON Pointer (RFC 6901) into the entity, "" for the
// whole of it.
type Violation struct {
	Rule        string `json:"rule"`
	Field       string `json:"field"`
	Message     string `json:"message"`
	Remediation string `json:"remediation"`
}
