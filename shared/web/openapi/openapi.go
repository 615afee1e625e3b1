// Package openapi holds the contract of the HTTP API (OpenAPI 3.1), for whoever
// serves it or checks against it.
package openapi

import _ "embed" // the document

//go:embed openapi.yaml
var document string

// Document returns openapi.yaml as it stands in the repository.
func Document() []byte { return []byte(document) }
