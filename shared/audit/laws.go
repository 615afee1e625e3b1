package audit

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/store"
)

// Laws judges which constitutions were in force: the first is one that this build came
// with, and each other was put in force by an amendment, whose own signature is judged
// with its entity. Who could add one by hand would else decide by what rules everybody
// writes.
func (a *Auditor) Laws(ctx context.Context) ([]store.Finding, error) {
	list, err := a.DB.EnactmentsAsSigned(ctx)
	if err != nil {
		return nil, err
	}
	var found []store.Finding
	for i, e := range list {
		expected, is := "the founding constitution", founding(e)
		if i > 0 {
			expected, is = "what the amendment that enacted says, in the place of what was in force then", enacts(e) && e.Under == list[i-1].Sum && !again(list[:i], e)
		}
		if is && e.N == int64(i) {
			continue
		}
		kind := ""
		if e.Proposal != "" {
			kind = string(domain.KindConstitution)
		}
		found = append(found, store.Finding{
			EntityID: string(e.Proposal), EntityType: kind, Seq: e.Seq, Reason: string(ReasonEnactmentDiffers),
			Expected: fmt.Sprintf("enactment %d: %s", i, expected), Found: fmt.Sprintf("enactment %d of %x", e.N, e.Sum),
		})
	}
	return found, nil
}

func founding(e store.SignedEnactment) bool {
	return e.Proposal == "" && slices.ContainsFunc(domain.Constitutions(), func(c domain.Constitution) bool { return c.Sum() == e.Sum })
}

// again reports whether an amendment enacts that did before: it does so once.
func again(before []store.SignedEnactment, e store.SignedEnactment) bool {
	return slices.ContainsFunc(before, func(b store.SignedEnactment) bool { return b.Proposal == e.Proposal && b.Seq == e.Seq })
}

func enacts(e store.SignedEnactment) bool {
	var said struct {
		InForce string `json:"in_force"`
	}
	if e.Change != domain.ChangeEnacted || json.Unmarshal(e.State, &said) != nil {
		return false
	}
	return said.InForce == hex.EncodeToString(e.Sum[:])
}
