package domain

// Authority is what a principal may decide. All but Author can also be held
// platform-wide, that is over entities of other governance agents.
type Authority string

// The authorities, as tokens and the principal table spell them.
const (
	Author    Authority = "author"    // writes what its governance agent owns
	Genesis   Authority = "genesis"   // certifies and rejects
	Architect Authority = "architect" // activates and deprecates
	Guardian  Authority = "guardian"  // finds drift, judges alignment
	Governor  Authority = "governor"  // the human with the last word
	Auditor   Authority = "auditor"   // reads everything, changes nothing
	Operator  Authority = "operator"  // runs the platform
)

// Authorities lists all of them.
func Authorities() []Authority {
	return []Authority{Author, Genesis, Architect, Guardian, Governor, Auditor, Operator}
}
