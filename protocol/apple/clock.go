package apple

// ClockHeader is the header in which a server whose clock a laboratory drives says its time, RFC 3339, on every answer. Agents follow
// it; a server on the true time does not send it. The name is rollcall's own.
const ClockHeader = "Rollcall-Clock"
