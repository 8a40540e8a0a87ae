package google

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxBody    = 64 << 10 // bytes of a request
	maxPayload = 4096     // bytes of data and notification together
)

// A request is what a sender asks for.
type request struct {
	fid, token   string // one of both, or
	group        string // a topic or a condition
	data         map[string]string
	key          string
	high         bool
	notification bool
	ttl          time.Duration
	validate     bool
}

// An object is one of the request's, with the names of its members in lower camel case: protobuf's JSON takes snake case too.
type object map[string]json.RawMessage

// read reads an object at path whose members may be these alone.
func read(text []byte, path string, members ...string) (object, *failure) {
	var raw map[string]json.RawMessage
	if json.Unmarshal(text, &raw) != nil {
		return nil, unreadable(path, "Invalid JSON payload received. "+strings.TrimSpace("Expected an object "+at(path)))
	}
	o := make(object, len(raw))
	for name, value := range raw {
		camel := lowerCamel(name)
		if !slices.Contains(members, camel) {
			return nil, unreadable(path, fmt.Sprintf("Invalid JSON payload received. Unknown name %.64q%s: Cannot find field.", name, at(path)))
		}
		if string(value) != "null" {
			o[camel] = value
		}
	}
	return o, nil
}

func at(path string) string {
	if path == "" {
		return ""
	}
	return " at '" + path + "'"
}

// lowerCamel is collapse_key as collapseKey.
func lowerCamel(s string) string {
	head, rest, more := strings.Cut(s, "_")
	for more {
		var word string
		word, rest, more = strings.Cut(rest, "_")
		if word != "" {
			head += strings.ToUpper(word[:1]) + word[1:]
		}
	}
	return head
}

func dotted(path, name string) string { return strings.TrimPrefix(path+"."+name, ".") }

// take reads a member into v; one that is absent leaves it.
func take[T any](o object, path, name, kind string, v *T) *failure {
	value, ok := o[name]
	if !ok {
		return nil
	}
	if err := json.Unmarshal(value, v); err != nil {
		return unreadable(dotted(path, name), fmt.Sprintf("Invalid value at '%s' (%s)", dotted(path, name), kind))
	}
	return nil
}

// first returns the first failure.
func first(all ...*failure) *failure {
	for _, f := range all {
		if f != nil {
			return f
		}
	}
	return nil
}

var duration = regexp.MustCompile(`^(\d{1,9})(\.\d{1,9})?s$`)

// decode reads SendMessageRequest (fcm/v1, discovery document of 2026-10-23).
func decode(text []byte) (r request, no *failure) {
	r.ttl = MaxTTL
	body, no := read(text, "", "message", "validateOnly")
	if no != nil {
		return r, no
	}
	if no = take(body, "", "validateOnly", "TYPE_BOOL", &r.validate); no != nil {
		return r, no
	}
	if body["message"] == nil {
		return r, invalid("message", "Message is not set")
	}
	m, no := read(body["message"], "message", "name", "data", "notification", "android", "androidV2", "webpush", "apns", "fcmOptions", "token", "fid", "topic", "condition")
	if no != nil {
		return r, no
	}
	var topic, condition string
	no = first(
		take(m, "message", "token", "TYPE_STRING", &r.token), take(m, "message", "fid", "TYPE_STRING", &r.fid), take(m, "message", "topic", "TYPE_STRING", &topic),
		take(m, "message", "condition", "TYPE_STRING", &condition), take(m, "message", "data", "TYPE_STRING", &r.data), r.readAndroid(m), r.notify(m),
	)
	if no != nil {
		return r, no
	}
	targets := 0
	for _, t := range []string{r.token, r.fid, topic, condition} {
		if t != "" {
			targets++
		}
	}
	r.group = topic + condition
	switch {
	case m["android"] != nil && m["androidV2"] != nil:
		return r, invalid("message.android", "android and androidV2 are mutually exclusive")
	case targets == 0:
		return r, invalid("message", "Recipient of the message is not set.")
	case targets > 1:
		return r, invalid("message", "Exactly one of token, fid, topic or condition is required")
	}
	return r, r.checkData(m)
}

// notify takes note of a notification, whose text counts as payload.
func (r *request) notify(m object) *failure {
	if m["notification"] == nil {
		return nil
	}
	r.notification = true
	var title, text, image string
	n, no := read(m["notification"], "message.notification", "title", "body", "image")
	if no != nil {
		return no
	}
	const path = "message.notification"
	return first(take(n, path, "title", "TYPE_STRING", &title), take(n, path, "body", "TYPE_STRING", &text), take(n, path, "image", "TYPE_STRING", &image))
}

// readAndroid reads AndroidConfig.
func (r *request) readAndroid(m object) *failure {
	const path = "message.android"
	if m["android"] == nil {
		return nil
	}
	a, no := read(m["android"], path, "collapseKey", "priority", "ttl", "restrictedPackageName", "data", "notification", "fcmOptions", "directBootOk", "bandwidthConstrainedOk", "restrictedSatelliteOk")
	if no != nil {
		return no
	}
	var priority, ttl, only string
	data := map[string]string(nil)
	if no = first(
		take(a, path, "collapseKey", "TYPE_STRING", &r.key), take(a, path, "priority", "TYPE_ENUM", &priority), take(a, path, "ttl", "google.protobuf.Duration", &ttl),
		take(a, path, "restrictedPackageName", "TYPE_STRING", &only), take(a, path, "data", "TYPE_STRING", &data),
	); no != nil {
		return no
	}
	if data != nil {
		r.data = data
	}
	r.notification = r.notification || a["notification"] != nil
	switch strings.ToUpper(priority) {
	case "", "NORMAL":
	case "HIGH":
		r.high = true
	default:
		return unreadable(path+".priority", fmt.Sprintf("Invalid value at 'message.android.priority' (type.googleapis.com/google.firebase.fcm.v1.AndroidConfig.AndroidMessagePriority), %.64q", priority))
	}
	if ttl == "" {
		return nil
	}
	parts := duration.FindStringSubmatch(ttl)
	if parts == nil {
		return unreadable(path+".ttl", fmt.Sprintf("Invalid value at 'message.android.ttl' (type.googleapis.com/google.protobuf.Duration), %.64q", ttl))
	}
	seconds, _ := strconv.ParseInt(parts[1], 10, 64) // nine digits
	if r.ttl = time.Duration(seconds) * time.Second; r.ttl > MaxTTL {
		return invalid(path+".ttl", "Invalid ttl: it must be from 0 to 2419200 seconds")
	}
	return nil
}

// checkData holds what data may be.
func (r *request) checkData(m object) *failure {
	size := len(m["notification"])
	for name, value := range r.data {
		if name == "from" || name == "message_type" || strings.HasPrefix(name, "google.") || strings.HasPrefix(name, "gcm.") {
			return invalid("message.data", fmt.Sprintf("Invalid data payload key: %.64s", name))
		}
		size += len(name) + len(value)
	}
	if size > maxPayload {
		return invalid("message", "Android message is too big")
	}
	return nil
}
