package bundle

import "github.com/dlai-sd/plant/shared/ledger"

// Reasons that concern a bundle; FORMAT.md explains each. They stand beside
// those of packages ledger and translog.
const (
	ReasonPEMMismatch   ledger.Reason = "pem_mismatch"
	ReasonSampleInvalid ledger.Reason = "sample_invalid"

	ReasonLogOrder              ledger.Reason = "log_order"
	ReasonRecordMisplaced       ledger.Reason = "record_misplaced"
	ReasonConstitutionMalformed ledger.Reason = "constitution_malformed"
	ReasonChecklistMalformed    ledger.Reason = "checklist_malformed"
	ReasonComplianceMalformed   ledger.Reason = "compliance_malformed"
	ReasonRuleResultWrong       ledger.Reason = "rule_result_wrong"
	ReasonRuleResultMissing     ledger.Reason = "rule_result_missing"

	ReasonScopeMismatch       ledger.Reason = "scope_mismatch"
	ReasonHeadsNotLast        ledger.Reason = "heads_not_last"
	ReasonLogEntryDuplicate   ledger.Reason = "log_entry_duplicate"
	ReasonLogEntryMissing     ledger.Reason = "log_entry_missing"
	ReasonLogRootMismatch     ledger.Reason = "log_root_mismatch"
	ReasonInclusionInvalid    ledger.Reason = "inclusion_invalid"
	ReasonForkInconsistent    ledger.Reason = "fork_inconsistent"
	ReasonAtBeyondHeads       ledger.Reason = "at_beyond_heads"
	ReasonReferenceMissing    ledger.Reason = "reference_missing"
	ReasonOutOfScope          ledger.Reason = "out_of_scope"
	ReasonEntityHeadMismatch  ledger.Reason = "entity_head_mismatch"
	ReasonTenantMissing       ledger.Reason = "tenant_missing"
	ReasonTenantCountMismatch ledger.Reason = "tenant_count_mismatch"
	ReasonTenantRootMismatch  ledger.Reason = "tenant_root_mismatch"
	ReasonTenantExtra         ledger.Reason = "tenant_extra"

	ReasonHeadsInvalid      ledger.Reason = "heads_invalid"
	ReasonStale             ledger.Reason = "stale"
	ReasonFromTheFuture     ledger.Reason = "from_the_future"
	ReasonSeenInvalid       ledger.Reason = "seen_invalid"
	ReasonCheckpointInvalid ledger.Reason = "checkpoint_invalid"
	ReasonRollback          ledger.Reason = "rollback"
	ReasonSeenInconsistent  ledger.Reason = "seen_inconsistent"
)
