package plan

import (
	"maps"
	"slices"
	"strings"

	"rollcall/protocol"
)

// figures are the common keys of every result (architecture, section 1). A key that is absent from a result
// belongs to another kind of run.
var figures = map[string][]string{
	"devices": {
		"total", "enrolled", "enrolling", "left_out", "left_out_by", "moved", "reregistered", "pending", "stale", "blocked",
		"stranded", "needs_support", "must_enrol_again", "unlicensed", "not_modelled", "by_platform",
	},
	"checkins":   {"offered", "started", "done", "failed", "refused", "per_second", "p50", "p99", "p999", "p50_ms", "p99_ms", "p999_ms"},
	"invariants": {"checked", "violated"},
	"moved":      {"p50", "p95", "p100", "p50_ms", "p95_ms", "p100_ms"},
	"preview": {
		"would_move", "would_move_reachable", "would_move_blocked", "would_stay", "leaving", "doubts",
		"intune_units_short",
	},
	"verdict": nil, "seed": nil, "virtual_seconds": nil, "wall_seconds": nil, "cpu_seconds": nil, "virtual": nil, "wall": nil, "cpu": nil,
	"peak_rss_bytes": nil, "version": nil, "command": nil,
}

// jobFigures are the sections that a job adds to its result before it holds that against limits.
var jobFigures = map[string][]string{
	"rehearsal": {"answers", "export", "findings", "gaps", "push_ended", "plan", "enrolments", "event_log_lines", "wire"},
	"load": {
		"loop", "arrivals", "pace", "seconds", "target", "server", "shared_host", "identity", "authentication",
		"woken_by", "connections", "handshakes", "key_exchange", "source_addresses", "think_ms", "retries", "retried",
		"not_started", "called", "not_woken", "lost", "unheard", "commands", "done_by", "full_handshakes",
		"resumed_handshakes", "sent_bytes", "received_bytes", "steps", "every_outcome", "from_sending",
		"wait_for_device", "devices_needed", "woken", "enrolment", "generator", "window_seconds", "windows", "histogram",
		"trouble", "baseline",
	},
	"ledger": {
		"ordered", "taken", "delivered", "confirmed", "void", "retries", "unordered", "open", "profiles", "refused",
		"lost", "doubled", "reordered", "stuck", "misdelivered", "never_converged", "findings",
	},
	"enrolments": {"done", "broke_off"},
	"faults":     {"dropped_responses", "resets", "busy"},
	"rsa_keys":   {"beforehand", "seconds", "later"},
}

// nested are what stands inside figures of those sections, by the dotted key; an asterisk is any name of the level above.
var nested = map[string][]string{
	"devices.by_platform": platforms, "devices.by_platform.*": {"total", "wire"}, "devices.left_out_by": {anyName},

	"rehearsal.answers": {
		"movable", "first_could_move_seconds", "moved_50_seconds", "moved_95_seconds", "moved_100_seconds", "held", "silenced", "barred", "barred_devices", "had_to_enrol_again", "stranded_by_topic",
		"stranded", "unprotected", "assigned_late", "redundant_profiles", "records_removed", "certificates_renewed", "enrolments_again", "peak", "last",
	},
	"rehearsal.answers.held":          {"devices", "half_seconds", "longest_seconds", "enrolments_refused", "devices_refused"},
	"rehearsal.answers.silenced":      {"devices", "half_seconds", "longest_seconds"},
	"rehearsal.answers.assigned_late": {"users", "half_seconds", "longest_seconds", "users_never"},
	"rehearsal.answers.barred":        {anyName}, "rehearsal.answers.barred_devices": {anyName}, "rehearsal.answers.stranded": {anyName},
	"rehearsal.answers.unprotected": {"email", "vpn", "certificate", "wifi", "configuration"}, "rehearsal.answers.unprotected.*": {"devices", "hours", "longest_seconds"},
	"rehearsal.answers.peak":          {"checkins", "pushes", "certificates", "capacity_per_second", "minutes_over"},
	"rehearsal.answers.peak.checkins": peak, "rehearsal.answers.peak.pushes": peak, "rehearsal.answers.peak.certificates": peak,
	"rehearsal.answers.last": {"device", "why"}, "rehearsal.export": {"doubts", "findings", "assumed"},
	"rehearsal.wire": {
		"share", "devices", "devices_by_platform", "messages", "messages_by_kind", "certificates", "signatures", "devices_that_differ", "devices_parted", "differences",
	},
	"rehearsal.wire.devices_by_platform": platforms, "rehearsal.wire.messages_by_kind": {anyName},

	"load.called": {"devices", "came", "seconds"}, "load.done_by": platforms,
	"load.every_outcome": quantiles, "load.from_sending": quantiles, "load.wait_for_device": quantiles, "load.woken": quantiles,
	"load.enrolment": {"devices", "patient", "again", "gave_up", "seconds", "steps"},
	"load.generator": {
		"start_delay", "scheduling_p99_ms", "longest_standstill_ms", "longest_gc_pause_ms", "gc_cpu_share", "clock_step_ms", "exhausted", "calibration", "convicted",
	},
	"load.generator.start_delay": quantiles,
	"load.generator.calibration": {"seconds", "ceiling_per_second", "ceiling_per_cpu_second", "own_per_cpu_second", "reach_per_second", "asked_per_second", "headroom", "leaves_out"},
	"load.baseline":              {"comparable", "why", "target", "pairs", "p50", "p99", "done", "failed"},
	"load.baseline.p50":          change, "load.baseline.p99": change, "load.baseline.done": change,
}

// anyName stands among names for all that there may be.
const anyName = "*"

var (
	platforms = list(protocol.Platforms[:])
	quantiles = []string{"count", "p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms"}
	peak      = []string{"count", "at_seconds"}
	change    = []string{"pairs", "percent", "least", "most"}
)

// inside are the names of what stands inside the figure or section that a dotted key names; none: it is one figure.
func inside(key string) []string {
	above, _, dots := cutLast(key)
	names, ok := figures[key]
	if !ok {
		names, ok = jobFigures[key]
	}
	if !ok {
		names, ok = nested[key]
	}
	if !ok && dots {
		names = nested[above+"."+anyName]
	}
	return names
}

func cutLast(key string) (above, name string, dots bool) {
	i := strings.LastIndexByte(key, '.')
	if i < 0 {
		return "", key, false
	}
	return key[:i], key[i+1:], true
}

// knownFigure tells whether a result can have a figure of this dotted key. near is the one that was probably meant; empty: none is near.
func knownFigure(key string) (near string, known bool) {
	section, rest, dots := strings.Cut(key, ".")
	if names, there := sections()[section]; !there {
		if dots {
			return Nearest(section, slices.Sorted(maps.Keys(sections()))), false
		}
		return wholeFigure(section), false
	} else if !dots && names == nil {
		return "", true
	}
	for at := section; dots; {
		var name string
		name, rest, dots = strings.Cut(rest, ".")
		names := inside(at)
		if !slices.ContainsFunc(names, func(n string) bool { return n == anyName || n == name || n == name+"_ms" || n == name+"_seconds" }) {
			if near = Nearest(name, names); near != "" {
				near = at + "." + near
			} else if len(names) == 0 {
				near = at
			}
			return near, false
		}
		at += "." + name
	}
	return "", len(inside(key)) == 0
}

// sections are those of all results.
func sections() map[string][]string {
	all := maps.Clone(figures)
	maps.Copy(all, jobFigures)
	return all
}

// wholeFigure is the dotted key of the figure that has this name in its section, or a name near this one that stands alone; "": none.
func wholeFigure(name string) string {
	for _, section := range slices.Sorted(maps.Keys(figures)) {
		if slices.Contains(figures[section], name) {
			return section + "." + name
		}
	}
	return Nearest(name, slices.Sorted(maps.Keys(figures)))
}
