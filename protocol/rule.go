package protocol

import (
	"errors"
	"fmt"
	"time"
)

// A Rule names one rule of the authority specification (AUTH-nn) or one row of the hostile-input page
// (HST-nnn). It is an error, so errors.Is(err, RulePushGap) finds it however often err was wrapped.
type Rule string

func (r Rule) Error() string { return string(r) }

// The rules that an answer of the server can name so far.
const (
	RuleUnset          Rule = "AUTH-01" // no authority set yet: nobody enrols
	RuleRelease        Rule = "AUTH-02" // a tenant of release 1911 or later starts as intune
	RuleConsent        Rule = "AUTH-05" // data-sharing consent is missing
	RuleRoles          Rule = "AUTH-08" // who may change what; every attempt is audited
	RuleUnknown        Rule = "AUTH-10" // no authority set: nobody manages the device
	RuleIntune         Rule = "AUTH-11" // tenant intune: a device with a user is Intune's
	RuleCoManaged      Rule = "AUTH-12" // tenant sccm: a device with a user is Intune's too
	RuleBMS            Rule = "AUTH-13" // tenant office365 alone: a device with a user is BMS's
	RuleEntitled       Rule = "AUTH-14" // coexistence: a user entitled to Intune
	RuleCoManagedUser  Rule = "AUTH-15" // coexistence: a user under co-management
	RuleBasic          Rule = "AUTH-16" // coexistence: a user whom BMS serves
	RuleNoLicence      Rule = "AUTH-17" // coexistence: a user without a licence stays with BMS
	RuleUserless       Rule = "AUTH-18" // a userless device stays where it is registered
	RuleUserlessEnrol  Rule = "AUTH-19" // a userless device enrols with the tenant's authority
	RuleCampaign       Rule = "AUTH-20" // a change of authority wakes every enrolled device
	RuleRegistered     Rule = "AUTH-21" // a device registers anew at its first completed check-in
	RuleUserSync       Rule = "AUTH-22" // a user can start a check-in by hand
	RuleLicenceMoves   Rule = "AUTH-23" // a licence moves all the user's devices, and BMS's profiles are removed
	RuleLicenceLost    Rule = "AUTH-24" // what BMS cannot take stays with Intune when the licence goes
	RuleNamesake       Rule = "AUTH-26" // after a change of the tenant, a namesake overwrites
	RuleSevenDays      Rule = "AUTH-27" // what is left of the old authority's profiles goes after seven days
	RulePushGap        Rule = "AUTH-30" // Apple waits for a renewed push certificate
	RuleGapClosed      Rule = "AUTH-31" // an upload closes the gap at once
	RuleOtherTopic     Rule = "AUTH-32" // another topic reaches no enrolled device
	RulePushExpired    Rule = "AUTH-33" // the push certificate has ended
	RuleUpload         Rule = "AUTH-34" // an uploaded push certificate is checked before it is taken
	RulePreview        Rule = "AUTH-35" // some changes are previewed first
	RuleLifetime       Rule = "AUTH-40" // each device has its own identity for one year
	RuleRenewal        Rule = "AUTH-41" // identities renew inside their window
	RuleNotRenewed     Rule = "AUTH-42" // expired, revoked or wiped: enrol again
	RuleRecordKept     Rule = "AUTH-43" // records stay 180 days after the identity expired
	RuleWake           Rule = "AUTH-52" // what wakes a device outside its schedule
	RuleRetire         Rule = "AUTH-53" // retire and delete act at the next check-in
	RuleUnassigned     Rule = "AUTH-55" // what ordinary unassignment removes
	RuleAgain          Rule = "AUTH-44" // unenrol and enrol again, always possible
	RuleCleanUp        Rule = "AUTH-48" // an administrator's rule deletes silent records
	RuleValidity       Rule = "AUTH-49" // compliance that was not reported lately counts as none
	RuleOutdated       Rule = "HST-070" // the world is not what was previewed
	RuleUnsupportedBMS Rule = "AUTH-46" // what BMS manages
	RuleGates          Rule = "AUTH-47" // the order of the checks at enrolment
	RuleBlast          Rule = "HST-071" // what touches many devices is counted before it is done
	RuleClock          Rule = "HST-110" // a clock that was set is not trusted with what cannot be undone
	RuleRestored       Rule = "HST-101" // the server was restored from a backup that is older than its devices
	RuleJournal        Rule = "HST-074" // the journal is not what the server wrote
)

// A Notice tells a device of the newest change of authority. The zero Notice tells nothing.
type Notice struct {
	Epoch     uint32
	ChangedAt Time
	Rule      Rule          // what becomes of the profiles that the device had before: by AUTH-21 they stay, else they have the seven days of AUTH-27
	Kept      time.Duration // or as long as this, in whole seconds, where the tenant's setting is another; 0: seven days
}

// A Refusal is a "no" that a device, an administrator and a test can all read. The zero Refusal is none.
type Refusal struct {
	Rule       Rule
	Reason     string        // lower case, no full stop
	RetryAfter time.Duration // 0: asking again will not help
	Notice     Notice        // the change the device should hear of; zero: none
}

func (r *Refusal) Error() string { return fmt.Sprintf("%s: %s", r.Rule, r.Reason) }
func (r *Refusal) Unwrap() error { return r.Rule }

// ErrMalformed is wrapped by every decoder's error: the peer sent bytes that are not what they should be.
var ErrMalformed = errors.New("malformed message")
