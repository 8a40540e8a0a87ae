// Package cloud is what the simulated services of vendors have in common: a certificate and a CA of their own ([Certificate]), dials
// that make them misbehave on purpose ([Dials]), rates ([Meter]), access tokens ([Tokens]) and how they are served ([Serve]).
//
// Start in one of the packages below it. It shares no code with the server that calls such services, and knows none of their
// protocols.
package cloud
