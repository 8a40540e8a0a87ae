package dialect

import (
	"strings"

	"rollcall/agent"
	"rollcall/protocol"
	"rollcall/protocol/android"
)

// execute carries out what an answer brought, and has it reported.
func (d *Android) execute(now protocol.Time, out *Act) {
	d.carryOut(now)
	d.advance(now, &agent.Event{Kind: agent.Executed, Status: protocol.Acknowledged, Then: d.then}, out)
}

// carryOut does what the latest answer wants. What ends management, or the conversation, comes after the report.
func (d *Android) carryOut(now protocol.Time) {
	a := d.answer
	d.answer, d.then, d.results, d.orders = nil, agent.Nothing, nil, nil
	if a.Policy != nil {
		d.apply(now, a.Policy)
	}
	for i := range a.Commands {
		c := &a.Commands[i]
		r := android.Result{Command: c.ID, State: android.ResultDone}
		o := Order{Command: string(c.Type), UUID: c.ID, Status: protocol.Acknowledged, Again: d.remembers(c.ID)}
		if !o.Again {
			d.obey(now, c, &r)
			if p := c.LostModeParams; p != nil {
				o.Shown = strings.TrimSpace(p.LostMessage + " " + p.LostPhoneNumber)
			}
			if r.State == android.ResultDone {
				d.remember(c.ID)
			} else {
				o.Status, o.Why = protocol.Failed, r.ErrorCode
			}
		}
		d.orders = append(d.orders, o)
		d.results = append(d.results, r)
	}
}

// obey carries out a command, or says in r why not (android.md, section 2.5).
func (d *Android) obey(now protocol.Time, c *android.Command, r *android.Result) {
	no := func(code string) { r.State, r.ErrorCode = android.ResultError, code }
	mode := d.bond.Value().mode
	owner := !mode.WorkProfile()
	switch {
	case c.ExpireTime != 0 && now >= c.ExpireTime:
		no(android.CodeExpired)
		return
	case c.Type.Ends() && !d.mayEnd(c):
		no(android.CodeNoOrder)
		return
	case d.real() && (c.Type == android.ResetPassword || c.Type == android.ClearAppData): // nobody allows these to a machine, whatever is in them
		no(android.CodeUnsupported)
		return
	}
	switch c.Type {
	case android.Lock:
	case android.ResetPassword:
		if n := c.NewPassword; n != "" && d.model.APILevel >= 34 && len(n) < 6 && strings.Trim(n, "0123456789") == "" {
			no(android.CodeInvalidValue)
		}
	case android.Reboot:
		switch {
		case !owner:
			no(android.CodeManagementMode)
		case d.model.APILevel < 24:
			no(android.CodeAPILevel)
		default:
			d.then = agent.Reboot
		}
	case android.ClearAppData:
		switch {
		case d.model.APILevel < 28:
			no(android.CodeAPILevel)
		case c.ClearAppsDataParams == nil || len(c.ClearAppsDataParams.PackageNames) == 0:
			no(android.CodeInvalidValue)
		default:
			settings := d.settings()
			r.ClearAppsDataStatus = map[string]android.AppResult{}
			for _, name := range c.ClearAppsDataParams.PackageNames {
				result := android.AppNotFound
				if d.hasApp(&settings, name) {
					result = android.AppCleared
				}
				r.ClearAppsDataStatus[name] = android.AppResult{Result: result}
			}
		}
	case android.StartLostMode:
		switch p := c.LostModeParams; {
		case !mode.CompanyOwned():
			no(android.CodeManagementMode)
		case p == nil || p.LostMessage == "" && p.LostPhoneNumber == "":
			no(android.CodeInvalidValue)
		case d.lost:
			no(android.CodeAlreadyLost)
		default:
			d.lost = true
		}
	case android.StopLostMode:
		switch {
		case !mode.CompanyOwned():
			no(android.CodeManagementMode)
		case !d.lost:
			no(android.CodeNotLost)
		default:
			d.lost = false
		}
	case android.RequestDeviceInfo:
		d.asked = true
	case android.Wipe:
		d.leaves(mode.Wiping())
	case android.RelinquishOwnership:
		if mode.Removal() != android.Release {
			no(android.CodeManagementMode)
			return
		}
		d.leaves(android.Release)
	default:
		no(android.CodeUnsupported)
	}
}

// mayEnd tells whether the server's own order, for what the command does, came with it (HST-027).
func (d *Android) mayEnd(c *android.Command) bool {
	mode, ok := d.ordered(c.Order)
	want := android.Release
	if c.Type == android.Wipe {
		want = d.bond.Value().mode.Wiping()
	}
	return ok && mode == want
}

// leaves has the device leave once the server has heard that it does.
func (d *Android) leaves(how android.Removal) {
	d.then, d.told = agent.Leave, true
	if how == android.Reset {
		d.then = agent.Wipe
	}
}
