package bundle

import (
	"encoding/pem"
	"path"
	"strings"

	"github.com/dlai-sd/plant/shared/compliance"
	"github.com/dlai-sd/plant/shared/domain/canonical"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/translog"
)

// loadDocuments learns which rule sets and checklists the bundle holds: those
// whose file is the canonical document of the hash that it is named by.
func (v *verifier) loadDocuments() error {
	total := 0
	var documents [][]byte
	for _, name := range v.files {
		known, reason := v.known, ReasonConstitutionMalformed
		switch {
		case isChecklist(name):
			known, reason = v.checklists, ReasonChecklistMalformed
		case !isConstitution(name):
			continue
		}
		b, err := read(v.fsys, name, maxConstitution)
		if err != nil {
			return err
		}
		if total += len(b); total > maxConstitutions {
			return &NotBundleError{File: path.Dir(name), Detail: "too large"}
		}
		hash := ledger.HashOf(b)
		if strings.TrimSuffix(path.Base(name), constitutionJSON) != hash.String() || canonical.Check(b) != nil {
			v.integrity.add(place{stage: stageFiles, file: name}, Offender{
				Reason: reason, Detail: "not the canonical document of the hash in its name",
			})
			continue
		}
		known[hash] = true
		if isConstitution(name) {
			documents = append(documents, b)
		}
	}
	v.rules = compliance.Among(documents)
	return nil
}

// judgeHeads adds what is wrong with the heads record's signature, and returns it.
func (v *verifier) judgeHeads() error {
	h := v.headsText
	err := translog.JudgeHeads(v.ring, []byte(*h.Record), *h.Signature, *h.LogIndex)
	v.signature.addFault(place{stage: stageRecord, at: *h.LogIndex, file: headsFile}, "", err)
	return err
}

// judgeFiles adds what is wrong with the signatures of files other than the
// lines: manifest, checkpoint, PEM files, sample.
func (v *verifier) judgeFiles(s *scan) error {
	if *v.manifest.Origin != v.opts.Origin {
		v.signature.add(place{stage: stageWhole, file: manifestFile},
			Offender{Reason: ledger.ReasonOriginWrong, Detail: "the bundle says to be another deployment's"})
	}
	_, err := translog.JudgeCheckpoint(v.ring, v.checkpointText)
	v.signature.addFault(place{stage: stageCheckpoint, file: checkpointFile}, "", err)
	if (v.sampleRecord != nil || v.sampleSignature != nil) && !s.sampled {
		v.signature.add(place{stage: stageSample, file: sampleSignature},
			Offender{Reason: ReasonSampleInvalid, Detail: "not a directly signed record of this bundle, with its signature"})
	}
	return v.judgePEM()
}

// judgePEM checks the files that openssl is given: exactly the encoding of a key
// that the ledger introduced, under its id.
func (v *verifier) judgePEM() error {
	for _, name := range v.files {
		if !isKeyFile(name) {
			continue
		}
		b, err := read(v.fsys, name, maxPEM)
		if err != nil {
			return err
		}
		key, ok := v.ring.Key(strings.TrimSuffix(path.Base(name), keyPEM))
		if !ok || string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: key.SPKI})) != string(b) {
			v.signature.add(place{stage: stageFiles, file: name},
				Offender{Reason: ReasonPEMMismatch, Detail: "not the key that the ledger knows by this id"})
		}
	}
	return nil
}
