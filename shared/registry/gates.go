package registry

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/store"
)

// evidence finds out what a gate's approval rests on, and refuses what its judge
// names otherwise.
func (v *Evolution) evidence(ctx context.Context, j Judgement, law, proposed domain.Constitution) (domain.GateEvidence, error) {
	switch j.Gate {
	case domain.GateGenesis:
		return v.breaks(ctx, j, proposed)
	case domain.GateArchitect:
		return v.costs(ctx, law, proposed)
	case domain.GateGuardian:
		leftOut := proposed.Against(law).LeftOut
		if j.LeftOut == nil || !domain.SameRules(j.LeftOut, leftOut) {
			return domain.GateEvidence{}, domain.GateRefused(domain.RuleGateGuardian, "/evidence/left_out",
				leavesOut(leftOut),
				"Read the proposal, and name every rule of the one in force that is not in it; an empty list if there is none.")
		}
		return domain.GateEvidence{LeftOut: leftOut}, nil
	}
	return domain.GateEvidence{}, domain.Refuse(domain.CodeMalformed, "there is no gate %q", j.Gate)
}

// leavesOut says what a proposal leaves out, to a judge who said otherwise.
func leavesOut(rules []string) string {
	if len(rules) == 0 {
		return "the proposal leaves out no rule of the one in force"
	}
	return "these are not the rules that the proposal leaves out: " + strings.Join(rules, ", ")
}

func (v *Evolution) breaks(ctx context.Context, j Judgement, proposed domain.Constitution) (domain.GateEvidence, error) {
	if v.gates.Replay == nil {
		return domain.GateEvidence{}, domain.Refuse(domain.CodeUnavailable, "this build cannot replay a constitution")
	}
	broken, err := v.gates.Replay(ctx, proposed)
	if err != nil {
		return domain.GateEvidence{}, fmt.Errorf("replay: %w", err)
	}
	if j.Broken == nil || *j.Broken != broken {
		return domain.GateEvidence{}, domain.GateRefused(domain.RuleGateGenesis, "/evidence/broken",
			"this is not how many entities a replay of the proposal finds breaking now",
			"Replay the proposal, look at what breaks, and name how many.")
	}
	return domain.GateEvidence{Broken: &broken}, nil
}

func (v *Evolution) costs(ctx context.Context, law, proposed domain.Constitution) (domain.GateEvidence, error) {
	found, err := v.gates.Measure(ctx, law, proposed)
	if err != nil {
		return domain.GateEvidence{}, fmt.Errorf("measure: %w", err)
	}
	if found.PPM >= domain.MaxOverheadPPM {
		return domain.GateEvidence{}, domain.GateRefused(domain.RuleGateArchitect, "",
			fmt.Sprintf("a write's own work takes %.1f %% longer, measured on %d entities", float64(found.PPM)/10_000, found.Entities),
			"Propose fewer or simpler checks.")
	}
	return domain.GateEvidence{OverheadPPM: &found.PPM, Entities: &found.Entities}, nil
}

// Overhead is what a constitution costs against another.
type Overhead struct {
	PPM      int64 // in millionths of the other's time; negative: it is faster
	Entities int64 // that it was measured on
}

// The measurement's size.
const (
	measuredEach   = 20 // newest entities of each kind
	measuredRounds = 51
	measuredStates = 64 // at least, in each turn of a round: fewer entities are gone through again
)

func (v *Evolution) measure(ctx context.Context, inForce, proposed domain.Constitution) (Overhead, error) {
	states, err := v.service.db.States(ctx, measuredEach)
	if err != nil {
		return Overhead{}, err
	}
	return MeasureOverhead(ctx, states, inForce, proposed, time.Now)
}

// MeasureOverhead compares what a write does by itself under two constitutions:
// reading the state, judging it, its canonical form and hash. Each round does all
// states under the one, twice under the other and once more under the one, and the next
// round the other way around, so that who comes first falls on both. What is compared
// is the fastest tenth of each, because what else the machine does only ever adds.
func MeasureOverhead(ctx context.Context, states []store.State, without, with domain.Constitution, now func() time.Time) (Overhead, error) {
	if len(states) == 0 {
		return Overhead{}, nil
	}
	turn := slices.Repeat(states, (measuredStates+len(states)-1)/len(states))
	laws := [2]domain.Constitution{without, with}
	var took [2][]time.Duration
	for round := range measuredRounds {
		if err := ctx.Err(); err != nil {
			return Overhead{}, err
		}
		first := round % 2
		for _, which := range [4]int{first, 1 - first, 1 - first, first} {
			began := now()
			if err := ownWork(turn, laws[which]); err != nil {
				return Overhead{}, err
			}
			took[which] = append(took[which], now().Sub(began))
		}
	}
	o := Overhead{Entities: int64(len(states))}
	if base := fastest(took[0]); base > 0 {
		o.PPM = int64((float64(fastest(took[1]))/float64(base) - 1) * 1_000_000)
	}
	return o, nil
}

// fastest is the time that a tenth of the turns did not exceed.
func fastest(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[len(took)/10]
}

func ownWork(states []store.State, law domain.Constitution) error {
	for _, s := range states {
		e, err := domain.ReadState(s.Kind, s.ID, s.GovernanceAgentID, []byte(s.State))
		if err != nil {
			return err
		}
		law.Validate(e, domain.Known{})
		form, err := e.State()
		if err != nil {
			return err
		}
		_ = sha256.Sum256(form)
	}
	return nil
}
