package translog

import "github.com/dlai-sd/plant/shared/ledger"

// Reasons that concern the log and its heads; shared/bundle/FORMAT.md explains
// each. They stand in a *ledger.Fault beside the ledger's own.
const (
	ReasonCheckpointMalformed        ledger.Reason = "checkpoint_malformed"
	ReasonCheckpointSignatureInvalid ledger.Reason = "checkpoint_signature_invalid"

	ReasonHeadsMalformed       ledger.Reason = "heads_malformed"
	ReasonForkMalformed        ledger.Reason = "fork_malformed"
	ReasonHeadsNotCanonical    ledger.Reason = "heads_not_canonical"
	ReasonTenantsUnsorted      ledger.Reason = "tenants_unsorted"
	ReasonTenantsCountMismatch ledger.Reason = "tenants_count_mismatch"
	ReasonEntitiesMismatch     ledger.Reason = "entities_count_mismatch"
	ReasonHeadsRootMismatch    ledger.Reason = "heads_root_mismatch"
)

func fault(r ledger.Reason, detail string) *ledger.Fault {
	return &ledger.Fault{Reason: r, Detail: detail}
}
