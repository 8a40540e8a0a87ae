package protocol

import "time"

// A Device is a device's number inside one core: an index, 0 for none. What the wire calls the device
// (UDID, DeviceID, enterprise name) is a string that only the edges know.
type Device uint32

// A Time is an instant inside a core: microseconds since 1970 in UTC; 0 means never. It reaches far
// beyond 9999, where X.509 ends, and two of them compare as integers.
type Time int64

// At returns t as a Time. The zero time.Time is never.
func At(t time.Time) Time {
	if t.IsZero() {
		return 0
	}
	return Time(t.UnixMicro())
}

// Time returns t as a time.Time in UTC; never is the zero time.Time.
func (t Time) Time() time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(t)).UTC()
}

// Add returns t+d, to the microsecond.
func (t Time) Add(d time.Duration) Time { return t + Time(d/time.Microsecond) }

// Sub returns t-u.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t-u) * time.Microsecond }

// Sooner returns the earlier of t and u, where 0 (never) is later than everything.
func (t Time) Sooner(u Time) Time {
	if t == 0 || u != 0 && u < t {
		return u
	}
	return t
}

func (t Time) String() string {
	if t == 0 {
		return "never"
	}
	return t.Time().Format(time.RFC3339Nano)
}

// MarshalText gives RFC 3339 in UTC; never is the empty text.
func (t Time) MarshalText() ([]byte, error) {
	if t == 0 {
		return nil, nil
	}
	return []byte(t.String()), nil
}

// UnmarshalText takes RFC 3339 or the empty text (never).
func (t *Time) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*t = 0
		return nil
	}
	var v time.Time
	if err := v.UnmarshalText(b); err != nil { // which makes no string of b, and is stricter than Parse
		if v, err = time.Parse(time.RFC3339Nano, string(b)); err != nil {
			return err
		}
	}
	*t = At(v)
	return nil
}
