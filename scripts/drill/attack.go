package drill

import (
	"errors"
	"slices"

	"github.com/dlai-sd/plant/shared/bundle"
	"github.com/dlai-sd/plant/shared/ledger"
)

// Attack is one way to deceive an auditor.
type Attack struct {
	Group, Name string
	Finds       []Finding // one of these must be found

	// Lay makes a scene one that is attacked; false where this scene cannot be,
	// and another is tried.
	Lay func(*Scene) bool
}

// Finding is a verdict that fails for one of some reasons, or "not a bundle".
type Finding struct {
	Verdict string
	Reasons []ledger.Reason
}

const notBundle = "not a bundle"

func signature(r ...ledger.Reason) Finding    { return Finding{"signature", r} }
func integrity(r ...ledger.Reason) Finding    { return Finding{"integrity", r} }
func completeness(r ...ledger.Reason) Finding { return Finding{"completeness", r} }
func freshness(r ...ledger.Reason) Finding    { return Finding{"freshness", r} }
func refused() Finding                        { return Finding{notBundle, nil} }

// found returns what was expected of the attack and is there; "" if nothing is.
func (a Attack) found(report bundle.Report, err error) string {
	var not *bundle.NotBundleError
	for _, f := range a.Finds {
		if err != nil {
			if f.Verdict == notBundle && errors.As(err, &not) {
				return notBundle
			}
			continue
		}
		for _, v := range report.Verdicts() {
			if v.Name == f.Verdict && v.Offender != nil && slices.Contains(f.Reasons, v.Offender.Reason) {
				return v.Name + ": " + string(v.Offender.Reason)
			}
		}
	}
	return ""
}

// Attacks returns every attack that a drill makes on bundles.
func Attacks() []Attack {
	return slices.Concat(recordAttacks(), openingAttacks(), signatureAttacks(), batchAttacks(), keyAttacks(),
		insiderAttacks(), missingAttacks(), headsAttacks(), freshnessAttacks(), proofAttacks(), fileAttacks(), ruleAttacks(), readerAttacks())
}
