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

//go:embed asitis.yaml
var asItIs string

// AsItIs is the plan in which nobody changes anything, for a tenant that has no such question.
func AsItIs(seed uint64) (*plan.Plan, error) { return own("asitis.yaml", asItIs, seed) }

// Waits are how long after the change the push certificate is renewed in the answers to the question that needs no plan.
var Waits = [...]time.Duration{0, 24 * time.Hour, 4 * 24 * time.Hour}

// Asks tells whether a tenant can ask that question: Basic Mobility and Security alone manages it.
func Asks(t *population.Tenant) bool { return t.Authority == protocol.Office365 && !t.Coexistence }

// Question is the plan of the question that needs none, of pop's tenant: Intune is added, and the push certificate renewed so long
// after (one of [Waits]). Who asks before buying is answered too: the tenant then owns a licence in the plan (AUTH-09), which a
// finding says.
func Question(wait time.Duration, seed uint64, pop *population.Population) (*plan.Plan, error) {
	p, err := own("question.yaml", strings.Replace(question, "RENEWED", plan.Duration(24*time.Hour+wait).String(), 1), seed)
	if err == nil && pop.Unowned() {
		p.Tenant.Units = new(1)
	}
	return p, err
}

func own(name, text string, seed uint64) (*plan.Plan, error) {
	p, err := plan.Parse(name, []byte(text))
	if err != nil {
		return nil, err
	}
	p.Seed = seed
	return p, nil
}
