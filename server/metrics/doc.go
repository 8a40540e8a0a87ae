// Package metrics shows what a server does to Prometheus, and whether it is alive and ready to whoever stands in front of it.
//
// Start with [New]; a [Metrics] is the Meter of package device, wraps what sends wake-ups, counts what the log says of rules, and
// [Metrics.Handler] serves /metrics, /healthz and /readyz. It belongs on a listener of its own, on loopback unless an
// address is given: a scrape that stands in line with the devices says nothing just when it matters, and neither devices' nor
// administrators' credentials open it.
//
// No label names a device, a user or an address: their number is not bounded, and who they are is nobody's business here.
package metrics
