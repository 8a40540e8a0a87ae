package plan

// A Limit is one condition on a result.
type Limit struct {
	Text string
}

// A LimitResult is what became of one limit.
type LimitResult struct {
	Limit string `json:"limit"`
	Got   string `json:"got"`
	OK    bool   `json:"ok"`
}

// Evaluate compares result with p's limits. result is the object of result.json as encoding/json decodes it.
func (p *Plan) Evaluate(result map[string]any) []LimitResult { return nil }
