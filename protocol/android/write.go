package android

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Append appends v, a type of this package, as [Decode] reads it: compact, members in the order of the type. Equal values have equal
// bytes.
func Append(dst []byte, v any) []byte {
	b := bytes.NewBuffer(dst)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false) // no browser reads this
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("JSON of %T: %v", v, err)) // a type of this package that cannot be written
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// AppendAnswer is [Append] of an answer to a check-in, without reflection where it asks nothing of the device, as nearly all do.
func AppendAnswer(dst []byte, a *CheckInAnswer) []byte {
	if a.Policy != nil || len(a.Commands) > 0 || a.Renew != nil || a.Authority.Notice != "" {
		whole := *a // which leaves the stack, unlike a
		return Append(dst, &whole)
	}
	dst = append(dst, `{"round":`...)
	dst = strconv.AppendInt(dst, int64(a.Round), 10)
	dst = append(dst, `,"complete":`...)
	dst = strconv.AppendBool(dst, a.Complete)
	dst = append(dst, `,"authority":{"registered":"`...)
	dst = append(dst, a.Authority.Registered.String()...)
	dst = append(dst, `","resolved":"`...)
	dst = append(dst, a.Authority.Resolved.String()...)
	dst = append(dst, `","epoch":`...)
	dst = strconv.AppendUint(dst, uint64(a.Authority.Epoch), 10)
	if a.Authority.ChangedAt != 0 {
		dst = append(dst, `,"changedAt":"`...)
		dst = append(a.Authority.ChangedAt.Time().AppendFormat(dst, time.RFC3339Nano), '"')
	}
	dst = append(dst, `},"state":"`...)
	dst = append(dst, a.State...)
	dst = append(dst, `","next":{"after":"`...)
	dst = strconv.AppendInt(dst, int64(time.Duration(a.Next.After)/time.Second), 10)
	dst = append(dst, `s","schedule":"`...)
	dst = append(dst, a.Next.Schedule...)
	return append(dst, `"}}`...)
}
