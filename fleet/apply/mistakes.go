package apply

import (
	"errors"
	"slices"

	"rollcall/fleet/plan"
	"rollcall/protocol"
)

// Mistakes are those of a plan that it has whatever tenant it is applied to, so that nobody need be asked to know them; nil: there is a
// tenant that it would suit. read reads the plan for a tenant.
func Mistakes(read func(*plan.Tenancy) (*plan.Plan, error)) error {
	const some = 1000 // devices of each kind, so that nothing in a plan means nobody
	all := plan.ByPlatform{IOS: some, IPadOS: some, MacOS: some, Android: some, Windows: some}
	var common plan.Errors
	for i, t := range []plan.Tenancy{
		{Authority: protocol.Intune}, {Authority: protocol.SCCM}, {Authority: protocol.Office365}, {Authority: protocol.Office365, Coexistence: true},
	} {
		t.Devices, t.Userless, t.Consents = all, all, plan.Consents[:]
		p, err := read(&t)
		if err == nil {
			_, err = possible(p)
		}
		errs, of := errors.AsType[plan.Errors](err)
		switch {
		case err == nil:
			return nil
		case !of:
			return err
		case i == 0:
			common = errs
		default:
			common = slices.DeleteFunc(slices.Clone(common), func(e *plan.Error) bool {
				return !slices.ContainsFunc(errs, func(other *plan.Error) bool { return other.Error() == e.Error() })
			})
		}
	}
	if len(common) == 0 {
		return nil
	}
	return common
}
