package windows

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"rollcall/protocol"
)

// NoticeWords tells of a change of authority: the value of DeviceManageability/Provider/<provider>/ConfigInfo, which other devices
// keep and ignore (windows.md section 11). Rule and kept stand there when the notice has them. Whole seconds.
func NoticeWords(a protocol.Authority, n protocol.Notice) string {
	text := fmt.Sprintf("authority=%s;epoch=%d;changedAt=%s", a, n.Epoch, n.ChangedAt.Time().Format(time.RFC3339))
	if n.Rule != "" {
		text += ";rule=" + string(n.Rule)
	}
	if n.Kept != 0 {
		text += ";kept=" + strconv.FormatInt(int64(n.Kept/time.Second), 10)
	}
	return text
}

// maxNoticeKept bounds how long a notice may have old profiles kept: a century.
const maxNoticeKept = 100 * 365 * 24 * 60 * 60

// ReadNotice reads what [NoticeWords] writes, and nothing else. The error wraps [protocol.ErrMalformed].
func ReadNotice(text string) (a protocol.Authority, n protocol.Notice, err error) {
	wrong := fmt.Errorf("ConfigInfo: %w", protocol.ErrMalformed)
	fields := strings.Split(text, ";")
	if len(fields) < 3 || len(fields) > 5 {
		return 0, protocol.Notice{}, wrong
	}
	for _, field := range fields {
		name, value, _ := strings.Cut(field, "=")
		switch name {
		case "authority":
			err = a.UnmarshalText([]byte(value))
		case "epoch":
			var epoch uint64
			epoch, err = strconv.ParseUint(value, 10, 32)
			n.Epoch = uint32(epoch)
		case "changedAt":
			err = n.ChangedAt.UnmarshalText([]byte(value))
		case "rule":
			n.Rule = protocol.Rule(value)
		case "kept":
			var kept uint64
			kept, err = strconv.ParseUint(value, 10, 32)
			if kept > maxNoticeKept {
				err = wrong
			}
			n.Kept = time.Duration(kept) * time.Second
		}
		if err != nil {
			return 0, protocol.Notice{}, wrong
		}
	}
	if strings.Trim(string(n.Rule), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-") != "" || NoticeWords(a, n) != text {
		return 0, protocol.Notice{}, wrong // it has one form
	}
	return a, n, nil
}
