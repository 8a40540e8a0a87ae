package rehearsal

import (
	_ "embed"
	"strings"
	"time"

	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/protocol"
)

//go:embed question.yaml
var question string

// Waits are how long after the change the push certificate is renewed in the answers to the question that needs no plan.
var Waits = [...]time.Duration{0, 24 * time.Hour, 4 * 24 * time.Hour}

// Asks tells whether a tenant can ask that question: Basic Mobility and Security alone manages it.
func Asks(t *population.Tenant) bool { return t.Authority == protocol.Office365 && !t.Coexistence }

// Question is the plan of the question that needs none: Intune is added, and the push certificate renewed so long after
// (one of [Waits]).
func Question(wait time.Duration, seed uint64) (*plan.Plan, error) {
	p, err := plan.Parse("question.yaml", []byte(strings.Replace(question, "RENEWED", plan.Duration(24*time.Hour+wait).String(), 1)))
	if err != nil {
		return nil, err
	}
	p.Seed = seed
	return p, nil
}
