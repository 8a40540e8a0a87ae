package android

// A check-in is the message of which a server reads nearly all, and nearly all of them are steady: members in the order of their type, no
// white space, no escape, nothing that is not ASCII, and neither a report nor results. Those are read in one pass of comparisons; the first
// thing that is otherwise sends the whole message the long way, which decides. So this way refuses nothing, and what it takes, the long way
// takes as well; a test holds them against each other.

// A tape is a message on its way through comparisons.
type tape struct {
	b  []byte
	ok bool // all was as expected so far
}

// is passes over text, which must be there.
func (t *tape) is(text string) {
	if t.ok = t.ok && len(t.b) >= len(text) && string(t.b[:len(text)]) == text; t.ok {
		t.b = t.b[len(text):]
	}
}

// has passes over text where it is there.
func (t *tape) has(text string) bool {
	if !t.ok || len(t.b) < len(text) || string(t.b[:len(text)]) != text {
		return false
	}
	t.b = t.b[len(text):]
	return true
}

// plain are the characters that stand for themselves in a string, as far as names and times have them.
var plain = func() (set [256]bool) {
	for c := byte(' '); c < 0x7f; c++ {
		set[c] = c != '"' && c != '\\'
	}
	return set
}()

// text passes over the rest of a string and its closing quote.
func (t *tape) text() []byte {
	b := t.b
	n := 0
	for n < len(b) && plain[b[n]] {
		n++
	}
	if t.ok = t.ok && n < len(b) && b[n] == '"'; !t.ok {
		return nil
	}
	t.b = b[n+1:]
	return b[:n]
}

// number passes over a whole number of few digits.
func (t *tape) number() uint64 {
	n := 0
	for n < len(t.b) && t.b[n]-'0' < 10 {
		n++
	}
	if t.ok = t.ok && n > 0; !t.ok {
		return 0
	}
	v, ok := few(t.b[:n])
	t.ok, t.b = ok, t.b[n:]
	return v
}

// word passes over the rest of a string that is one of words.
func word[T ~string](t *tape, words []T) T {
	text := t.text()
	for _, w := range words {
		if string(text) == string(w) {
			return w
		}
	}
	t.ok = false
	return ""
}

// steadily reads a steady check-in into c, in the room of what c held, and tells whether it was one; else c is anything.
func steadily(body []byte, c *CheckIn) bool {
	t := tape{b: body, ok: true}
	room := c.Applied.Profiles
	*c = CheckIn{}
	t.is(`{"protocol":1,"checkin":"`)
	c.Protocol = 1
	c.CheckIn = string(t.text())
	t.is(`,"round":`)
	c.Round = int(t.number())
	t.is(`,"device":"`)
	device := t.text()
	t.is(`,"reason":"`)
	c.Reason = word(&t, reasons)
	if t.has(`,"time":"`) {
		t.ok = c.Time.UnmarshalText(t.text()) == nil && c.Time != 0 && t.ok
	}
	t.is(`,"epoch":`)
	c.Epoch = uint32(t.number())
	t.is(`,"applied":{"state":"`)
	a := &c.Applied
	a.State = word(&t, states)
	if t.has(`,"policyName":"`) {
		name := t.text()
		a.PolicyName = string(name)
		if at := len(name) - len(device); at >= 0 && string(name[at:]) == string(device) {
			c.Device = a.PolicyName[at:] // as nearly always: it is called after its device
		}
	}
	if t.has(`,"policyVersion":"`) {
		a.PolicyVersion = int64(t.number())
		t.is(`"`)
	}
	if t.has(`,"profiles":[`) {
		t.profiles(a, room)
	}
	switch {
	case t.has(`},"compliant":true}`):
		c.Compliant = true
	default:
		t.is(`},"compliant":false}`)
	}
	if c.Device == "" {
		c.Device = string(device)
	}
	return t.ok && len(t.b) == 0
}

// profiles reads the rest of a list that is not empty.
func (t *tape) profiles(a *AppliedPolicy, room []AppliedProfile) {
	a.Profiles = room[:0]
	for t.ok {
		t.is(`{"id":"`)
		text, id := t.text(), ""
		if i := len(a.Profiles); i < len(room) {
			id = room[i].ID // most likely it is the same again, and need not be made
		}
		if string(text) != id {
			id = string(text)
		}
		t.is(`,"version":`)
		p := AppliedProfile{ID: id, Version: uint32(t.number())}
		t.is(`,"status":"`)
		p.Status = word(t, profileStatuses)
		if t.has(`,"reason":"`) {
			p.Reason = NonCompliance(t.text())
		}
		a.Profiles = append(a.Profiles, p)
		if t.has(`}]`) {
			return
		}
		t.is(`},`)
	}
}
