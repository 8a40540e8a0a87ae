package rehearsal

import (
	"strings"

	"rollcall/fleet"
	"rollcall/protocol"
	"rollcall/protocol/lang"
	"rollcall/server/delivery"
)

// A Step is one event of a device's life, in words.
type Step struct {
	At    protocol.Time `json:"at"`
	Last  protocol.Time `json:"last"`  // of several of the same in a row; else At
	Times int           `json:"times"` // how many
	Side  Side          `json:"side"`
	What  string        `json:"what"` // as the log has it
	Rule  protocol.Rule `json:"rule,omitempty"`
	Text  string        `json:"text"` // what happened, a sentence without its full stop
	Why   string        `json:"why"`  // what the rule is about; empty: no rule, or none that is known
}

// explain says an event of a log in words: what happened, and the rule behind it.
func explain(l lang.Language, line *Line) Step {
	s := Step{At: line.At, Last: line.At, Times: 1, Side: line.Side, What: line.What, Rule: line.Rule}
	if key, ok := ruleWords[string(line.Rule)]; ok {
		s.Why = l.Say(key)
	}
	words, known := happening[sight{line.Side, line.What}]
	switch {
	case line.Side == OfPlan && line.What == Interrupted:
		s.Text = l.Say("The rehearsal was interrupted: what follows was not played")
	case line.Side == OfPlan:
		s.Text = l.Say("The plan: %s", l.Retell(line.What))
	case line.What == string(delivery.WhatMoved) && strings.Contains(line.Detail, " to "):
		from, to, _ := strings.Cut(line.Detail, " to ")
		s.Text = l.Say("It moves from %s to %s", inWords(l, from), inWords(l, to))
	case line.What == heldBack && line.Rule == protocol.RulePushExpired:
		s.Text = l.Say("The push certificate has ended: from now on the server cannot reach it")
	case !known:
		s.Text = l.Retell(line.What)
		if line.Detail != "" {
			s.Text += ": " + line.Detail
		}
	case words.detail == "" || line.Detail == "", l != lang.English && s.Why != "" && strings.Contains(line.Detail, ", "): // a sentence, which the rule says too
		s.Text = l.Say(words.plain)
	default:
		s.Text = l.Say(words.detail, inWords(l, line.Detail))
	}
	return s
}

// A Lived is what happened to one device, event by event. Events that are the same again count as one.
type Lived struct {
	Language lang.Language
	Steps    []Step
}

// Add adds an event.
func (t *Lived) Add(line *Line) {
	s := explain(t.Language, line)
	if n := len(t.Steps); n > 0 {
		last := &t.Steps[n-1]
		if last.Side == s.Side && last.Text == s.Text && last.Rule == s.Rule && s.Side != OfPlan {
			last.Times++
			last.Last = s.At
			return
		}
	}
	t.Steps = append(t.Steps, s)
}

// inWords says a detail as a reader knows it: an authority by its name.
func inWords(l lang.Language, detail string) string {
	var a protocol.Authority
	if a.UnmarshalText([]byte(detail)) == nil {
		return l.Authority(a)
	}
	return known(l, detail)
}

// happening says each event in words, with its detail where it has one.
var happening = map[sight]struct{ plain, detail lang.Key }{
	{OfDevice, string(fleet.Joined)}:    {plain: lang.Key("The device is enrolled")},
	{OfDevice, string(fleet.NotJoined)}: {lang.Key("An enrolment fails"), lang.Key("An enrolment fails: %s")},
	{OfDevice, string(fleet.Left)}:      {plain: lang.Key("It leaves the network")},
	{OfDevice, string(fleet.Returned)}:  {plain: lang.Key("It is back on the network")},
	{OfDevice, string(fleet.Renewed)}:   {lang.Key("It has a new identity certificate"), lang.Key("It has a new identity certificate, until %s")},
	{OfDevice, string(fleet.Outlived)}:  {lang.Key("It drops the old authority's profiles by itself"), lang.Key("It drops the old authority's profiles by itself: %s")},
	{OfDevice, string(fleet.Removed)}:   {lang.Key("Its management is removed"), lang.Key("Its management is removed by %s")},
	{OfDevice, string(fleet.Wiped)}:     {plain: lang.Key("It is wiped")},
	{OfDevice, string(fleet.Refused)}:   {lang.Key("It is refused"), lang.Key("It is refused: %s")},
	{OfDevice, checkedIn}:               {plain: lang.Key("It checks in, and there is nothing to do")},
	{OfDevice, noAnswer}:                {plain: lang.Key("It gets no answer")},
	{OfDevice, string(fleet.Locked)}:    {plain: lang.Key("Its identity certificate has ended: it must enrol again")},

	{OfServer, string(delivery.WhatEnrolled)}:         {plain: lang.Key("The server has enrolled it")},
	{OfServer, string(delivery.WhatEnded)}:            {lang.Key("The server ends its enrolment"), lang.Key("The server ends its enrolment: %s")},
	{OfServer, string(delivery.WhatRegistered)}:       {lang.Key("It registers"), lang.Key("It registers with %s")},
	{OfServer, string(delivery.WhatRefused)}:          {lang.Key("The server refuses it"), lang.Key("The server refuses it: %s")},
	{OfServer, string(delivery.WhatQueued)}:           {lang.Key("A command waits for it"), lang.Key("A command waits for it: %s")},
	{OfServer, string(delivery.WhatReported)}:         {lang.Key("It reports on a command"), lang.Key("It reports: %s")},
	{OfServer, string(delivery.WhatDeferred)}:         {lang.Key("It puts a command off (NotNow)"), lang.Key("It puts a command off (NotNow): %s")},
	{OfServer, string(delivery.WhatWithdrawn)}:        {plain: lang.Key("What waited for it is withdrawn")},
	{OfServer, string(delivery.WhatProfileInstalled)}: {lang.Key("A profile is installed"), lang.Key("A profile is installed: %s")},
	{OfServer, string(delivery.WhatProfileFailed)}:    {lang.Key("A profile fails"), lang.Key("A profile fails: %s")},
	{OfServer, string(delivery.WhatProfileRemoved)}:   {lang.Key("A profile is removed"), lang.Key("A profile is removed: %s")},
	{OfServer, string(delivery.WhatOverwritten)}:      {lang.Key("A profile is overwritten by its namesake"), lang.Key("A profile is overwritten by its namesake: %s")},
	{OfServer, string(delivery.WhatRedundant)}:        {lang.Key("A profile is left behind"), lang.Key("A profile is left behind: %s")},
	{OfServer, string(delivery.WhatRenewalAsked)}:     {plain: lang.Key("The server asks it to renew its identity certificate")},
	{OfServer, string(delivery.WhatIssued)}:           {plain: lang.Key("An identity certificate is issued; it is not used yet")},
	{OfServer, string(delivery.WhatRenewed)}:          {plain: lang.Key("The renewed identity certificate is in use")},
	{OfServer, string(delivery.WhatRevoked)}:          {plain: lang.Key("Its identity certificate is revoked")},
	{OfServer, string(delivery.WhatOldIdentity)}:      {plain: lang.Key("It still uses its old identity certificate")},
	{OfServer, string(delivery.WhatUnreachable)}:      {plain: lang.Key("Its push address is unusable: no push reaches it")},
	{OfServer, string(delivery.WhatReachable)}:        {plain: lang.Key("Its push address is renewed")},
	{OfServer, string(delivery.WhatRecordRemoved)}:    {plain: lang.Key("Its record is removed")},
	{OfServer, string(delivery.WhatRestored)}:         {plain: lang.Key("Its record is restored: it was heard of again")},
	{OfServer, string(delivery.WhatConfigured)}:       {plain: lang.Key("It is let out of the setup assistant")},
	{OfServer, string(delivery.WhatMoved)}:            {plain: lang.Key("It moves to another authority")},
	{OfServer, string(delivery.WhatReregistered)}:     {plain: lang.Key("It registers anew, with the same authority")},
	{OfServer, string(delivery.WhatBlocked)}:          {plain: lang.Key("It is turned away: the push certificate is not renewed")},
	{OfServer, heldBack}:                              {plain: lang.Key("It is held: until the push certificate is renewed, the server does not reach it and turns it away")},
	{OfServer, released}:                              {plain: lang.Key("The push certificate holds it no more")},
	{OfServer, string(delivery.WhatSupportMove)}:      {plain: lang.Key("Support has ordered its move")},
	{OfServer, string(delivery.WhatAssignedLate)}:     {lang.Key("Something is assigned to it late"), lang.Key("Something is assigned to it late: %s")},
	{OfServer, string(delivery.WhatUnknownReport)}:    {plain: lang.Key("It answers a command that does not wait for it any more")},
	{OfServer, string(delivery.WhatWorkloads)}:        {lang.Key("Its workloads change"), lang.Key("Its workloads change: %s")},
}
