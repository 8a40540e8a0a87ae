// Package authority decides who manages a device and who may enrol: pure functions, no I/O, clock or goroutines.
//
// Start with [Resolve] (who should manage this device?) and [Admit] (may this device enrol now?).
package authority
