package ledger

import "crypto/rsa"

// Amendment is a record with all that shows it to be true. Verification reads
// Bytes, Opening, Signature and Batch; Record and Hash are what they say.
type Amendment struct {
	Record    Record
	Bytes     []byte // exactly what is hashed and, in a direct signature, signed
	Hash      Hash   // SHA-256 of Bytes
	Opening   *Opening
	Signature []byte // over Bytes, or over Batch.Statement
	Batch     *Batch // nil for a direct signature
}

// ReadAmendment makes an Amendment of a record's bytes and what came with them.
// The record is read strictly, see ParseRecord; nothing is verified. opening is
// nil once erased, batch for a direct signature.
func ReadAmendment(record []byte, opening *Opening, signature []byte, batch *Batch) (Amendment, error) {
	r, err := ParseRecord(record)
	if err != nil {
		return Amendment{}, err
	}
	return Amendment{
		Record: r, Bytes: record, Hash: HashOf(record),
		Opening: opening, Signature: signature, Batch: batch,
	}, nil
}

// VerifySignature reports whether pub signed the amendment, directly or in a
// batch, and is the key that the record names. It says nothing of whether that
// key was in force or may sign this: a Keyring does. Errors are of type *Fault.
func VerifySignature(pub *rsa.PublicKey, a Amendment) error {
	return new(Signatures).Verify(pub, a)
}

// Signatures verifies many amendments: those of one batch cost one verification
// between them. Its zero value is ready; it is safe for concurrent use, and not
// copied after the first.
type Signatures struct{ statements proven }

// Verify is VerifySignature.
func (s *Signatures) Verify(pub *rsa.PublicKey, a Amendment) error {
	r, f := readRecord(a.Bytes)
	if f == nil {
		f = checkContext(r)
	}
	if f == nil {
		f = checkAlgorithm(r, a)
	}
	if f != nil {
		return f
	}
	id, err := KeyID(pub)
	if err != nil || id != r.KeyID {
		return fault(ReasonKeyUnknown, "the record names another key")
	}
	return asError(s.statements.check(pub, r, a))
}

// checkAlgorithm reports a record whose algorithm is unknown, or does not go
// with the batch that is there or not.
func checkAlgorithm(r Record, a Amendment) *Fault {
	switch {
	case !isAlgorithm(r.Algorithm):
		return fault(ReasonAlgorithmUnknown, "")
	case (r.Algorithm == AlgorithmBatch) != (a.Batch != nil):
		return fault(ReasonAlgorithmMismatch, "a batch signature comes with a batch, a direct one without")
	}
	return nil
}

// signedBytes returns what the signature is over: the record, or the statement
// of the batch that holds it. r is what a.Bytes say.
func signedBytes(r Record, a Amendment) ([]byte, *Fault) {
	if a.Batch == nil {
		return a.Bytes, nil
	}
	return a.Batch.Statement, a.Batch.covers(r, HashOf(a.Bytes))
}

func badSignature() *Fault {
	return fault(ReasonSignatureInvalid, "the signature does not verify")
}
