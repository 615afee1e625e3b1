// Package keys is Secret Manager seen as crypto.Signer: private keys are read
// by pinned version, checked, parsed once and never shown. Nothing of a key or
// a payload is ever part of an error or a log.
package keys
