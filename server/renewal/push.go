package renewal

import (
	"fmt"
	"time"

	"rollcall/protocol"
)

// A Push is what the rules know of a push certificate; the zero value is none.
type Push struct {
	Topic               string
	NotBefore, NotAfter protocol.Time
}

// CheckUpload says whether next may take the place of present (AUTH-34): a certificate with a topic, valid at now, that ends later
// than the present one. That last is asked of the same topic only: going back to the topic before undoes a wrong upload, and
// nothing else does, while the certificate of that topic may well be the older one (apple.md section 13.1). OtherTopic tells
// apart what AUTH-32 does: every enrolled device would be stranded; that is no refusal, the caller counts, warns and asks.
func CheckUpload(now protocol.Time, present, next Push) (otherTopic bool, no *protocol.Refusal) {
	refuse := func(format string, args ...any) (bool, *protocol.Refusal) {
		return false, &protocol.Refusal{Rule: protocol.RuleUpload, Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case next.Topic == "":
		return refuse("certificate has no topic, so it is no MDM push certificate")
	case now < next.NotBefore:
		return refuse("certificate is not valid before %s", next.NotBefore)
	case now >= next.NotAfter:
		return refuse("certificate expired on %s", next.NotAfter)
	case next.Topic == present.Topic && next.NotAfter <= present.NotAfter:
		return refuse("certificate ends on %s, not later than the present one on %s", next.NotAfter, present.NotAfter)
	}
	return present.Topic != "" && next.Topic != present.Topic, nil
}

// Warnings are the days before its end at which a push certificate is warned of, where no setting says otherwise (AUTH-33).
var Warnings = []int{30, 14, 7, 1}

// Warning returns the smallest of these days before its end, nil: [Warnings], that is at least what is left of a push certificate,
// 0 when more is left, and -1 once it has ended (AUTH-33).
func Warning(now, notAfter protocol.Time, days []int) (warning int) {
	if now >= notAfter {
		return -1
	}
	if days == nil {
		days = Warnings
	}
	for _, d := range days {
		if notAfter.Sub(now) <= time.Duration(d)*24*time.Hour && (warning == 0 || d < warning) {
			warning = d
		}
	}
	return warning
}
